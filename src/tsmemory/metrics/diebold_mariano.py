"""The Diebold-Mariano test of equal forecast accuracy."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DieboldMarianoResult:
    """Outcome of the test.

    Attributes:
        statistic: Standardised mean loss difference; negative where the first loss is smaller.
        p_value: Two-sided p-value of equal mean losses, from the normal distribution.
    """

    statistic: float
    p_value: float


def diebold_mariano(
    loss_a: NDArray[np.floating], loss_b: NDArray[np.floating], *, lag: int
) -> DieboldMarianoResult:
    """Compare two series of losses (Diebold & Mariano 1995; METHOD 1.8).

    The variance of the mean difference is that of Newey & West (1987): autocovariances up to
    ``lag`` with Bartlett weights ``1 - k / (lag + 1)``, which cannot become negative.

    Args:
        loss_a: Losses of the first method at time-ordered origins. Shape ``(T,)``.
        loss_b: Losses of the second. Shape ``(T,)``.
        lag: Last autocovariance used, in origins; H - 1 for horizon H and stride 1.

    Returns:
        Statistic and p-value: 0 and 1 where the losses are identical; NaN where the origins hold
        fewer than two stretches of ``lag + 1``, too few to estimate the variance from.

    Raises:
        ValueError: If shapes differ, a loss is not finite, or ``lag`` is negative.
    """
    if loss_a.ndim != 1 or loss_a.shape != loss_b.shape:
        raise ValueError(f"losses of shape {loss_a.shape} and {loss_b.shape} differ")
    if lag < 0:
        raise ValueError(f"the lag must not be negative, got {lag}")
    difference = loss_a.astype(np.float64) - loss_b
    if not np.isfinite(difference).all():
        raise ValueError("losses must be finite; leave out origins without an observed target")
    n = len(difference)
    if not difference.any():
        return DieboldMarianoResult(statistic=0.0, p_value=1.0)
    if n < 2 * (lag + 1):
        return DieboldMarianoResult(statistic=math.nan, p_value=math.nan)
    mean = float(difference.mean())
    if np.ptp(difference) == 0.0:
        # A constant difference has no spread, so it is certain.
        statistic = math.copysign(math.inf, mean)
    else:
        statistic = mean / math.sqrt(_long_run_variance(difference, lag) / n)
    return DieboldMarianoResult(statistic, math.erfc(abs(statistic) / math.sqrt(2.0)))


def _long_run_variance(values: NDArray[np.float64], lag: int) -> float:
    """Newey-West estimate of ``n`` times the variance of the mean. ``values`` is ``(n,)``."""
    n = len(values)
    centred = values - values.mean()
    covariance = np.array([centred[k:] @ centred[: n - k] for k in range(lag + 1)]) / n
    weight = 2.0 * (1.0 - np.arange(lag + 1) / (lag + 1.0))
    weight[0] = 1.0
    return float(weight @ covariance)
