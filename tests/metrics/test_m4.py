import numpy as np
import pytest

from tsmemory.metrics.m4 import (
    in_sample_scale,
    is_seasonal,
    naive2,
    scaled_errors,
    symmetric_errors,
)

NAN = np.nan


def _seasonal(length, season=6, *, level=20.0, seed=0):
    wave = np.cos(2 * np.pi * np.arange(length) / season)
    noise = np.random.default_rng(seed).normal(0, 0.05, length)
    return (level + 4 * wave + noise).astype(np.float32)


@pytest.mark.parametrize("length", [60, 61, 62, 65])
@pytest.mark.parametrize("season", [5, 6])
def test_naive2_follows_an_exact_season(length, season):
    pattern = np.array([0.5, 1.4, 0.8, 1.1, 1.2, 1.0][:season])
    pattern /= pattern.mean()
    values = (8 * pattern[np.arange(length + 9) % season]).astype(np.float32)
    np.testing.assert_allclose(naive2(values[:length], 9, season), values[length:], rtol=1e-5)


def test_naive2_adds_a_season_where_values_are_not_positive():
    values = _seasonal(66, level=0.0)
    assert (values[:60] < 0).any()
    np.testing.assert_allclose(naive2(values[:60], 6, 6), values[60:], atol=0.4)


def test_naive2_of_a_random_walk_is_its_last_value():
    walk = 100 + np.cumsum(np.random.default_rng(1).normal(size=200)).astype(np.float32)
    differences = np.diff(walk)
    assert not is_seasonal(differences, 7)
    assert naive2(differences, 4, 7).tolist() == [differences[-1]] * 4
    assert naive2(walk[:15], 3, 6).tolist() == [walk[14]] * 3  # shorter than three seasons
    assert naive2(np.full(60, 3, dtype=np.float32), 2, 6).tolist() == [3, 3]
    assert naive2(walk, 2, 1).tolist() == [walk[-1]] * 2


def test_naive2_bridges_gaps():
    whole = _seasonal(60)
    holed = whole.copy()
    holed[[20, 41]] = NAN
    np.testing.assert_allclose(naive2(holed, 6, 6), naive2(whole, 6, 6), rtol=0.05)
    late = np.concatenate([np.full(7, NAN, dtype=np.float32), whole])
    np.testing.assert_array_equal(naive2(late, 6, 6), naive2(whole, 6, 6))


def test_the_test_of_seasonality_is_m4s():
    """As the competition's R code: lags by ``acf``, the limit by Bartlett's formula."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=60) + 0.4 * np.sin(2 * np.pi * np.arange(60) / 12)
        mean = values.mean()
        acf = [
            sum((values[t] - mean) * (values[t - k] - mean) for t in range(k, 60))
            / sum((values - mean) ** 2)
            for k in range(1, 13)
        ]
        limit = 1.645 / np.sqrt(60) * np.sqrt(1 + 2 * sum(r**2 for r in acf[:11]))
        assert is_seasonal(values, 12) == (abs(acf[11]) > limit)


def test_impossible_histories_are_refused():
    with pytest.raises(ValueError, match="no value"):
        naive2(np.full(9, NAN, dtype=np.float32), 2, 3)
    with pytest.raises(ValueError, match="at least one step"):
        naive2(np.ones(9, dtype=np.float32), 2, 0)


def test_symmetric_errors_by_hand():
    target = np.array([[1, 3, NAN], [0, 0, 2], [NAN, NAN, NAN]], dtype=np.float32)
    forecast = np.array([[3, 3, 5], [0, 1, -2], [1, 1, 1]], dtype=np.float32)
    found = symmetric_errors(target, forecast)
    np.testing.assert_allclose(found[:2], [(100 + 0) / 2, (0 + 200 + 200) / 3])
    assert np.isnan(found[2])


def test_scaled_errors_by_hand():
    target = np.array([[1, 3], [NAN, 4], [1, 1]], dtype=np.float32)
    forecast = np.array([[2, 5], [9, 1], [1, 2]], dtype=np.float32)
    found = scaled_errors(target, forecast, np.array([0.5, 2.0, 0.0]))
    np.testing.assert_allclose(found[:2], [3.0, 1.5])
    assert np.isnan(found[2])


def test_the_scale_falls_back_to_single_steps():
    values = np.array([1, 2, 4, 7], dtype=np.float32)
    assert in_sample_scale(values, 2) == pytest.approx((3 + 5) / 2)
    assert in_sample_scale(values, 4) == pytest.approx(2.0)
