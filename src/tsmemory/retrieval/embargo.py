"""Which stored windows a query may not see (METHOD 1.3).

Stored windows are kept in the order of the calendar, so what a query may not see is one stretch of
positions. The calendar is shared by all series: a window of another series over the same days knows
things about those days as well.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Embargo = Literal["overlap", "causal", "self"]
Int = NDArray[np.int64]


def embargoed_positions(
    stored: Int, query: Int, *, context_length: int, horizon: int, embargo: Embargo
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

    Returns:
        First embargoed position and the one after the last, each of shape ``(B,)``.
    """
    span = context_length + horizon
    if embargo == "overlap":
        return (
            np.searchsorted(stored, query - span, side="right"),
            np.searchsorted(stored, query + span, side="left"),
        )
    if embargo == "causal":
        first = np.searchsorted(stored, query - horizon, side="right")
        return first, np.full_like(first, len(stored))
    return (
        np.searchsorted(stored, query, side="left"),
        np.searchsorted(stored, query, side="right"),
    )
