import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.metrics import season_length, seasonal_error


@pytest.mark.parametrize(
    ("freq", "season"),
    [
        ("h", 24),
        ("H", 24),
        ("1h", 24),
        ("2h", 12),
        ("7h", 1),
        ("30min", 48),
        ("30T", 48),
        ("15min", 96),
        ("5min", 288),
        ("min", 1440),
        ("T", 1440),
        ("1h30min", 16),
        ("1H30T", 16),
        ("S", 86_400),
        ("24h", 7),
        ("D", 7),
        ("2D", 1),
        ("7D", 1),
        ("B", 5),
        ("C", 5),
        ("W", 52),
        ("W-SUN", 52),
        ("2W-MON", 26),
        ("MS", 12),
        ("ME", 12),
        ("M", 12),
        ("BME", 12),
        ("3MS", 4),
        ("QS", 4),
        ("QS-OCT", 4),
        ("Q", 4),
        ("Q-DEC", 4),
        ("QE-DEC", 4),
        ("Y", 1),
        ("A-DEC", 1),
        ("YS", 1),
        ("YE", 1),
        ("SMS", 1),
    ],
)
def test_season_of_each_frequency_without_warnings(freq, season):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert season_length(freq) == season


@pytest.mark.parametrize("freq", ["fortnight", "", "-1h", "0h"])
def test_impossible_frequencies_are_refused(freq):
    with pytest.raises(ValueError, match=repr(freq)):
        season_length(freq)


def test_seasonal_error_by_hand():
    values = np.array([1.0, 5.0, 2.0, np.nan, 5.0, 9.0], dtype=np.float32)
    # Pairs two steps apart: 1-2 and 2-5 are observed, the others touch the hole.
    assert seasonal_error(values, 2) == pytest.approx((1 + 3) / 2)


@given(
    values=st.lists(st.one_of(st.just(math.nan), st.floats(-1e3, 1e3)), max_size=30),
    season=st.integers(1, 12),
)
def test_seasonal_error_matches_a_loop(values, season):
    pairs = zip(values[:-season], values[season:], strict=True)
    changes = [abs(a - b) for a, b in pairs if not math.isnan(a - b)]
    expected = sum(changes) / len(changes) if changes else math.nan
    got = seasonal_error(np.array(values, dtype=np.float64), season)
    assert got == pytest.approx(expected, nan_ok=True)


def test_a_repeating_series_has_no_seasonal_error():
    assert seasonal_error(np.tile([3.0, 1.0, 4.0], 5), 3) == 0.0


def test_a_season_needs_a_step():
    with pytest.raises(ValueError, match="at least one step"):
        seasonal_error(np.zeros(4), 0)
