"""Quantiles at levels other than those that a backbone forecasts."""

import logging
from collections.abc import Sequence

import numpy as np

from tsmemory.memory.errors import ForecasterError
from tsmemory.series.series_set import Float

logger = logging.getLogger(__name__)


def check_levels(levels: Sequence[float], native: tuple[float, ...]) -> tuple[float, ...]:
    """Return the levels asked for as numbers; warn once if the outermost native ones stand in.

    Args:
        levels: Levels asked for, in any order.
        native: Levels that are forecast, ascending.

    Raises:
        ForecasterError: A level that does not lie strictly between 0 and 1.
    """
    wanted = tuple(float(level) for level in levels)
    wrong = [level for level in wanted if not 0 < level < 1]
    if wrong:
        raise ForecasterError(f"quantile levels must lie between 0 and 1, got {wrong}")
    outside = [level for level in wanted if not native[0] <= level <= native[-1]]
    if outside:
        logger.warning(
            "Quantile levels %s lie outside those that the backbone forecasts (%g to %g); "
            "the nearest of these is returned for them",
            outside,
            native[0],
            native[-1],
        )
    return wanted


def at_levels(quantiles: Float, native: tuple[float, ...], wanted: tuple[float, ...]) -> Float:
    """Interpolate quantiles linearly between adjacent levels, constant outside them.

    Args:
        quantiles: Ascending over levels. Shape ``(B, Q, H)``.
        native: Their levels, ascending.
        wanted: Levels asked for, in any order.

    Returns:
        Quantiles at ``wanted``, not decreasing in the level; at a native level they are
        those given, bit for bit. Shape ``(B, len(wanted), H)``.
    """
    if wanted == native:
        return quantiles
    grid = np.asarray(native)
    level = np.clip(np.asarray(wanted, dtype=np.float64), grid[0], grid[-1])
    below = np.searchsorted(grid, level, side="right") - 1
    above = np.minimum(below + 1, len(grid) - 1)
    gap = np.where(above > below, grid[above] - grid[below], 1.0)
    share = ((level - grid[below]) / gap).astype(np.float32)[:, None]
    low, high = quantiles[:, below], quantiles[:, above]
    # The minimum undoes a last rounding that would step over the next level.
    return np.asarray(np.minimum(low + share * (high - low), high), dtype=np.float32)
