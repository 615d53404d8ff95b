import math
from statistics import NormalDist

import numpy as np
import pytest

from tsmemory.metrics import diebold_mariano


def _moving_average(rng, n, width):
    """Differences as overlapping forecasts have them: correlated over ``width`` origins."""
    return np.convolve(rng.normal(size=n + width - 1), np.ones(width), "valid")


def _newey_west(d, lag):
    """Variance of the mean from the double sum over pairs of origins."""
    n, mean, total = len(d), sum(d) / len(d), 0.0
    for s in range(n):
        for t in range(n):
            if abs(s - t) <= lag:
                total += (1 - abs(s - t) / (lag + 1)) * (d[s] - mean) * (d[t] - mean)
    return total / n**2


@pytest.mark.parametrize("lag", [0, 1, 7, 29])
def test_statistic_matches_the_double_sum(lag):
    rng = np.random.default_rng(lag)
    a = rng.exponential(size=60)
    b = a + 0.3 + _moving_average(rng, 60, 4)
    result = diebold_mariano(a, b, lag=lag)
    d = (a - b).tolist()
    expected = np.mean(d) / math.sqrt(_newey_west(d, lag))
    assert result.statistic == pytest.approx(expected)
    assert result.p_value == pytest.approx(2 * (1 - NormalDist().cdf(abs(expected))))


def test_by_hand():
    # d = 1, 3, 1, 3: mean 2, autocovariances 1 and -3/4, variance (1 - 3/4) / 4 = 1/16.
    result = diebold_mariano(np.array([1.0, 3, 1, 3]), np.zeros(4), lag=1)
    assert result.statistic == pytest.approx(8.0)


def test_swapping_the_methods_flips_the_sign():
    a, b = np.random.default_rng(1).exponential(size=(2, 100))
    first, second = diebold_mariano(a, b, lag=3), diebold_mariano(b, a, lag=3)
    assert first.statistic == pytest.approx(-second.statistic)
    assert first.p_value == pytest.approx(second.p_value)


def test_lag_restores_the_level_on_correlated_losses():
    rng = np.random.default_rng(2)
    zero = np.zeros(400)
    rejected = {0: 0, 15: 0}
    for _ in range(300):
        d = _moving_average(rng, 400, 8)
        for lag in rejected:
            rejected[lag] += diebold_mariano(d, zero, lag=lag).p_value < 0.05
    assert rejected[0] / 300 > 0.3
    assert rejected[15] / 300 < 0.12


def test_identical_losses_show_nothing():
    loss = np.arange(5.0)
    result = diebold_mariano(loss, loss.copy(), lag=95)
    assert (result.statistic, result.p_value) == (0.0, 1.0)


def test_constant_difference_is_certain():
    loss = np.arange(8.0)
    result = diebold_mariano(loss, loss + 1, lag=1)
    assert (result.statistic, result.p_value) == (-math.inf, 0.0)


def test_too_few_origins_give_no_verdict():
    a, b = np.random.default_rng(3).normal(size=(2, 19))
    assert math.isnan(diebold_mariano(a, b, lag=9).p_value)
    assert not math.isnan(diebold_mariano(a, b, lag=8).p_value)


@pytest.mark.parametrize(
    ("a", "b", "lag", "message"),
    [
        (np.zeros(3), np.zeros(4), 0, "differ"),
        (np.zeros((2, 2)), np.zeros((2, 2)), 0, "differ"),
        (np.zeros(3), np.ones(3), -1, "negative"),
        (np.array([0.0, np.nan]), np.ones(2), 0, "finite"),
    ],
)
def test_impossible_arguments_are_refused(a, b, lag, message):
    with pytest.raises(ValueError, match=message):
        diebold_mariano(a, b, lag=lag)
