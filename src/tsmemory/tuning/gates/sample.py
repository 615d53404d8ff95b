"""Windows that a cheap trial looks at: some of all, evenly over time and the hours of the day."""

import math

import numpy as np

from tsmemory.series.series_set import Int, SeriesSet
from tsmemory.series.windows import Windows


def sample_windows(windows: Windows, series: SeriesSet, *, steps: int, season: int) -> Int:
    """Positions of the windows at every so-and-so-many-th origin, for all series alike.

    At a spacing that shares a factor with the season all windows would begin at the same few hours,
    so a spacing is taken that leaves at least half of them.

    Args:
        windows: N windows.
        series: The rows.
        steps: Target steps wanted in all, about.
        season: Steps in a season.

    Returns:
        Positions in order; all of them where there are no more steps than wanted.
    """
    origins, place = np.unique(windows.calendar(series), return_inverse=True)
    every = max(1, -(-len(windows) * windows.horizon // max(steps, 1)))
    stride = round(float(np.median(np.diff(origins)))) if len(origins) > 1 else 1
    most = 2 * math.gcd(stride, season)
    while every > 1 and math.gcd(every * stride, season) > most:
        every += 1
    return np.flatnonzero(place % every == 0)


def spacing(origin_time: Int) -> int:
    """Steps between neighbouring origins, as large as the widest ordinary gap."""
    gaps = np.diff(np.unique(origin_time))
    return max(1, math.ceil(1.5 * float(np.median(gaps)))) if len(gaps) else 1
