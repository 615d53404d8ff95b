"""Parameters of the pipeline ``benchmark``."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator

from tsmemory.fingerprint import digest, sha256_of_path
from tsmemory.pipelines.base_params import Listed, Names, Params

RowName = Literal[
    "default",
    "no_teacher",
    "no_gate",
    "no_confidence",
    "self_embargo",
    "no_ridge",
    "no_residual",
    "no_guard",
    "paper",
]
ROWS: tuple[RowName, ...] = get_args(RowName)


class PaperRowParams(Params):
    """How the row of the paper profile is reduced, so that a CPU can run it.

    Attributes:
        horizon: Its only horizon; the longest configured one that is no longer is taken, or the
            shortest.
        train_stride: Steps between its training windows, as far as there are that many.
        epochs: At most this many passes.
    """

    horizon: Annotated[int, Field(ge=1)] = 96
    train_stride: Annotated[int, Field(ge=1)] = 8
    epochs: Annotated[int, Field(ge=1)] = 5


class AblationParams(Params):
    """The ablation table.

    Attributes:
        rows: Which rows; the default is always there.
        seeds: Training seeds of every row.
        epochs: At most this many passes in every row but the paper profile's.
        guard: Whether rows are guarded as configured. Without, they also show what a part does
            that the guard throws away.
        paper: How the row of the paper profile is reduced.
    """

    rows: Annotated[tuple[RowName, ...], Names] = ROWS
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), Listed] = (0,)
    epochs: Annotated[int, Field(ge=1)] = 5
    guard: bool = True
    paper: PaperRowParams = PaperRowParams()

    @field_validator("rows", "seeds")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError("a value is named twice")
        return values


class TransferParams(Params):
    """The transfer table.

    Attributes:
        forecasters: Folders of forecasters that other domains have exported.
    """

    forecasters: Annotated[tuple[str, ...], Names] = ()

    def content_fingerprint(self) -> str | None:
        """Digest of what the folders hold now; ``None`` if one is not there."""
        folders = [Path(folder) for folder in self.forecasters]
        if not all(folder.exists() for folder in folders):
            return None
        return digest([sha256_of_path(folder) for folder in folders])


class BenchmarkParams(Params):
    """What the benchmark compares.

    Attributes:
        ablation: The ablation table.
        transfer: The transfer table.
    """

    ablation: AblationParams = AblationParams()
    transfer: TransferParams = TransferParams()
