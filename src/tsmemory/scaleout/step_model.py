"""How many steps an all-reduce takes: a model of latency, not a measurement."""

from collections.abc import Sequence

import pandas as pd

from tsmemory.scaleout.errors import ScaleoutError

RANKS = tuple(1 << power for power in range(1, 12))  # 2 to 2,048
GROUPS = (4, 8, 16, 32)


def plain_steps(ranks: int) -> int:
    """Messages that follow on each other in a ring (Jia et al. 2018, section 3.2).

    Args:
        ranks: p.

    Returns:
        2 (p - 1).
    """
    return 2 * (ranks - 1)


def hierarchical_steps(ranks: int, group: int) -> int:
    """Messages that follow on each other by way of groups (Jia et al. 2018, section 3.2).

    Args:
        ranks: p.
        group: k, ranks in a group.

    Returns:
        4 (k - 1) + 2 (p / k - 1).

    Raises:
        ScaleoutError: Groups do not come out even.
    """
    if group < 1 or ranks % group:
        raise ScaleoutError(f"{ranks} ranks do not fall into groups of {group}")
    return 4 * (group - 1) + 2 * (ranks // group - 1)


def step_table(ranks: Sequence[int] = RANKS, groups: Sequence[int] = GROUPS) -> pd.DataFrame:
    """Steps of both ways.

    Args:
        ranks: Numbers of ranks.
        groups: Sizes of groups; one that does not divide a number of ranks is left out there.

    Returns:
        Table ``ranks, group, plain, hierarchical``.
    """
    lines = [
        (p, k, plain_steps(p), hierarchical_steps(p, k))
        for k in groups
        for p in ranks
        if p % k == 0
    ]
    return pd.DataFrame(lines, columns=["ranks", "group", "plain", "hierarchical"])
