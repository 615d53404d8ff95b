"""Parameters of the pipeline ``trace``."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tsmemory.pipelines.base_params import WITHOUT_EFFECT, Listed, Names, Params
from tsmemory.trace.config import (
    FineTuningConfig,
    HeadConfig,
    LoraConfig,
    ScoringConfig,
    SelectionConfig,
    TraceConfig,
)

RowName = Literal[
    "linear_probing",
    "head",
    "lora_native",
    "lora_all",
    "lora_qv",
    "random_k",
    "magnitude_k",
    "adalora",
    "full",
    "trace",
]
ROWS: tuple[RowName, ...] = ("linear_probing", "lora_all", "random_k", "trace")
TRACE: RowName = "trace"
TUNED = "tuned_mask"


class TraceParams(Params):
    """How the backbone is adapted, and what that is compared with.

    Training is shorter than the library's, and its steps longer, so that all rows and seeds take
    minutes.

    Attributes:
        rows: Which rows; the frozen backbone and ``trace`` are always there.
        seeds: Training seeds of every row in which anything is random; the first one's TRACE model
            is shipped, or that of the tuned mask.
        train_stride: Steps between training windows, as far as there are that many.
        head: Form of the head.
        lora: Size of the adapters.
        scoring: How sites are scored.
        selection: When sites are closed, and how many stay.
        training: Optimizer and schedule.
        sites: Sites of the row ``tuned_mask``, which is there, and shipped, if they are given.
        use_tuned: Whether what the pipeline ``tuning`` has found takes the place of what is
            configured here; the command line still wins.
        tuned_by: Fingerprint of the study that did; written by ``use_tuned``.
    """

    rows: Annotated[tuple[RowName, ...], Names] = ROWS
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), Listed] = (
        0,
        1,
        2,
    )
    train_stride: Annotated[int, Field(ge=1)] = 8
    head: HeadConfig = HeadConfig()
    lora: LoraConfig = LoraConfig()
    scoring: ScoringConfig = ScoringConfig()
    selection: SelectionConfig = SelectionConfig(warmup_steps=20, round_steps=10)
    training: FineTuningConfig = FineTuningConfig(steps=80, batch_size=64, lora_rate=1e-3)
    sites: Annotated[tuple[str, ...] | None, Names] = None
    # What comes of them is in the values themselves.
    use_tuned: Annotated[bool, WITHOUT_EFFECT] = False
    tuned_by: Annotated[str | None, WITHOUT_EFFECT] = None

    @field_validator("rows", "seeds")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError("a value is named twice")
        return values

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        self.config()
        return self

    def config(self) -> TraceConfig:
        """The library's settings."""
        return TraceConfig(
            head=self.head,
            lora=self.lora,
            scoring=self.scoring,
            selection=self.selection,
            training=self.training,
        )

    def trained_rows(self) -> tuple[str, ...]:
        """The rows that are trained, the shipped one last."""
        rows = (*(row for row in self.rows if row != TRACE), TRACE)
        return rows if self.sites is None else (*rows, TUNED)

    @property
    def shipped(self) -> str:
        """The row whose first seed's model is shipped."""
        return TRACE if self.sites is None else TUNED
