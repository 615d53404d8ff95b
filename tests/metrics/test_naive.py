import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.metrics import last_value, seasonal_naive

NAN = np.nan


def _array(*rows):
    return np.array(rows, dtype=np.float32)


def test_last_value_skips_missing_values():
    contexts = _array([1, 2, 3], [1, 2, NAN], [7, NAN, NAN], [NAN, NAN, NAN])
    forecast = last_value(contexts, 2)
    assert forecast.dtype == np.float32
    assert forecast.tolist() == [[3, 3], [2, 2], [7, 7], [0, 0]]


def test_seasonal_naive_repeats_the_last_season():
    forecast = seasonal_naive(_array([0, 1, 2, 3, 4]), 7, 3)
    assert forecast.dtype == np.float32
    assert forecast.tolist() == [[2, 3, 4, 2, 3, 4, 2]]


def test_seasonal_naive_looks_further_back_over_missing_values():
    contexts = _array([0, 1, 2, 3, NAN, 5], [0, NAN, 2, 3, NAN, NAN])
    # Second row: its middle phase was never observed, so the last value 3 stands in.
    assert seasonal_naive(contexts, 3, 3).tolist() == [[3, 1, 5], [3, 3, 2]]


def test_history_shorter_than_a_season_falls_back_to_the_last_value():
    contexts = _array([NAN, NAN, NAN, 1, 2], [NAN, NAN, NAN, NAN, NAN])
    assert seasonal_naive(contexts, 4, 3).tolist() == [[2] * 4, [0] * 4]
    assert seasonal_naive(_array([1, 2]), 4, 3).tolist() == [[2] * 4]


def _loop(context, horizon, season):
    """Seasonal naive forecast of one context, step by step."""
    known = [t for t, value in enumerate(context) if not np.isnan(value)]
    last = context[known[-1]] if known else 0.0
    if not known or len(context) - known[0] < season:
        return [last] * horizon
    forecast = []
    for step in range(len(context), len(context) + horizon):
        same = [t for t in known if (step - t) % season == 0]
        forecast.append(context[same[-1]] if same else last)
    return forecast


@given(
    seed=st.integers(0, 9_999),
    length=st.integers(1, 20),
    horizon=st.integers(1, 15),
    season=st.integers(1, 9),
    missing=st.sampled_from([0.0, 0.3, 0.8]),
)
def test_seasonal_naive_matches_a_loop(seed, length, horizon, season, missing):
    rng = np.random.default_rng(seed)
    contexts = rng.normal(size=(4, length)).astype(np.float32)
    contexts[rng.random(contexts.shape) < missing] = NAN
    got = seasonal_naive(contexts, horizon, season)
    assert got.tolist() == [_loop(context, horizon, season) for context in contexts]
    padded = np.pad(contexts, ((0, 0), (season + 1, 0)), constant_values=NAN)
    np.testing.assert_array_equal(seasonal_naive(padded, horizon, season), got)


def test_season_of_one_is_the_last_value():
    contexts = _array([4, 5, NAN], [NAN, NAN, NAN])
    np.testing.assert_array_equal(seasonal_naive(contexts, 3, 1), last_value(contexts, 3))


def test_no_windows_give_no_forecasts():
    assert seasonal_naive(np.zeros((0, 8), dtype=np.float32), 5, 3).shape == (0, 5)


def test_a_season_needs_a_step():
    with pytest.raises(ValueError, match="at least one step"):
        seasonal_naive(_array([1, 2]), 2, 0)
