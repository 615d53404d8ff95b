"""From a long table of any order to a regular panel, with every repair counted."""

import logging
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from tsmemory.series.errors import IngestionError, first_of, of_file
from tsmemory.series.grid import Grid, Int, check_frequency, infer_frequency

logger = logging.getLogger(__name__)

Duplicates = Literal["error", "first", "mean"]
OffGrid = Literal["error", "nearest"]
# More grid points than this for each observed one mean a wrong frequency or a stray date.
_MOST_POINTS = 50


@dataclass(frozen=True)
class Repairs:
    """What it took to make a panel regular.

    Attributes:
        unsorted_rows: Rows that came earlier than the row before them, of the same series.
        duplicate_rows: Rows merged into another one of the same series and timestamp.
        moved_rows: Rows moved to the nearest grid point.
        gap_rows: Rows inserted, all values missing.
        gaps: Stretches of inserted rows.
        longest_gap: Rows of the longest such stretch.
        warnings: The same in sentences.
    """

    unsorted_rows: int
    duplicate_rows: int
    moved_rows: int
    gap_rows: int
    gaps: int
    longest_gap: int
    warnings: tuple[str, ...]


def regularise(
    long: pd.DataFrame,
    *,
    freq: str | None = None,
    duplicates: Duplicates = "error",
    off_grid: OffGrid = "error",
) -> tuple[pd.DataFrame, str, Repairs]:
    """Sort a long table, merge duplicates, and put every series on the regular grid.

    Args:
        long: Table ``item_id, timestamp, <channels>``, channels float64.
        freq: Step of the grid; ``None`` infers it from all series together.
        duplicates: What becomes of rows with the same series and timestamp: an error, the first
            row, or the mean of what they hold.
        off_grid: What becomes of timestamps beside the grid: an error, or the nearest point.

    Returns:
        The panel, regular, sorted by time within each series, series in order of appearance, NaN
        where nothing was observed; the frequency; and the repairs.

    Raises:
        IngestionError: Duplicates or off-grid timestamps without a repair asked for, a frequency
            that is unknown or cannot be told, or a grid far larger than the data.
    """
    names = long["item_id"].unique()
    table, unsorted_rows = _sort(long, names)
    code = table["code"].to_numpy(dtype=np.int64)
    time = table["time"].to_numpy(dtype=np.int64)
    if duplicates == "error":
        _refuse_duplicates(table, names)
    freq = infer_frequency(code, time) if freq is None else check_frequency(freq)
    grid = Grid.covering(code, time, freq)
    position = grid.position(code, time)
    moved_rows = _moved(grid, code, time, position, names, off_grid)
    table["position"] = position
    merged = _merge(table, duplicates, names)
    panel, gap_sizes = _fill(merged, grid, names, list(long.columns[2:]))
    repairs = Repairs(
        unsorted_rows=unsorted_rows,
        duplicate_rows=len(table) - len(merged),
        moved_rows=moved_rows,
        gap_rows=int(gap_sizes.sum()),
        gaps=len(gap_sizes),
        longest_gap=int(gap_sizes.max(initial=0)),
        warnings=(),
    )
    return panel, freq, _with_warnings(repairs, duplicates, freq)


def _sort(long: pd.DataFrame, names: np.ndarray) -> tuple[pd.DataFrame, int]:
    """Sort by series and time, keeping the order of equal rows; count rows out of order."""
    codes = pd.Series(np.arange(len(names)), index=names)
    table = long.iloc[:, 2:].reset_index(drop=True)
    table.insert(0, "code", codes[long["item_id"]].to_numpy())
    table.insert(1, "time", long["timestamp"].to_numpy().astype(np.int64))
    together = table[["code", "time"]].sort_values("code", kind="stable")
    backwards = (together["code"].diff() == 0) & (together["time"].diff() < 0)
    return (
        table.sort_values(["code", "time"], kind="stable", ignore_index=True),
        int(backwards.sum()),
    )


def _refuse_duplicates(table: pd.DataFrame, names: np.ndarray) -> None:
    """Raise if a series holds a timestamp twice."""
    repeated = table.duplicated(["code", "time"])
    if repeated.any():
        again = table.loc[repeated, ["code", "time"]].drop_duplicates().to_numpy(dtype=np.int64)
        rows = (f"series {names[code]!r} at {pd.Timestamp(time)}" for code, time in again)
        raise IngestionError(
            f"{repeated.sum()} rows repeat a timestamp of their series: "
            f"{first_of(rows, len(again))}; set ingestion.duplicates to first or mean to merge "
            "them, or name the column that tells series apart in ingestion.item_id_column"
        )


def _moved(
    grid: Grid, code: Int, time: Int, position: Int, names: np.ndarray, off_grid: OffGrid
) -> int:
    """Count the rows beside the grid, or raise."""
    nearest = grid.time(code, position)
    bad = np.flatnonzero(nearest != time)
    if len(bad) and off_grid == "error":
        rows = (
            f"series {names[code[i]]!r} at {pd.Timestamp(time[i])} "
            f"(nearest: {pd.Timestamp(nearest[i])})"
            for i in bad
        )
        raise IngestionError(
            f"timestamps beside the grid of frequency {grid.freq!r}: {first_of(rows, len(bad))}; "
            "correct them, give another ingestion.freq, or set ingestion.off_grid to nearest"
        )
    return len(bad)


def _merge(table: pd.DataFrame, duplicates: Duplicates, names: np.ndarray) -> pd.DataFrame:
    """One row for each series and position."""
    keys = ["code", "position"]
    again = table[table.duplicated(keys)]
    if len(again) == 0:
        return table
    if duplicates == "error":
        row = again.iloc[0]
        raise IngestionError(
            f"{len(again)} rows fall on the same grid point as another, first series "
            f"{names[int(row['code'])]!r} at {pd.Timestamp(int(row['time']))}; give a finer "
            "ingestion.freq, or set ingestion.duplicates to first or mean"
        )
    if duplicates == "first":
        return table.drop_duplicates(keys, ignore_index=True)
    return table.groupby(keys, sort=True, as_index=False).mean()


def _fill(
    merged: pd.DataFrame, grid: Grid, names: np.ndarray, channels: list[str]
) -> tuple[pd.DataFrame, Int]:
    """Lay the rows on the whole grid; also the sizes of the gaps. Shape ``(gaps,)``."""
    code = merged["code"].to_numpy(dtype=np.int64)
    position = merged["position"].to_numpy(dtype=np.int64)
    first = np.flatnonzero(np.diff(code, prepend=-1))
    last = np.append(first[1:], len(code)) - 1
    length = position[last] - position[first] + 1
    if length.sum() > _MOST_POINTS * len(merged) + 10_000:
        raise IngestionError(
            f"the grid of frequency {grid.freq!r} would have {length.sum():,} points for "
            f"{len(merged):,} observed; give a coarser ingestion.freq, or remove stray dates "
            f"(first {_stamp(grid, code, position, position.argmin())}, "
            f"last {_stamp(grid, code, position, position.argmax())})"
        )
    offset = np.concatenate([[0], np.cumsum(length)])
    where = offset[code] + position - position[first][code]
    all_code = np.repeat(np.arange(len(names)), length)
    all_position = np.arange(offset[-1]) - np.repeat(offset[:-1] - position[first], length)
    panel: dict[str, object] = {
        "item_id": names[all_code],
        "timestamp": grid.time(all_code, all_position).astype("datetime64[ns]"),
    }
    for channel in channels:
        values = np.full(offset[-1], np.nan)
        values[where] = merged[channel].to_numpy(dtype=np.float64)
        panel[channel] = values
    jumps = np.diff(position)[np.diff(code) == 0] - 1
    return pd.DataFrame(panel), jumps[jumps > 0]


def _stamp(grid: Grid, code: Int, position: Int, row: np.intp) -> pd.Timestamp:
    """Grid timestamp of one row."""
    return pd.Timestamp(grid.time(code[row : row + 1], position[row : row + 1])[0])


def _with_warnings(repairs: Repairs, duplicates: Duplicates, freq: str) -> Repairs:
    """Say every repair in a sentence, in the log too."""
    said = (
        (repairs.unsorted_rows, "row(s) came out of order and have been sorted"),
        (repairs.moved_rows, f"row(s) moved to the nearest point of the {freq} grid"),
        (repairs.duplicate_rows, f"duplicate row(s) merged ({duplicates})"),
        (
            repairs.gap_rows,
            f"missing row(s) in {repairs.gaps} gap(s) filled with NaN, the longest of "
            f"{repairs.longest_gap}",
        ),
    )
    warnings = tuple(f"{count} {what}" for count, what in said if count)
    if warnings:
        logger.warning(of_file("; ".join(warnings)))
    return replace(repairs, warnings=warnings)
