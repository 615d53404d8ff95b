"""The interval of a mean over training seeds."""

import math
from collections.abc import Sequence

_HALVINGS = 60


def seed_interval(values: Sequence[float], level: float) -> tuple[float, float, float]:
    """Mean over seeds with its Student interval.

    Few seeds give a wide interval, and rightly so: with three of them its factor is 4.3.

    Args:
        values: One value for each seed.
        level: Probability of the interval, between 0 and 1.

    Returns:
        The mean and both ends; the ends are NaN with a single seed.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("there is no seed to average over")
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return mean, math.nan, math.nan
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    reach = student_factor(count - 1, level) * math.sqrt(variance / count)
    return mean, mean - reach, mean + reach


def student_factor(freedom: int, level: float) -> float:
    """Half-width, in standard errors, of the interval that holds Student's t with ``level``.

    Args:
        freedom: Degrees of freedom, at least 1.
        level: Probability, between 0 and 1.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, freedom) < level else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _inside(angle: float, freedom: int) -> float:
    """P(|t| < sqrt(freedom) tan(angle)), the finite sums of Abramowitz & Stegun 26.7.3 and 26.7.4.

    Args:
        angle: Between 0 and pi / 2.
        freedom: Degrees of freedom.
    """
    odd = freedom % 2
    term = total = math.cos(angle) if odd else 1.0
    for power in range(2 + odd, freedom - 1, 2):
        term *= (power - 1) / power * math.cos(angle) ** 2
        total += term
    if odd:
        total = total if freedom > 1 else 0.0
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total
