"""What to read out of a leaderboard first, for the terminal and the report."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MOST_HORIZONS = 4
NAIVE = ("last_value", "seasonal_naive")


def choose_horizons(horizons: Sequence[int]) -> list[int]:
    """Pick at most four horizons, first and last among them, evenly spread."""
    known = sorted(set(horizons))
    if len(known) <= MOST_HORIZONS:
        return known
    step = (len(known) - 1) / (MOST_HORIZONS - 1)
    return [known[round(i * step)] for i in range(MOST_HORIZONS)]


def beaten_by_naive(leaderboard: "pd.DataFrame") -> list[int]:
    """Horizons at which a naive forecast has a lower absolute error than the frozen backbone."""
    errors = leaderboard[leaderboard["metric"] == "mae"].pivot_table(
        index="horizon", columns="method", values="value"
    )
    naive = [name for name in NAIVE if name in errors]
    if not naive or "frozen" not in errors:
        return []
    return [int(h) for h in errors.index[errors[naive].min(axis=1) < errors["frozen"]]]


def naive_warning(leaderboard: "pd.DataFrame") -> str | None:
    """A sentence where a naive forecast beats the frozen backbone."""
    horizons = beaten_by_naive(leaderboard)
    if not horizons:
        return None
    return (
        f"A naive forecast beats the frozen backbone at {', '.join(map(str, horizons))} steps: a "
        "longer context or another backbone (backbone.name) should serve better."
    )
