"""Parameters of the pipeline ``ingestion``."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from tsmemory.pipelines.base_params import ONLY_FILE_NAME, WITHOUT_EFFECT, Listed, Params
from tsmemory.series.grid import check_frequency


class SourceParams(Params):
    """Where a public file can be had; see :class:`tsmemory.series.sources.Source`."""

    url: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    variable: str | None = None


class IngestionParams(Params):
    """Which file to read, what its columns are, and how it is repaired and split.

    Attributes:
        path: CSV or Parquet file, wide or long.
        download: Whether a missing file may be downloaded from ``source``.
        source: Where the file can be had.
        timestamp_column: ``None`` takes ``timestamp``, else ``date, ds, datetime`` or ``time``.
        item_id_column: ``None`` takes ``item_id``; without one the file is a single series.
        target_columns: ``None`` takes all numeric columns.
        freq: Step of the grid; ``None`` infers it.
        duplicates: What becomes of repeated timestamps.
        off_grid: What becomes of timestamps beside the grid.
        borders: Ends of training, validation and test in steps; ``None`` uses the shares.
        train_share: Share of each series that trains.
        test_share: Share of each series that tests; validation lies between.
    """

    path: Annotated[str, Field(min_length=1), ONLY_FILE_NAME]  # it may name the single series
    download: Annotated[bool, WITHOUT_EFFECT] = False
    source: Annotated[SourceParams | None, WITHOUT_EFFECT] = None
    timestamp_column: str | None = None
    item_id_column: str | None = None
    target_columns: Annotated[tuple[str, ...], Field(min_length=1), Listed] | None = None
    freq: str | None = None
    duplicates: Literal["error", "first", "mean"] = "error"
    off_grid: Literal["error", "nearest"] = "error"
    borders: Annotated[tuple[int, int, int], Listed] | None = None
    train_share: Annotated[float, Field(gt=0, lt=1)] = 0.7
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2

    @field_validator("freq")
    @classmethod
    def _known_frequency(cls, freq: str | None) -> str | None:
        return None if freq is None else check_frequency(freq)

    @field_validator("target_columns")
    @classmethod
    def _each_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and len(set(names)) < len(names):
            raise ValueError("a column is named twice")
        return names

    @model_validator(mode="after")
    def _splits_leave_room(self) -> Self:
        if self.borders is not None:
            train, validation, test = self.borders
            if not 0 < train < validation < test:
                raise ValueError(f"borders must increase from above 0, got {list(self.borders)}")
        if self.train_share + self.test_share >= 1:
            raise ValueError("train_share + test_share must be below 1, validation is the rest")
        return self
