"""Where the rows of a table of forecasts lie: how many steps after their cutoff."""

import numpy as np
import pandas as pd

from tsmemory.series.errors import IngestionError, first_of, first_rows
from tsmemory.series.grid import Grid, infer_frequency
from tsmemory.series.series_set import Int
from tsmemory.series.timestamps import to_timestamps

TIMESTAMP, STEP = "timestamp", "step"


def nanoseconds(column: pd.Series) -> Int:
    """Timestamps of a column, which must carry no zone, in nanoseconds. Shape ``(M,)``."""
    times, zone = to_timestamps(column)
    if zone is not None:
        raise IngestionError(
            f"column {column.name!r} carries a time zone; write the timestamps without one, as the "
            "dataset forecast_origins has them"
        )
    return times.to_numpy().astype("datetime64[ns]").astype(np.int64)


def steps_of(frame: pd.DataFrame, series: Int, cutoff: Int) -> Int:
    """Step of each row after its cutoff, from 1.

    Args:
        frame: M rows with a column ``step``, or else ``timestamp``.
        series: Series of each row. Shape ``(M,)``.
        cutoff: Cutoff of each row, nanoseconds. Shape ``(M,)``.

    Returns:
        Steps, shape ``(M,)``.

    Raises:
        IngestionError: Steps that do not count from 1, or timestamps that are no whole steps after
            the cutoff.
    """
    if STEP not in frame:
        return _steps_of_timestamps(frame[TIMESTAMP], series, cutoff)
    given = pd.to_numeric(frame[STEP], errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~((given >= 1) & (given == np.round(given)))
    if wrong.any():
        rows = first_rows(wrong, frame[STEP])
        raise IngestionError(f"column {STEP!r} must count from 1, first wrong at {rows}")
    return given.astype(np.int64)


def _steps_of_timestamps(column: pd.Series, series: Int, cutoff: Int) -> Int:
    """The same, on the grid that cutoffs and timestamps lie on together."""
    group, forecasts = pd.factorize(pd.MultiIndex.from_arrays([series, cutoff]))
    count = len(forecasts)
    code = np.concatenate([np.arange(count), group])
    time = np.concatenate([forecasts.get_level_values(1).to_numpy(), nanoseconds(column)])
    order = np.lexsort([time, code])
    try:
        grid = Grid.covering(code, time, infer_frequency(code[order], time[order]))
    except IngestionError as error:
        raise IngestionError(
            f"the timestamps do not step regularly from their cutoff; give {STEP!r} instead"
        ) from error
    position = grid.position(code, time)
    step = position[count:] - position[group]
    wrong = (grid.time(code, position)[count:] != time[count:]) | (step < 1)
    if wrong.any():
        raise IngestionError(
            f"column {TIMESTAMP!r} must hold whole steps of {grid.freq} after the cutoff, first "
            f"wrong at {first_rows(wrong, column)}"
        )
    return np.asarray(step, dtype=np.int64)


def check_steps(series: Int, cutoff: Int, step: Int, row: Int) -> int:
    """Refuse forecasts with repeated or missing steps.

    Args:
        series: Series of each row, ascending. Shape ``(M,)``.
        cutoff: Cutoff of each row, nanoseconds, ascending within a series. Shape ``(M,)``.
        step: Step of each row, ascending within a cutoff. Shape ``(M,)``.
        row: Number of each row in the file, for messages. Shape ``(M,)``.

    Returns:
        H, the steps that every forecast has.

    Raises:
        IngestionError: A step is there twice or not at all.
    """
    fresh = (np.diff(series) != 0) | (np.diff(cutoff) != 0)
    twice = np.flatnonzero(~fresh & (np.diff(step) == 0))
    if len(twice):
        pairs = (f"rows {row[i]} and {row[i + 1]}" for i in twice)
        raise IngestionError(
            "the same series, cutoff and step is there twice: "
            f"{first_of(pairs, len(twice))} (rows counted without the header)"
        )
    begin = np.concatenate([[0], np.flatnonzero(fresh) + 1])
    length, horizon = np.diff(np.append(begin, len(step))), int(step.max())
    short = np.flatnonzero(length < horizon)
    if len(short):
        first = begin[short[0]]
        raise IngestionError(
            f"{len(short)} of {len(begin)} forecasts lack steps: each must hold the steps 1 to "
            f"{horizon}, that of row {row[first]} (cutoff {pd.Timestamp(cutoff[first])}) holds "
            f"{length[short[0]]} of them"
        )
    return horizon
