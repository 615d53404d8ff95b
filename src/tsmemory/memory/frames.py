"""Tables in, tables out: the series of a long table as contexts, forecasts as a long table.

Columns, order and types of the answer are those of chronos-forecasting's ``predict_df``.
"""

import datetime
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from tsmemory.backbones import Origins
from tsmemory.memory.contexts import Real, representable
from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.origins import raw_origins
from tsmemory.series.errors import IngestionError, columns_found
from tsmemory.series.grid import DAY, Grid, check_frequency, infer_frequency
from tsmemory.series.series_set import Float, Int

ID_COLUMN = "item_id"

_ONLY = "series"  # identifier of the series in a table without identifiers
_SHORTEST_MONTH = 28 * DAY
_OWN_STEP = 0.5  # a series must step by the frequency at least so often


class _Clock(NamedTuple):
    """Timestamps without a zone, and how to give it back.

    Attributes:
        times: UTC, or local time where ``local``. Shape ``(N,)``.
        zone: The zone taken off, if there was one.
        local: Whether local dates were kept, since in UTC they would not be regular.
    """

    times: pd.DatetimeIndex
    zone: datetime.tzinfo | None = None
    local: bool = False

    def restore(self, times: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """Put the zone back on other timestamps. Shape ``(M,)``."""
        if self.zone is None:
            return times
        if not self.local:
            return times.tz_localize("UTC").tz_convert(self.zone)
        first = np.ones(len(times), dtype=bool)
        return times.tz_localize(self.zone, ambiguous=first, nonexistent="shift_forward")


@dataclass(frozen=True)
class FrameSeries:
    """The series of a table, in the order in which they first appear.

    Attributes:
        contexts: Last L steps of each target, NaN where missing. Shape ``(S, targets, L)``.
        item_id: Identifier of each series. Shape ``(S,)``.
        targets: Names of the target columns.
        freq: The step, as pandas writes it.
        id_column: Name of the identifier column.
        timestamp_column: Name of the timestamp column.
        is_single: Whether the table has no identifiers, being a single series.
    """

    contexts: Real
    item_id: NDArray[Any]
    targets: tuple[str, ...]
    freq: str
    id_column: str
    timestamp_column: str
    is_single: bool
    _clock: _Clock
    _last: Int  # row of the last timestamp of each series

    def label(self, position: int) -> str:
        """What a message calls the context at a position of the flattened contexts."""
        item, target = divmod(position, len(self.targets))
        name = f"item {self.item_id[item]!r}"
        return f"{name}, target {self.targets[target]!r}" if len(self.targets) > 1 else name

    def origins(self) -> Origins:
        """Where the flattened contexts end, their values being in the table's own unit."""
        last = self._clock.times[self._last].to_numpy()
        return raw_origins(self.item_id, self.targets, last)

    def items(self) -> NDArray[np.str_] | None:
        """Identifier of each context; ``None`` if the table has none. Shape ``(S * targets,)``."""
        if self.is_single:
            return None
        return np.repeat(self.item_id.astype(str), len(self.targets))

    def answer(self, quantiles: Float, median: Float, levels: Sequence[float]) -> pd.DataFrame:
        """Lay forecasts out as a table, ordered by series, target and step.

        Args:
            quantiles: Shape ``(S * targets, H, len(levels))``.
            median: Shape ``(S * targets, H)``.
            levels: Quantile levels; a column is named by ``str(level)``.

        Returns:
            Table ``<id>, <timestamp>, target_name, predictions, <levels>``.
        """
        count, horizon = len(self.targets), median.shape[1]
        each = np.repeat(np.arange(len(self.item_id)), count)
        stamps = self._future(horizon)[each].ravel()
        columns: dict[str, Any] = {
            self.id_column: np.repeat(self.item_id[each], horizon),
            self.timestamp_column: self._clock.restore(pd.DatetimeIndex(stamps)),
            "target_name": np.tile(np.repeat(self.targets, horizon), len(self.item_id)),
            "predictions": median.ravel(),
        }
        for number, level in enumerate(levels):
            columns[str(level)] = quantiles[:, :, number].ravel()
        return pd.DataFrame(columns)

    def _future(self, horizon: int) -> NDArray[np.datetime64]:
        """Timestamps after the last one of each series, without a zone. Shape ``(S, H)``."""
        last, offset = self._clock.times[self._last], to_offset(self.freq)
        with warnings.catch_warnings():  # offsets that pandas adds one by one say so
            warnings.simplefilter("ignore", category=pd.errors.PerformanceWarning)
            steps = [last + step * offset for step in range(1, horizon + 1)]
        return np.stack(steps, axis=1)


def read_frame(
    df: pd.DataFrame,
    *,
    id_column: str,
    timestamp_column: str,
    targets: Sequence[str],
    context_length: int,
    freq: str | None,
) -> FrameSeries:
    """Take the series out of a long table.

    Args:
        df: The table, rows in any order; other columns are ignored.
        id_column: Column of identifiers. A table without the default one, ``item_id``, is a
            single series called ``series``.
        timestamp_column: Column of timestamps, with or without a zone.
        targets: Columns of numbers, NaN where missing.
        context_length: L, steps kept of each series.
        freq: The step of all series. Then rows of a series count as consecutive steps whatever
            their timestamps. ``None`` infers it, and rows that lack become missing steps.

    Returns:
        The series.

    Raises:
        ForecasterError: A missing column, an empty table, identifiers, timestamps or values that
            cannot be read, duplicate or irregular timestamps.
    """
    if not targets:
        raise ForecasterError("target names no column")
    is_single = id_column == ID_COLUMN and id_column not in df.columns
    if is_single:
        df = df.assign(**{ID_COLUMN: _ONLY})
    _check_columns(df, (id_column, timestamp_column, *targets))
    code, ids = pd.factorize(df[id_column])
    if (code < 0).any():
        first = int(np.argmax(code < 0)) + 1
        raise ForecasterError(f"column {id_column!r} holds no identifier in row {first}")
    clock = _read_clock(df[timestamp_column])
    values = np.column_stack([_numbers(df[name]) for name in targets])
    row = np.arange(len(df))
    if not _in_order(code, clock.times.asi8):
        row = np.lexsort([clock.times.asi8, code])
        code, values, clock = code[row], values[row], clock._replace(times=clock.times[row])
    last = np.append(np.flatnonzero(np.diff(code)), len(code) - 1)
    item_id = df[id_column].iloc[row[last]].to_numpy()
    back, freq = _steps_back(code, clock.times, item_id, last, freq)
    contexts = np.full((len(ids), len(targets), context_length), np.nan)
    recent = back < context_length
    contexts[code[recent], :, context_length - 1 - back[recent]] = values[recent]
    return FrameSeries(
        contexts=contexts,
        item_id=item_id,
        targets=tuple(targets),
        freq=freq,
        id_column=id_column,
        timestamp_column=timestamp_column,
        is_single=is_single,
        _clock=clock,
        _last=last,
    )


def _check_columns(df: pd.DataFrame, names: tuple[str, ...]) -> None:
    missing = [repr(name) for name in names if name not in df.columns]
    if missing:
        found = columns_found([str(column) for column in df.columns])
        raise ForecasterError(f"the table has no column {', '.join(missing)}; {found}")
    if len(df) == 0:
        raise ForecasterError("the table has no rows")


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    """A target as numbers, NaN where missing. Shape ``(N,)``."""
    if not pd.api.types.is_numeric_dtype(column):
        raise ForecasterError(f"target column {column.name!r} holds no numbers ({column.dtype})")
    return representable(column.to_numpy(dtype=np.float64, na_value=np.nan))


def _read_clock(column: pd.Series) -> _Clock:
    """Timestamps of any kind that pandas reads, except bare numbers."""
    if pd.api.types.is_numeric_dtype(column):
        raise ForecasterError(
            f"timestamp column {column.name!r} holds numbers ({column.dtype}); turn them into "
            "dates with pandas.to_datetime, which must know their unit"
        )
    try:
        times = pd.DatetimeIndex(pd.to_datetime(column))
        times.as_unit("ns")  # the range that steps are counted in
    except (ValueError, TypeError) as error:
        raise ForecasterError(
            f"timestamp column {column.name!r} holds dates that cannot be read: {error}"
        ) from error
    if times.hasnans:
        row = int(np.argmax(times.isna())) + 1
        raise ForecasterError(f"timestamp column {column.name!r} holds no date in row {row}")
    if times.tz is None:
        return _Clock(times)
    wall = times.tz_localize(None)
    if (wall - wall.normalize()).nunique() == 1:  # daily and coarser: a day may have 23 hours
        return _Clock(wall, times.tz, local=True)
    return _Clock(times.tz_convert("UTC").tz_localize(None), times.tz)


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
    rows_back = last[code] - np.arange(len(code))
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
