"""Timestamps of a table: taken without their zone, given back with it."""

import datetime
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from tsmemory.memory.errors import ForecasterError
from tsmemory.series.grid import fixed_step
from tsmemory.series.series_set import Int


class Clock(NamedTuple):
    """Timestamps without a zone, and how to give it back.

    Attributes:
        times: UTC, or local time where ``local``. Shape ``(N,)``.
        zone: The zone taken off, if there was one.
        local: Whether local dates were kept, since in UTC they would not be regular.
    """

    times: pd.DatetimeIndex
    zone: datetime.tzinfo | None = None
    local: bool = False

    def take(self, which: Int) -> "Clock":
        """The chosen timestamps."""
        return self._replace(times=self.times[which])

    def restore(self, times: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """Put the zone back on other timestamps. Shape ``(M,)``."""
        if self.zone is None:
            return times
        if not self.local:
            return times.tz_localize("UTC").tz_convert(self.zone)
        first = np.ones(len(times), dtype=bool)
        return times.tz_localize(self.zone, ambiguous=first, nonexistent="shift_forward")

    def future(self, freq: str, horizon: int) -> NDArray[np.datetime64]:
        """The timestamps after each of these, without a zone.

        Args:
            freq: The step, as pandas writes it.
            horizon: H, steps.

        Returns:
            Shape ``(N, H)``.
        """
        offset = to_offset(freq)
        if fixed_step(freq):
            steps = [self.times + step * offset for step in range(1, horizon + 1)]
            return np.stack([stamps.to_numpy() for stamps in steps], axis=1)
        # Most series end together. One by one, since pandas warns of offsets that it adds so, and
        # a warning cannot be silenced in one thread alone.
        ends, which = np.unique(self.times.to_numpy(), return_inverse=True)
        ahead = [step * offset for step in range(1, horizon + 1)]
        stamps = [pd.Timestamp(end) + further for end in ends for further in ahead]
        return pd.DatetimeIndex(stamps).to_numpy().reshape(len(ends), horizon)[which]


def read_clock(column: pd.Series) -> Clock:
    """Read timestamps of any kind that pandas reads, except bare numbers.

    Args:
        column: The timestamps; its name is used in messages. Shape ``(N,)``.

    Returns:
        The timestamps.

    Raises:
        ForecasterError: Numbers, dates that cannot be read, or a row without one.
    """
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
        return Clock(times)
    wall = times.tz_localize(None)
    if (wall - wall.normalize()).nunique() == 1:  # daily and coarser: a day may have 23 hours
        return Clock(wall, times.tz, local=True)
    return Clock(times.tz_convert("UTC").tz_localize(None), times.tz)
