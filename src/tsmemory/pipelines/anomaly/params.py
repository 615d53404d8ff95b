"""Parameters of the pipeline ``anomaly``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from tsmemory.fingerprint import digest, sha256_of_path
from tsmemory.pipelines.base_params import Params

if TYPE_CHECKING:
    from tsmemory.trace.anomaly.detect import AnomalyConfig


class AnomalyParams(Params):
    """What is watched, and how; see :class:`tsmemory.trace.anomaly.detect.AnomalyConfig`.

    Attributes:
        labels: JSON file of labelled windows of the domain's own series, ``{item_id: [[first,
            last], ...]}``; without one steps are scored and nothing is judged.
        nab: Folder of the Numenta Anomaly Benchmark, which is then watched instead.
        group: Group of its series.
        usual_share: Share of a series, at its start, that is taken as usual and not scored.
        usual_most: The most steps of it.
        smoothed_seasons: Seasons behind a step over whose scores a smoothed one is the mean.
        context_length: The most steps of context; no more than the backbone reads are used.
        reconstruction: Whether hidden patches are reconstructed, too, where the backbone has an
            encoder of patches.
        seed: Of the random scores.
    """

    labels: Annotated[str, Field(min_length=1)] | None = None
    nab: Annotated[str, Field(min_length=1)] | None = None
    group: Annotated[str, Field(min_length=1)] = "realKnownCause"
    usual_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    usual_most: Annotated[int, Field(ge=1)] = 750
    smoothed_seasons: Annotated[float, Field(gt=0)] = 1.0
    context_length: Annotated[int, Field(ge=8)] = 2048
    reconstruction: bool = True
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.labels is not None and self.nab is not None:
            raise ValueError("labels are of the domain's own series; nab brings labels of its own")
        return self

    def content_fingerprint(self) -> str | None:
        """Digest of what the labels, or NAB's folder, hold now; ``None`` where one is missing."""
        paths = [Path(path) for path in (self.labels, self.nab) if path is not None]
        if not all(path.exists() for path in paths):
            return None
        return digest([sha256_of_path(path) for path in paths])

    def config(self) -> "AnomalyConfig":
        """The library's settings, which need torch."""
        from tsmemory.trace.anomaly.detect import AnomalyConfig
        from tsmemory.trace.anomaly.residuals import RollingForecasts

        return AnomalyConfig(
            usual_share=self.usual_share,
            usual_most=self.usual_most,
            smoothed_seasons=self.smoothed_seasons,
            rolling=RollingForecasts(context_length=self.context_length),
            seed=self.seed,
        )
