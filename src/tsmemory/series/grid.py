"""The regular grid of a panel: which frequency it has, and where a timestamp lies on it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from tsmemory.series.errors import IngestionError

Int = NDArray[np.int64]

DAY = 86_400 * 10**9
_SATURDAY = 5
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
# Calendar rules by the days that their most common step can have.
_CALENDAR = {
    range(28, 32): ("MS", "ME", "BMS", "BME"),
    range(89, 93): tuple(f"{rule}-{month}" for rule in ("QS", "QE") for month in _MONTHS[:3]),
    range(365, 367): tuple(f"{rule}-{month}" for rule in ("YS", "YE") for month in _MONTHS),
}
# A step must account for this share of all steps to be called the frequency.
_COMMON = 0.5
# The other steps are gaps, thus multiples of it, but for a few stray timestamps.
_EXPLAINED = 0.9


@dataclass(frozen=True)
class Grid:
    """Regular timestamps, one sequence for each series.

    Attributes:
        freq: The step, as pandas writes it.
        step: The step in nanoseconds, 0 where its length varies (months, business days).
        anchor: Timestamp of position 0 of each series, nanoseconds. Shape ``(S,)``.
        stamps: All timestamps where the step varies, else empty. Shape ``(G,)``.
    """

    freq: str
    step: int
    anchor: Int
    stamps: Int

    @classmethod
    def covering(cls, code: Int, time: Int, freq: str) -> "Grid":
        """Build the grid on which most timestamps lie.

        Args:
            code: Series of each timestamp, 0 to S - 1. Shape ``(N,)``.
            time: Timestamps in nanoseconds. Shape ``(N,)``.
            freq: The step.

        Returns:
            The grid. With a fixed step each series has its own phase: the one that at least half
            of its timestamps have, else that of the round clock.
        """
        step = fixed_step(freq)
        if step:
            phases = pd.DataFrame({"code": code, "phase": time % step})
            counts = phases.value_counts(sort=False).rename("count").reset_index()
            counts = counts.sort_values(["count", "phase"], ascending=[False, True], kind="stable")
            best = counts.drop_duplicates("code").sort_values("code")
            common = 2 * best["count"].to_numpy() >= np.bincount(code)
            anchor = np.where(common, best["phase"].to_numpy(), 0).astype(np.int64)
            return cls(freq=freq, step=step, anchor=anchor, stamps=np.empty(0, dtype=np.int64))
        stamps = _calendar_stamps(time, freq)
        return cls(freq=freq, step=0, anchor=np.zeros(code.max() + 1, np.int64), stamps=stamps)

    def position(self, code: Int, time: Int) -> Int:
        """Position of the nearest grid point, the earlier of two equally near. Shape ``(N,)``."""
        if self.step:
            return -((self.step // 2 - (time - self.anchor[code])) // self.step)
        right = np.clip(np.searchsorted(self.stamps, time), 0, len(self.stamps) - 1)
        left = np.maximum(right - 1, 0)
        nearer = time - self.stamps[left] <= np.abs(self.stamps[right] - time)
        return np.where(nearer, left, right).astype(np.int64)

    def time(self, code: Int, position: Int) -> Int:
        """Timestamp of a position, nanoseconds. Shape ``(N,)``."""
        if self.step:
            return self.anchor[code] + position * self.step
        return self.stamps[position]


def check_frequency(freq: str) -> str:
    """Return a frequency as pandas writes it.

    Args:
        freq: For instance ``h``, ``15min``, ``D``, ``MS``.

    Returns:
        The canonical name.

    Raises:
        IngestionError: pandas does not know it, or it does not go forward.
    """
    advice = "use a pandas frequency such as 15min, h, D, W-MON, MS"
    try:
        offset = to_offset(freq)
    except ValueError as error:
        raise IngestionError(f"unknown frequency {freq!r}; {advice}") from error
    if offset is None or offset.n < 1:
        raise IngestionError(f"the frequency {freq!r} does not go forward; {advice}")
    return str(offset.freqstr)


def fixed_step(freq: str) -> int:
    """Length of a step in nanoseconds, 0 if it varies."""
    offset = to_offset(freq)
    if isinstance(offset, pd.tseries.offsets.Day):  # a Tick in pandas 2 only
        return int(offset.n) * DAY
    return int(offset.nanos) if isinstance(offset, pd.tseries.offsets.Tick) else 0


def infer_frequency(code: Int, time: Int) -> str:
    """Tell the frequency from the timestamps of all series together.

    Args:
        code: Series of each timestamp. Shape ``(N,)``.
        time: Timestamps in nanoseconds, ascending within each series, series one after another.
            Shape ``(N,)``.

    Returns:
        The frequency: the most common step, or the calendar rule (business days, months,
        quarters, years) that gives rise to it.

    Raises:
        IngestionError: There is no step between timestamps, or no common one.
    """
    steps = np.diff(time)[(np.diff(code) == 0) & (np.diff(time) > 0)]
    if len(steps) == 0:
        raise IngestionError(
            "the frequency cannot be told from a single timestamp; give ingestion.freq"
        )
    sizes, counts = np.unique(steps, return_counts=True)
    step = int(sizes[np.argmax(counts)])
    if step >= DAY and (calendar := _calendar_frequency(code, time, step)):
        return calendar
    common = counts.max() / len(steps)
    if common < _COMMON or counts[sizes % step == 0].sum() < _EXPLAINED * len(steps):
        order = np.argsort(-counts, kind="stable")[:3]
        shares = (f"{pd.Timedelta(sizes[i])} ({counts[i] / len(steps):.0%})" for i in order)
        raise IngestionError(
            f"the timestamps are irregular: the most common steps are {', '.join(shares)}; give "
            "ingestion.freq, and ingestion.off_grid=nearest if timestamps only lie near the grid"
        )
    if step % DAY == 0:
        return "D" if step == DAY else f"{step // DAY}D"
    return str(to_offset(pd.Timedelta(step)).freqstr)


def _calendar_frequency(code: Int, time: Int, step: int) -> str | None:
    """Calendar rule behind a step of a day or more, ``None`` if there is none."""
    dates = pd.DatetimeIndex(time.astype("datetime64[ns]"))
    if step == DAY:
        whole_weeks = time.max() - time.min() >= 7 * DAY
        weekend = (dates.day_of_week >= _SATURDAY).any()
        return "B" if whole_weeks and not weekend else None
    times = pd.Index(np.unique(time))
    for days, names in _CALENDAR.items():
        if step // DAY in days:
            shares = {name: times.isin(_calendar_stamps(times, name)).mean() for name in names}
            best = max(shares, key=lambda name: shares[name])
            return best if shares[best] >= _EXPLAINED else None
    return None


def _calendar_stamps(time: NDArray[np.int64] | pd.Index, freq: str) -> Int:
    """All timestamps of a calendar rule around the given ones, nanoseconds. Shape ``(G,)``."""
    offset = to_offset(freq)
    first, last = pd.Timestamp(time.min()), pd.Timestamp(time.max())
    dates = pd.date_range(offset.rollback(first), offset.rollforward(last), freq=freq)
    return dates.astype("datetime64[ns]").to_numpy().astype(np.int64)
