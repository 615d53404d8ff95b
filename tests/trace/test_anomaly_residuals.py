import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.backbones.seasonal_naive import SeasonalNaive
from tsmemory.trace.anomaly.residuals import (
    RollingForecasts,
    forecast_score,
    seasonal_naive_score,
    spread_so_far,
    trailing_mean,
)
from tsmemory.trace.errors import TraceError

NAN = np.nan
ERRORS = ("quantile_loss", "absolute", "band")


class Constant:
    """Forecasts the last value with quantiles around it; counts what it is asked."""

    name = "constant"
    needs_origins = False
    quantile_levels = (0.1, 0.5, 0.9)
    context_length = 16
    native_horizon = 1000

    def __init__(self):
        self.asked = 0

    def predict_quantiles(self, contexts, horizon, *, origins=None):
        self.asked += len(contexts)
        last = contexts[:, -1][:, None, None]
        band = np.array([-1.0, 0.0, 3.0], dtype=np.float32)[None, :, None]
        return np.broadcast_to(last + band, (len(contexts), 3, horizon)).astype(np.float32)


def _wave(length=200, season=8, seed=0):
    noise = np.random.default_rng(seed).normal(0, 0.1, length)
    return (np.sin(2 * np.pi * np.arange(length) / season) + noise).astype(np.float32)


def _by_hand(values, first, horizon, stride, error):
    """Scores of :class:`Constant`, step by step."""
    scores = np.full(len(values), NAN)
    for step in range(first, len(values)):
        covering = [o for o in range(first, step + 1, stride) if o + horizon > step]
        found = []
        for origin in covering:
            before = values[:origin].astype(np.float64)
            spread, miss = before.std() or 1.0, values[step] - values[origin - 1]
            if error == "absolute":
                found.append(abs(miss) / spread)
            elif error == "band":
                half = max(3.0 if miss > 0 else 1.0, 0.1 * spread)
                found.append(abs(miss) / half)
            else:
                away = [(0.1, miss + 1), (0.5, miss), (0.9, miss - 3)]
                found.append(np.mean([max(q * e, (q - 1) * e) for q, e in away]) / spread)
        scores[step] = np.mean(found)
    return scores


@pytest.mark.parametrize("error", ERRORS)
def test_scores_are_the_mean_error_of_covering_forecasts(error):
    values = _wave(60) * 4
    rolling = RollingForecasts(horizon_in_seasons=1.0, overlap=3, error=error)
    score = forecast_score(values, Constant(), season=8, first=20, rolling=rolling)
    assert score.dtype == np.float32
    np.testing.assert_allclose(score, _by_hand(values, 20, 8, 2, error), rtol=1e-4)


@pytest.mark.parametrize("error", ERRORS)
def test_what_comes_later_changes_no_score(error):
    values = _wave()
    changed = values.copy()
    changed[120:] = np.random.default_rng(9).normal(0, 50, 80)
    rolling = RollingForecasts(error=error)
    scores = [
        forecast_score(each, SeasonalNaive(8), season=8, first=40, rolling=rolling)
        for each in (values, changed)
    ]
    np.testing.assert_array_equal(scores[0][:120], scores[1][:120])
    assert (scores[1][120:] > scores[0][120:]).mean() > 0.5


@pytest.mark.parametrize("error", ERRORS)
def test_an_event_stands_out(error):
    values = _wave()
    values[130:134] += 2
    rolling = RollingForecasts(error=error)
    score = forecast_score(values, SeasonalNaive(8), season=8, first=40, rolling=rolling)
    assert set(np.argsort(-np.nan_to_num(score))[:4]) == {130, 131, 132, 133}


@pytest.mark.parametrize("error", ERRORS)
def test_the_unit_of_the_values_does_not_matter(error):
    values = _wave()
    rolling = RollingForecasts(error=error)
    plain, moved = (
        forecast_score(each, SeasonalNaive(8), season=8, first=40, rolling=rolling)
        for each in (values, values * 16 + 64)
    )
    np.testing.assert_allclose(moved, plain, rtol=1e-2, atol=1e-3)


def test_missing_steps_have_no_score_and_spoil_no_other():
    values = _wave()
    values[100:110] = NAN
    score = forecast_score(values, SeasonalNaive(8), season=8, first=40, rolling=RollingForecasts())
    expected = np.ones(200, dtype=bool)
    expected[:40] = expected[100:110] = False
    np.testing.assert_array_equal(~np.isnan(score), expected)


def test_constant_series_score_nothing_until_they_move():
    values = np.full(100, 7, dtype=np.float32)
    values[80] = 8
    for error in ERRORS:
        score = forecast_score(
            values, SeasonalNaive(8), season=8, first=20, rolling=RollingForecasts(error=error)
        )
        assert not score[20:80].any()
        assert 0 < score[80] < np.inf


def test_the_context_is_no_longer_than_the_backbone_reads():
    backbone = Constant()
    rolling = RollingForecasts(context_length=10_000, horizon_in_seasons=0.5, overlap=1)
    forecast_score(_wave(), backbone, season=8, first=40, rolling=rolling)
    assert backbone.asked == 160 / 4


def test_a_backbone_that_looks_forecasts_up_is_refused():
    backbone = Constant()
    backbone.needs_origins = True
    with pytest.raises(TraceError, match="choose another backbone"):
        forecast_score(_wave(), backbone, season=8, first=40, rolling=RollingForecasts())


def test_a_band_needs_its_levels():
    backbone = Constant()
    backbone.quantile_levels = (0.25, 0.5, 0.75)
    rolling = RollingForecasts(error="band")
    with pytest.raises(TraceError, match=r"0\.25, 0\.5, 0\.75"):
        forecast_score(_wave(), backbone, season=8, first=40, rolling=rolling)


@pytest.mark.parametrize(
    "wrong",
    [{"overlap": 0}, {"context_length": 0}, {"horizon_in_seasons": 0.0}, {"error": "squared"}],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(TraceError):
        RollingForecasts(**wrong)


@given(
    seed=st.integers(0, 999),
    length=st.integers(2, 40),
    season=st.integers(1, 9),
    missing=st.sampled_from([0.0, 0.3, 0.8]),
)
def test_the_seasonal_naive_score_matches_a_loop(seed, length, season, missing):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=length).astype(np.float32)
    values[rng.random(length) < missing] = NAN
    expected = []
    for step in range(length):
        known = [t for t in range(step) if not np.isnan(values[t])]
        same = [t for t in known if (step - t) % season == 0]
        before = (same or known or [None])[-1]
        expected.append(NAN if before is None else abs(values[step] - values[before]))
    score = seasonal_naive_score(values, season=season, first=1)
    np.testing.assert_allclose(score[1:], expected[1:], rtol=1e-6)
    assert np.isnan(score[0])


@given(seed=st.integers(0, 999), steps=st.integers(1, 12), length=st.integers(1, 10))
def test_the_trailing_mean_matches_a_loop(seed, steps, length):
    rng = np.random.default_rng(seed)
    scores = rng.random(length).astype(np.float32)
    scores[rng.random(length) < 0.3] = NAN
    expected = [
        NAN if np.isnan(scores[t]) else np.nanmean(scores[max(t - steps + 1, 0) : t + 1])
        for t in range(length)
    ]
    np.testing.assert_allclose(trailing_mean(scores, steps), expected, rtol=1e-5)


def test_the_spread_is_that_of_the_values_before():
    values = np.array([5, 5, 5, NAN, 9, 1e6], dtype=np.float32)
    expected = [1, 1, 1, 1, 1, np.std([5, 5, 5, 9])]
    np.testing.assert_allclose(spread_so_far(values), expected, rtol=1e-9)
    assert spread_so_far(np.full(3, NAN, dtype=np.float32)).tolist() == [1, 1, 1]
