"""Parameters of the pipeline ``pretraining``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from tsmemory.fingerprint import digest, sha256_of_file
from tsmemory.pipelines.base_params import Listed, Params
from tsmemory.pipelines.ingestion.params import IngestionParams
from tsmemory.pretraining.config import (
    FAMILY_NAMES,
    Dtype,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
    check_recipe,
)
from tsmemory.series.names import stem

if TYPE_CHECKING:
    from tsmemory.pretraining.corpus import CorpusConfig

Share = Annotated[float, Field(ge=0, le=1)]
Length = Annotated[int, Field(ge=1)]


class FamilyShares(Params):
    """Shares of the families; 0 leaves one out, and only their ratios matter.

    Attributes:
        calendar: Human rhythms: daily, weekly and yearly profiles.
        quasi_periodic: Gaussian processes from sums of kernels.
        autoregressive: Seasonal autoregressive processes.
        wandering: Levels that wander, like prices.
        counts: Whole units, often none.
        machines: Duty cycles, sawteeth and pulses.
    """

    calendar: Annotated[float, Field(ge=0)] = 0.46
    quasi_periodic: Annotated[float, Field(ge=0)] = 0.14
    autoregressive: Annotated[float, Field(ge=0)] = 0.16
    wandering: Annotated[float, Field(ge=0)] = 0.08
    counts: Annotated[float, Field(ge=0)] = 0.06
    machines: Annotated[float, Field(ge=0)] = 0.10


class CorpusParams(Params):
    """What the corpus is made of; see :class:`tsmemory.pretraining.corpus.CorpusConfig`.

    Attributes:
        families: Share of each family.
        contexts: Context lengths.
        context_shares: Share of each context length.
        mixed: Share of series that are mixtures of two or three.
        warped: Share that is resampled or bent in time.
        bent: Share with a response that is not linear.
        slowed: Share that follows with inertia.
        censored: Share that is cut off.
        disturbed: Share with spikes, and share rounded to a grid.
        incomplete: Share with missing steps, and share with missing stretches.
        shortened: Share whose context is shorter than the batch's.
        chunk: Series made at once; a multiple of the batch.
    """

    families: FamilyShares = FamilyShares()
    contexts: Annotated[tuple[Length, ...], Field(min_length=1), Listed] = (
        2048,
        1024,
        512,
        256,
        128,
    )
    context_shares: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1), Listed
    ] = (0.08, 0.14, 0.48, 0.18, 0.12)
    mixed: Share = 0.35
    warped: Share = 0.12
    bent: Share = 0.12
    slowed: Share = 0.10
    censored: Share = 0.08
    disturbed: Share = 0.10
    incomplete: Share = 0.10
    shortened: Share = 0.20
    chunk: Length = 1024

    @model_validator(mode="after")
    def _one_share_for_each_length(self) -> Self:
        if len(set(self.contexts)) < len(self.contexts):
            raise ValueError(f"a context length is named twice in contexts {list(self.contexts)}")
        if len(self.contexts) != len(self.context_shares):
            raise ValueError(
                f"contexts and context_shares must have one length, got {len(self.contexts)} and "
                f"{len(self.context_shares)}"
            )
        return self

    def shares_of_families(self) -> dict[str, float]:
        """Families that have a share."""
        shares = self.families.model_dump()
        return {name: shares[name] for name in FAMILY_NAMES if shares[name] > 0}

    def shares_of_contexts(self) -> dict[int, float]:
        """Context lengths that have a share."""
        pairs = zip(self.contexts, self.context_shares, strict=True)
        return {length: share for length, share in pairs if share > 0}

    def config(self, horizon: int) -> "CorpusConfig":
        """The same for the library, which needs torch.

        Args:
            horizon: Steps of target.
        """
        from tsmemory.pretraining.corpus import CorpusConfig

        plain = self.model_dump(exclude={"families", "contexts", "context_shares"})
        return CorpusConfig(
            families=self.shares_of_families(),
            contexts=self.shares_of_contexts(),
            horizon=horizon,
            **plain,
        )


class ZeroShotParams(Params):
    """Windows of the zero-shot checks.

    Attributes:
        context_length: L, steps of context.
        horizon: H, steps that are forecast and scored.
        windows: At most this many of each table, evenly spaced over its validation split.
    """

    context_length: Length = 512
    horizon: Length = 96
    windows: Length = 1024


class CheckParams(IngestionParams):
    """One more table to check on.

    Attributes:
        name: What the curve calls it; ``None`` takes the file's name.
        context_length: ``None`` takes that of ``zero_shot``.
        horizon: ``None`` takes that of ``zero_shot``.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")] | None = None
    context_length: Length | None = None
    horizon: Length | None = None

    @property
    def label(self) -> str:
        """What the curve calls it."""
        return self.name or stem(self.path)

    def digest_of_file(self) -> str | None:
        """Checksum of the file, or that of its source where it will be downloaded."""
        if Path(self.path).is_file():
            return sha256_of_file(self.path)
        return self.source.sha256 if self.source is not None and self.download else None


class PretrainingParams(Params):
    """How a backbone is pretrained.

    Attributes:
        name: What reports call the backbone.
        model: Sizes of the network.
        corpus: What the synthetic series are made of.
        optimizer: How weights move.
        training: How long, on which device.
        zero_shot: Windows of the checks.
        checks: Tables to check on beside the domain's own.
        export_dtype: In which the weights are stored; computing is in float32 all the same.
    """

    name: Annotated[str, Field(min_length=1)] = "tsmemory-bolt"
    model: ModelConfig = ModelConfig()
    corpus: CorpusParams = CorpusParams()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    zero_shot: ZeroShotParams = ZeroShotParams()
    checks: tuple[CheckParams, ...] = ()
    export_dtype: Dtype = "float16"

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        check_recipe(
            self.model,
            self.training,
            families=self.corpus.shares_of_families(),
            contexts=self.corpus.shares_of_contexts(),
            chunk=self.corpus.chunk,
        )
        horizons = (self.zero_shot.horizon, *(check.horizon or 0 for check in self.checks))
        if max(horizons) > self.model.horizon:
            raise ValueError(
                f"checks reach {max(horizons)} steps, more than the network forecasts in one pass: "
                f"model.horizon is {self.model.horizon}"
            )
        return self

    def content_fingerprint(self) -> str | None:
        """Digest of the tables to check on, by which a resumed run knows whether they changed.

        Returns:
            ``None`` where a table is missing.
        """
        digests = [check.digest_of_file() for check in self.checks]
        return None if None in digests else digest(digests)
