"""A file of quantile forecasts that something else has made, by series and cutoff."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.backbones.forecast_steps import STEP, TIMESTAMP, check_steps, nanoseconds, steps_of
from tsmemory.backbones.protocol import BackboneError, Origins
from tsmemory.fingerprint import digest, known_sha256
from tsmemory.series.errors import IngestionError, columns_found, first_of, first_rows
from tsmemory.series.reading import read_table
from tsmemory.series.series_set import Int

ITEM, CHANNEL, CUTOFF = "item_id", "target_name", "cutoff"

Real = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True)
class ForecastTable:
    """Forecasts of N pairs of series and cutoff, to horizon H at Q levels.

    Attributes:
        path: The file.
        index: Item, channel and cutoff (nanoseconds) of each forecast; the empty string stands for
            all items, or channels, where the file has no such column. N entries.
        levels: Quantile levels, ascending.
        quantiles: Ascending over levels, in the data's own unit and the file's precision. Shape
            ``(N, Q, H)``.
        about: What the file says of its forecasts; see :func:`read_forecast_table`.
    """

    path: Path
    index: pd.MultiIndex
    levels: tuple[float, ...]
    quantiles: Real
    about: dict[str, Any]

    def positions(self, origins: Origins) -> Int:
        """Which forecast is that of each origin, -1 where there is none. Shape ``(B,)``.

        Raises:
            BackboneError: Several series, or channels, are asked for of a file that does not tell
                them apart.
        """
        names = []
        for level, asked in ((ITEM, origins.items), (CHANNEL, origins.channels)):
            anonymous = self.index.get_level_values(level)[0] == ""
            if anonymous and len(several := list(dict.fromkeys(map(str, asked)))) > 1:
                raise BackboneError(
                    f"{self.path} has no column {level!r}, but forecasts of "
                    f"{first_of(map(repr, several), len(several))} are asked for; add the column"
                )
            names.append(np.full(len(asked), "") if anonymous else asked.astype(str))
        wanted = pd.MultiIndex.from_arrays(
            [*names, origins.timestamps.astype("datetime64[ns]").astype(np.int64)]
        )
        return np.asarray(self.index.get_indexer(wanted), dtype=np.int64)

    def describe(self) -> str:
        """What it holds, for messages."""
        cutoffs = pd.to_datetime(self.index.get_level_values(CUTOFF))
        item, channel = (self.index.get_level_values(name)[0] for name in (ITEM, CHANNEL))
        return (
            f"{len(self.index)} forecasts of {self.quantiles.shape[2]} steps with cutoffs from "
            f"{cutoffs.min()} to {cutoffs.max()}, the first of item {item!r}, target {channel!r}"
        )


def table_fingerprint(path: str | Path) -> str:
    """Digest of a file of forecasts, by its content."""
    return digest({"backbone": "precomputed", "table": known_sha256(path)})


def read_forecast_table(path: str | Path) -> ForecastTable:
    """Read a CSV or Parquet file of forecasts, a row for each series, cutoff and step.

    Columns: ``item_id`` (may be left out for a single series), ``target_name`` (for a single
    channel), ``cutoff`` (the last known step, as Nixtla and fev call it), ``step`` (from 1) or
    ``timestamp``, and one for each quantile level (``0.1``, ..., among them ``0.5``). Others are
    ignored. Timestamps carry no zone, as in the dataset ``forecast_origins``. A pandas table tells
    of itself in ``attrs``, which Parquet keeps: ``model``, ``licence``, ``pretraining_data`` (a
    phrase) and ``pretraining_datasets`` (names of known benchmarks).

    Args:
        path: The file.

    Returns:
        The forecasts, quantiles sorted.

    Raises:
        BackboneError: A file that is missing or cannot be read, missing columns, values, steps, or
            rows that are there twice.
    """
    path = Path(path)
    if not path.is_file():
        raise BackboneError(
            f"there is no file of forecasts {path}: put it there or correct its name"
        )
    try:
        frame = read_table(path)
        columns = _level_columns(frame)
        cutoff = nanoseconds(frame[CUTOFF])
        item, items = _codes(frame, ITEM)
        channel, channels = _codes(frame, CHANNEL)
        series = item * len(channels) + channel
        step = steps_of(frame, series, cutoff)
        order = np.lexsort([step, cutoff, series])
        horizon = check_steps(series[order], cutoff[order], step[order], order + 1)
        quantiles = _values(frame, columns)[order].reshape(-1, horizon, len(columns))
    except IngestionError as error:
        text = str(error).removeprefix(f"{path}: ")
        raise BackboneError(f"the forecasts in {path} cannot be used: {text}") from error
    first = order[::horizon]
    return ForecastTable(
        path=path,
        index=pd.MultiIndex.from_arrays(
            [items[item[first]], channels[channel[first]], cutoff[first]],
            names=[ITEM, CHANNEL, CUTOFF],
        ),
        levels=tuple(columns),
        quantiles=np.asarray(np.sort(quantiles.transpose(0, 2, 1), axis=1)),
        about={str(name): value for name, value in frame.attrs.items()},
    )


def _level_columns(frame: pd.DataFrame) -> dict[float, str]:
    """Name of the column of each level, ascending; every other column that is needed is there."""
    levels = sorted((float(c), c) for c in frame.columns if _is_level(c))
    found = columns_found([str(column) for column in frame.columns])
    if CUTOFF not in frame:
        raise IngestionError(f"there is no column {CUTOFF!r}, the last known step; {found}")
    if STEP not in frame and TIMESTAMP not in frame:
        raise IngestionError(f"there is neither a column {STEP!r} nor {TIMESTAMP!r}; {found}")
    columns = dict(levels)
    if 0.5 not in columns:
        raise IngestionError(f"there is no column '0.5', the median; {found}")
    if len(columns) < len(levels):
        raise IngestionError(f"two columns are of the same quantile level; {found}")
    return columns


def _is_level(name: str) -> bool:
    try:
        return 0 < float(name) < 1
    except ValueError:
        return False


def _codes(frame: pd.DataFrame, name: str) -> tuple[Int, NDArray[np.object_]]:
    """Number of each row's name, and the names as text; one empty name without the column."""
    if name not in frame:
        return np.zeros(len(frame), dtype=np.int64), np.array([""], dtype=object)
    codes, names = pd.factorize(frame[name])
    if (codes < 0).any():
        rows = first_rows(codes < 0, frame[name])
        raise IngestionError(f"column {name!r} holds no name, first at {rows}")
    return codes.astype(np.int64), np.asarray(names).astype(str).astype(object)


def _values(frame: pd.DataFrame, columns: dict[float, str]) -> Real:
    """Quantiles in the order of the levels, in the file's precision. Shape ``(N * H, Q)``."""
    for name in columns.values():
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise IngestionError(f"column {name!r} holds no numbers ({frame[name].dtype})")
    part = frame[list(columns.values())]
    single = all(dtype in (np.float16, np.float32) for dtype in part.dtypes)
    values = part.to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values)
    if wrong.any():
        column = int(np.argmax(wrong.any(axis=0)))
        name = part.columns[column]
        raise IngestionError(
            f"{wrong.any(axis=1).sum()} rows hold missing or infinite quantiles, column {name!r} "
            f"first at {first_rows(wrong[:, column], part[name])}"
        )
    return np.asarray(values)


def missing_origins(origins: Origins, missing: NDArray[np.bool_]) -> str:
    """Name the first origins that are missing, for messages."""
    rows = np.flatnonzero(missing)

    def names() -> Iterable[str]:
        for row in rows:
            when = pd.Timestamp(origins.timestamps[row])
            yield f"item {origins.items[row]!s}, target {origins.channels[row]!s}, cutoff {when}"

    return first_of(names(), len(rows))
