"""The rows of a long table, by series and time, and how far before the last one each lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.memory.clock import Clock, read_clock
from tsmemory.memory.contexts import representable
from tsmemory.memory.errors import ForecasterError
from tsmemory.series.errors import IngestionError, columns_found
from tsmemory.series.grid import DAY, Grid, check_frequency, infer_frequency
from tsmemory.series.series_set import Int

ID_COLUMN = "item_id"

_ONLY = "series"  # identifier of the series in a table without identifiers
_SHORTEST_MONTH = 28 * DAY
_OWN_STEP = 0.5  # a series must step by the frequency at least so often


@dataclass(frozen=True)
class Rows:
    """Rows of a table, series in the order in which they first appear, by time in each.

    Attributes:
        code: Series of each row, ascending. Shape ``(N,)``.
        back: Steps before the last one of its series. Shape ``(N,)``.
        values: Targets, NaN where missing. Shape ``(N, targets)``.
        item_id: Identifier of each series. Shape ``(S,)``.
        last: When each series ends. Shape ``(S,)``.
        freq: The step, as pandas writes it.
        is_single: Whether the table has no identifiers, being a single series.
    """

    code: Int
    back: Int
    values: NDArray[np.float64]
    item_id: NDArray[Any]
    last: Clock
    freq: str
    is_single: bool


def read_rows(
    df: pd.DataFrame,
    *,
    id_column: str,
    timestamp_column: str,
    targets: Sequence[str],
    freq: str | None,
    checked: bool = True,
) -> Rows:
    """Take the rows out of a long table.

    Args:
        df: The table, rows in any order; other columns are ignored.
        id_column: Column of identifiers. A table without the default one, ``item_id``, is a
            single series called ``series``.
        timestamp_column: Column of timestamps, with or without a zone.
        targets: Columns of numbers, NaN where missing.
        freq: The step of all series. Then rows of a series count as consecutive steps whatever
            their timestamps. ``None`` infers it, and rows that lack become missing steps.
        checked: Whether order and regularity are looked at. If not, rows count as sorted and
            consecutive.

    Returns:
        The rows.

    Raises:
        ForecasterError: A missing column, an empty table, identifiers, timestamps or values that
            cannot be read, duplicate or irregular timestamps.
    """
    is_single = _is_single(df, id_column)
    keys = (timestamp_column,) if is_single else (id_column, timestamp_column)
    _check_columns(df, keys, targets)
    if is_single:
        df = df.assign(**{ID_COLUMN: _ONLY})
    code, ids = pd.factorize(df[id_column])
    if (code < 0).any():
        first = int(np.argmax(code < 0)) + 1
        raise ForecasterError(f"column {id_column!r} holds no identifier in row {first}")
    clock = read_clock(df[timestamp_column])
    values = np.column_stack([_numbers(df[name]) for name in targets])
    row = np.arange(len(df))
    if checked and not _in_order(code, clock.times.asi8):
        row = np.lexsort([clock.times.asi8, code])
        code, values, clock = code[row], values[row], clock.take(row)
    last = np.append(np.flatnonzero(np.diff(code)), len(code) - 1)
    item_id = df[id_column].iloc[row[last]].to_numpy()
    if checked:
        back, freq = _steps_back(code, clock.times, item_id, last, freq)
    else:
        _check_grouped(last, ids)
        back, freq = _consecutive(code, last), freq or _first_frequency(code, clock.times)
    return Rows(code, back, values, item_id, clock.take(last), freq, is_single)


def _is_single(df: pd.DataFrame, id_column: str) -> bool:
    """Whether a table has no identifiers; refuse what is no table."""
    if not isinstance(df, pd.DataFrame):
        raise ForecasterError(f"a pandas DataFrame is needed, got {type(df).__name__}")
    return id_column == ID_COLUMN and id_column not in (*df.columns, *df.index.names)


def _check_columns(df: pd.DataFrame, keys: Sequence[str], targets: Sequence[str]) -> None:
    if not targets:
        raise ForecasterError("target names no column")
    names = (*keys, *targets)
    if twice := [repr(name) for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ForecasterError(f"column {', '.join(twice)} is asked for more than once")
    if missing := [repr(name) for name in names if name not in df.columns]:
        found = columns_found([str(column) for column in df.columns])
        indexed = any(name in df.index.names for name in names)
        advice = "; it is in the index: call df.reset_index() first" if indexed else ""
        raise ForecasterError(f"the table has no column {', '.join(missing)}; {found}{advice}")
    repeated = set(df.columns[df.columns.duplicated()])
    if twice := [repr(name) for name in names if name in repeated]:
        raise ForecasterError(f"the table has more than one column {', '.join(twice)}")
    if len(df) == 0:
        raise ForecasterError("the table has no rows")


def _check_grouped(last: Int, ids: Any) -> None:
    """Refuse scattered series, whose steps could not be told apart."""
    if len(last) != len(ids):
        raise ForecasterError(
            "the rows of a series do not stand together; sort the table, or leave validate_inputs "
            "as it is"
        )


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    """A target as numbers, NaN where missing. Shape ``(N,)``."""
    if not pd.api.types.is_numeric_dtype(column):
        raise ForecasterError(f"target column {column.name!r} holds no numbers ({column.dtype})")
    return representable(column.to_numpy(dtype=np.float64, na_value=np.nan))


def _consecutive(code: Int, last: Int) -> Int:
    """Rows before the last one of their series. Shape ``(N,)``."""
    back: Int = last[code] - np.arange(len(code))
    return back


def _first_frequency(code: Int, times: pd.DatetimeIndex) -> str:
    """The frequency of the first series that tells one."""
    longer = np.flatnonzero(np.bincount(code) > 1)
    if not len(longer):
        raise ForecasterError("no item has two timestamps to tell the frequency from; give freq")
    rows = code == longer[0]
    try:
        return infer_frequency(code[rows], times[rows].as_unit("ns").asi8)
    except IngestionError as error:
        raise ForecasterError(f"the timestamps are irregular; give freq ({error})") from error


def _in_order(code: Int, time: Int) -> bool:
    """Whether rows are grouped by series in order of appearance, and by time inside."""
    onward = np.diff(code)
    return bool(((onward > 0) | ((onward == 0) & (np.diff(time) >= 0))).all())


def _steps_back(
    code: Int, times: pd.DatetimeIndex, item_id: NDArray[Any], last: Int, freq: str | None
) -> tuple[Int, str]:
    """How many steps before its series' last one each row lies, and the frequency.

    Args:
        code: Series of each row, ascending. Shape ``(N,)``.
        times: Timestamps, ascending in each series. Shape ``(N,)``.
        item_id: Identifier of each series. Shape ``(S,)``.
        last: Last row of each series. Shape ``(S,)``.
        freq: The step, ``None`` to infer it.
    """
    time = times.as_unit("ns").asi8
    inner = np.flatnonzero(np.diff(code) == 0)  # rows followed by one of the same series
    step = time[inner + 1] - time[inner]
    if (step == 0).any():
        row = inner[np.argmax(step == 0)]
        raise ForecasterError(
            f"item {item_id[code[row]]!r} has more than one row at {times[row]}; keep one of them, "
            "or name the column that tells series apart in id_column"
        )
    rows_back = _consecutive(code, last)
    if freq is not None:
        try:
            return rows_back, check_frequency(freq)
        except IngestionError as error:
            raise ForecasterError(str(error)) from error
    if len(inner) == 0:
        raise ForecasterError("no item has two timestamps to tell the frequency from; give freq")
    if step[0] < _SHORTEST_MONTH and (step == step[0]).all():
        pair = slice(inner[0], inner[0] + 2)
        return rows_back, infer_frequency(code[pair], time[pair])
    return _steps_on_grid(code, times, item_id, last)


def _steps_on_grid(
    code: Int, times: pd.DatetimeIndex, item_id: NDArray[Any], last: Int
) -> tuple[Int, str]:
    """The same where steps differ: calendar frequencies, and series with gaps."""
    time = times.as_unit("ns").asi8
    advice = "; add the rows that lack, with NaN, or give freq to count rows as consecutive steps"
    inner = np.diff(code) == 0
    try:
        freq = infer_frequency(code, time)
    except IngestionError as error:
        sizes, counts = np.unique(np.diff(time)[inner], return_counts=True)
        row = int(np.argmax(inner & (np.diff(time) != sizes[np.argmax(counts)])))
        raise ForecasterError(
            f"item {item_id[code[row]]!r} has irregular timestamps: {times[row]} is followed by "
            f"{times[row + 1]}{advice}"
        ) from error
    grid = Grid.covering(code, time, freq)
    position = grid.position(code, time)
    off = grid.time(code, position) != time
    if off.any():
        row = int(np.argmax(off))
        raise ForecasterError(
            f"item {item_id[code[row]]!r} has irregular timestamps: {times[row]} does not lie on "
            f"its {freq} grid{advice}"
        )
    single = np.bincount(code[1:][inner & (np.diff(position) == 1)], minlength=len(last))
    other = single < _OWN_STEP * np.bincount(code[1:][inner], minlength=len(last))
    if other.any():
        raise ForecasterError(
            f"item {item_id[np.argmax(other)]!r} does not step by {freq} as most rows do; forecast "
            f"series of different frequencies apart{advice}"
        )
    return position[last][code] - position, freq
