"""Parameters of the pipeline ``forecasting``."""

from typing import Annotated

from pydantic import Field, field_validator

from tsmemory.pipelines.base_params import WITHOUT_EFFECT, Listed, Params
from tsmemory.pipelines.indexing.params import DECILES, Level


class ForecastingParams(Params):
    """What is forecast, and by what. Columns and frequency are read as ``ingestion`` reads them.

    Attributes:
        path: CSV or Parquet file, or a folder of such; ``None`` takes the file of ``ingestion``.
        artefact: Folder or hub id of a forecaster; ``None`` takes the domain's own.
        backbone: Folder, hub id or file of its backbone, if that has moved; for a backbone that
            looks forecasts up, the file that holds those of the new data.
        device: Torch device.
        prediction_length: H, steps; ``None`` takes the longest that the memory has learnt.
        quantile_levels: Columns of the answer.
        batch_size: Series in one pass; forecasts do not depend on it.
        shard_size: Series whose forecasts are kept together; a killed run resumes at the shard it
            was at.
    """

    # What these name counts by its content, which the catalog's entries know.
    path: Annotated[str, Field(min_length=1), WITHOUT_EFFECT] | None = None
    artefact: Annotated[str, Field(min_length=1), WITHOUT_EFFECT] | None = None
    backbone: Annotated[str, Field(min_length=1), WITHOUT_EFFECT] | None = None
    device: Annotated[str, Field(pattern=r"^(cpu|mps|cuda(:\d+)?)$"), WITHOUT_EFFECT] = "cpu"
    prediction_length: Annotated[int, Field(ge=1)] | None = None
    quantile_levels: Annotated[tuple[Level, ...], Field(min_length=1), Listed] = DECILES
    batch_size: Annotated[int, Field(ge=1), WITHOUT_EFFECT] = 256
    shard_size: Annotated[int, Field(ge=1), WITHOUT_EFFECT] = 1024

    @field_validator("quantile_levels")
    @classmethod
    def _each_once(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(levels)) < len(levels):
            raise ValueError(f"a level is named twice in {list(levels)}")
        return levels
