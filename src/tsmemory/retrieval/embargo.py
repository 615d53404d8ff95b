"""Which stored windows a query may not see (METHOD 1.3).

Stored windows are kept in the order of the calendar, so what a query may not see is one stretch of
positions. The calendar is shared by all series: a window of another series over the same days knows
things about those days as well.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tsmemory.series.grid import fixed_step
from tsmemory.series.series_set import SeriesSet

Embargo = Literal["overlap", "causal", "self"]
Int = NDArray[np.int64]


def calendar_slack(series: SeriesSet) -> int:
    """Steps by which equal places on the shared calendar may lie apart in time.

    Series may be recorded at the full hour and at half past: their places are rounded up to the
    steps of the calendar, so that what seems to begin together begins up to a step apart.
    """
    step = fixed_step(series.freq)
    begin = series.begin.astype("datetime64[ns]").astype(np.int64)
    return int(step > 0 and len(np.unique(begin % step)) > 1)


def embargoed_positions(
    stored: Int,
    query: Int,
    *,
    context_length: int,
    horizon: int,
    embargo: Embargo,
    slack: int = 0,
) -> tuple[Int, Int]:
    """Stretch of stored positions that each query may not see.

    ``overlap`` excludes every window whose ``[start, start + L + H)`` intersects the query's.
    ``causal`` admits only windows whose future is wholly known at the query's origin.
    ``self`` excludes only windows with the query's own start, and is there to reproduce the
    published setting, which leaks.

    Args:
        stored: Calendar starts of the stored windows, ascending. Shape ``(n,)``.
        query: Calendar starts of the queries. Shape ``(B,)``.
        context_length: L.
        horizon: H, the longest.
        embargo: The mode.
        slack: Steps added to ``overlap`` and ``causal``, see :func:`calendar_slack`.

    Returns:
        First embargoed position and the one after the last, each of shape ``(B,)``.
    """
    span = context_length + horizon + slack
    if embargo == "overlap":
        return (
            np.searchsorted(stored, query - span, side="right"),
            np.searchsorted(stored, query + span, side="left"),
        )
    if embargo == "causal":
        first = np.searchsorted(stored, query - horizon - slack, side="right")
        return first, np.full_like(first, len(stored))
    return (
        np.searchsorted(stored, query, side="left"),
        np.searchsorted(stored, query, side="right"),
    )
