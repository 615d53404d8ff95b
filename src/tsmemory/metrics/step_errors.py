"""Errors at each step of each window, the terms that window scores add up."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tsmemory.series.series_set import Float

Sums = NDArray[np.float64]

_BAND = (0.1, 0.9)
_LEVEL_TOLERANCE = 1e-6
_CROSSING_TOLERANCE = 1e-6  # z units
_ZERO_TOLERANCE = 1e-6  # of a row's |mean| + std


def per_step(
    quantiles: Float,
    target: Float,
    levels: Sums,
    std: Sums,
    mean: Sums,
) -> Iterator[tuple[str, Sums]]:
    """Yield what a window's sums add up, one field at a time to spare memory.

    Args:
        quantiles: Forecast quantiles in z units. Shape ``(B, Q, H)``.
        target: Targets in z units, NaN where unknown. Shape ``(B, H)``.
        levels: Quantile levels. Shape ``(Q,)``.
        std: Training standard deviation of each window's row, raw units. Shape ``(B,)``.
        mean: Training mean of each window's row, raw units. Shape ``(B,)``.

    Yields:
        Name of a :class:`WindowScores` field and its terms of shape ``(B, H)``, 0 where the target
        is unknown.
    """
    observed = ~np.isnan(target)
    known = np.where(observed, target, 0.0).astype(np.float64)
    median = np.where(observed, quantiles[:, median_index(levels)], 0.0)
    error = known - median
    yield "count", observed.astype(np.float64)
    yield "squared_error", error**2
    yield "absolute_error", np.abs(error)
    yield "absolute_target", np.abs(known)
    yield "pinball", _pinball(quantiles, known, observed, levels)
    band = band_index(levels)
    covered = np.zeros_like(observed)
    if band is not None:
        low, high = quantiles[:, band[0]], quantiles[:, band[1]]
        covered = observed & (low <= known) & (known <= high)
    yield "covered", covered.astype(np.float64)
    yield "crossings", _crossings(quantiles) * observed
    scale, shift = std[:, None], mean[:, None]
    raw_target = np.abs(np.where(observed, known * scale + shift, 0.0))
    yield "raw_absolute_target", raw_target
    size = raw_target + np.abs(median * scale + shift)
    # Raw values come back from float32 z units: a rounding error away from zero is zero.
    zero = size <= _ZERO_TOLERANCE * (np.abs(shift) + scale)
    yield "symmetric_error", 200.0 * np.abs(error) * scale * ~zero / np.where(zero, 1.0, size)


def _pinball(quantiles: Float, target: Sums, observed: NDArray[np.bool_], levels: Sums) -> Sums:
    """Twice the mean over levels of the pinball loss, 0 where unobserved. Shape ``(B, H)``."""
    total = np.zeros_like(target)
    for index, level in enumerate(levels):
        error = np.where(observed, target - quantiles[:, index], 0.0)
        total += np.maximum(level * error, (level - 1.0) * error)
    return total * (2.0 / len(levels))


def _crossings(quantiles: Float) -> Sums:
    """Adjacent levels in the wrong order at each step. Shape ``(B, H)``."""
    total = np.zeros((quantiles.shape[0], quantiles.shape[2]))
    for index in range(quantiles.shape[1] - 1):
        total += quantiles[:, index + 1] < quantiles[:, index] - _CROSSING_TOLERANCE
    return total


def _level_index(levels: Sums, level: float) -> int | None:
    """Position of a level in the grid, ``None`` if it is not there."""
    nearest = int(np.argmin(np.abs(levels - level)))
    return nearest if abs(levels[nearest] - level) <= _LEVEL_TOLERANCE else None


def median_index(levels: Sums) -> int:
    """Position of the median."""
    index = _level_index(levels, 0.5)
    if index is None:
        raise ValueError(f"quantile levels {levels.tolist()} lack 0.5, the point forecast; add it")
    return index


def band_index(levels: Sums) -> tuple[int, int] | None:
    """Positions of the levels 0.1 and 0.9, ``None`` if either is missing."""
    low, high = (_level_index(levels, level) for level in _BAND)
    return None if low is None or high is None else (low, high)
