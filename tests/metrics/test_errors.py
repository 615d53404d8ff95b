import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsmemory.metrics import METRICS, WindowScores, concatenate, mean_over, score_windows

LEVELS = np.arange(1, 10) / 10


def _case(seed, windows=11, levels=LEVELS, horizons=(2, 5, 6), missing=0.2):
    """Random forecasts, targets with holes, and windows that do not reach every horizon."""
    rng = np.random.default_rng(seed)
    length = horizons[-1] + 1
    reach = rng.integers(0, length + 1, windows)
    target = rng.normal(size=(windows, length)).astype(np.float32)
    target[rng.random(target.shape) < missing] = np.nan
    target[np.arange(length) >= reach[:, None]] = np.nan
    return {
        "quantiles": rng.normal(size=(windows, len(levels), length)).astype(np.float32),
        "target": target,
        "levels": levels,
        "horizons": horizons,
        "complete": reach[:, None] >= np.array(horizons),
        "std": rng.uniform(0.5, 20, windows),
        "mean": rng.normal(0, 10, windows),
        "seasonal_error": rng.choice([np.nan, 0.0, 0.5, 3.0], windows),
    }


def _take(case, which):
    """The same case for some of its windows."""
    kept = {"levels", "horizons"}
    return {name: value if name in kept else value[which] for name, value in case.items()}


def _brute_force(case, index):
    """Every metric at one horizon by loops over windows, steps and levels."""
    levels = list(case["levels"])
    middle = min(range(len(levels)), key=lambda j: abs(levels[j] - 0.5))
    terms = {name: [] for name in ("se", "ae", "pin", "abs", "raw_pin", "raw_abs", "mase", "smape")}
    covered, crossed = [], []
    for b, h in np.ndindex(len(case["target"]), case["horizons"][index]):
        y = float(case["target"][b, h])
        if not case["complete"][b, index] or math.isnan(y):
            continue
        q = [float(value) for value in case["quantiles"][b, :, h]]
        std, mean, scale = (float(case[k][b]) for k in ("std", "mean", "seasonal_error"))
        pinball = sum(
            2 * max(p * (y - v), (p - 1) * (y - v)) for p, v in zip(levels, q, strict=True)
        )
        raw, forecast = y * std + mean, q[middle] * std + mean
        terms["se"].append((y - q[middle]) ** 2)
        terms["ae"].append(abs(y - q[middle]))
        terms["pin"].append(pinball / len(q))
        terms["abs"].append(abs(y))
        terms["raw_pin"].append(pinball / len(q) * std)
        terms["raw_abs"].append(abs(raw))
        terms["smape"].append(200 * abs(raw - forecast) / (abs(raw) + abs(forecast)))
        if scale > 0:
            terms["mase"].append(abs(raw - forecast) / scale)
        if len(levels) == 9:
            covered.append(q[0] <= y <= q[8])
        crossed.extend(high < low - 1e-6 for low, high in pairwise(q))

    def mean_of(values):
        return sum(values) / len(values) if values else math.nan

    def ratio(top, bottom):
        return sum(top) / sum(bottom) if sum(bottom) else math.nan

    return {
        "mse": mean_of(terms["se"]),
        "mae": mean_of(terms["ae"]),
        "crps": ratio(terms["pin"], terms["abs"]),
        "wql": ratio(terms["raw_pin"], terms["raw_abs"]),
        "mase": mean_of(terms["mase"]),
        "smape": mean_of(terms["smape"]),
        "coverage_80": mean_of(covered),
        "crossing_rate": mean_of(crossed),
    }


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    windows=st.integers(1, 12),
    levels=st.sampled_from([LEVELS, np.array([0.5]), np.array([0.25, 0.5, 0.8])]),
    horizons=st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True).map(sorted),
    missing=st.sampled_from([0.0, 0.3, 0.95]),
)
def test_metrics_match_loops(seed, windows, levels, horizons, missing):
    case = _case(seed, windows, levels, tuple(horizons), missing)
    scores = score_windows(**case)
    for index in range(len(horizons)):
        expected = _brute_force(case, index)
        assert scores.metrics(index) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def _one_window(quantiles, target, levels=(0.1, 0.5, 0.9), **changes):
    """Scores of a single window at its full length."""
    case = {
        "quantiles": np.array([quantiles], dtype=np.float32),
        "target": np.array([target], dtype=np.float32),
        "levels": levels,
        "horizons": (len(target),),
        "complete": np.array([[True]]),
        "std": np.array([2.0]),
        "mean": np.array([10.0]),
        "seasonal_error": np.array([4.0]),
    }
    return score_windows(**(case | changes)).metrics(0)


def test_metrics_by_hand():
    # Step 1: y = 1, quantiles 0, 0.5, 2. Step 2: y = -3, quantiles -2, -1, -1.5 (one crossing).
    got = _one_window([[0.0, -2.0], [0.5, -1.0], [2.0, -1.5]], [1.0, -3.0])
    pinball = (0.1 * 1 + 0.5 * 0.5 + 0.1 * 1) + (0.9 * 1 + 0.5 * 2 + 0.1 * 1.5)
    # In raw units y = 12 and 4, the medians are 11 and 8.
    assert got == pytest.approx(
        {
            "mse": (0.25 + 4) / 2,
            "mae": (0.5 + 2) / 2,
            "crps": 2 * pinball / 3 / 4,
            "wql": 2 * pinball / 3 * 2 / 16,
            "mase": (1 / 4 + 4 / 4) / 2,
            "smape": (200 * 1 / 23 + 200 * 4 / 12) / 2,
            "coverage_80": 1 / 2,
            "crossing_rate": 1 / 4,
        }
    )


def test_smape_of_zero_and_zero_is_zero_despite_rounding():
    z = np.float32(-10.0 / 3.0)  # raw zero for mean 10 and std 3, up to float32
    forecast = np.nextafter(z, np.float32(0))
    got = _one_window([[forecast]], [z], levels=(0.5,), std=np.array([3.0]))
    assert got["smape"] == 0.0
    assert got["mae"] > 0.0


def test_quantiles_equal_up_to_rounding_do_not_cross():
    assert _one_window([[1.0], [1.0 - 5e-7], [1.0]], [0.0])["crossing_rate"] == 0.0
    assert _one_window([[1.0], [1.0 - 5e-6], [1.0]], [0.0])["crossing_rate"] == 0.5


def test_band_ends_count_as_covered():
    assert _one_window([[1.0, 0.0], [1.5, 1.0], [2.0, 1.0]], [1.0, 1.0])["coverage_80"] == 1.0


def test_forecast_at_a_missing_target_does_not_matter():
    hidden = _one_window([[0.0, np.nan], [1.0, np.inf], [2.0, 5.0]], [0.5, np.nan])
    assert hidden == _one_window([[0.0], [1.0], [2.0]], [0.5])


@pytest.mark.parametrize("size", [1, 7, 40])
def test_metrics_do_not_depend_on_the_batch_size(size):
    case = _case(3, windows=40)
    whole = score_windows(**case)
    parts = [
        score_windows(**_take(case, slice(first, first + size))) for first in range(0, 40, size)
    ]
    joined = concatenate(parts)
    assert len(joined) == 40
    for index in range(3):
        assert joined.metrics(index) == pytest.approx(whole.metrics(index), rel=1e-12, abs=0)


def test_where_chooses_windows_by_mask_or_position():
    case = _case(4)
    scores = score_windows(**case)
    mask = np.arange(11) % 3 == 0
    alone = score_windows(**_take(case, mask)).metrics(1)
    assert scores.metrics(1, mask) == pytest.approx(alone, nan_ok=True)
    assert scores.metrics(1, np.flatnonzero(mask)) == pytest.approx(alone, nan_ok=True)


def test_incomplete_windows_hold_zero_sums():
    case = _case(5)
    case["complete"][:, 2] = False
    scores = score_windows(**case)
    for field in dataclasses.fields(WindowScores)[1:]:
        assert not getattr(scores, field.name)[:, 2].any()
    assert all(math.isnan(value) for value in scores.metrics(2).values())


def test_every_metric_is_the_ratio_that_the_table_defines():
    scores = score_windows(**_case(6, windows=30))
    assert set(scores.metrics(0)) == set(METRICS)
    for name, (numerator, denominator) in METRICS.items():
        top, bottom = scores.parts(name)
        assert top is getattr(scores, numerator)
        assert bottom is getattr(scores, denominator)
        assert scores.metrics(1)[name] == top[:, 1].sum() / bottom[:, 1].sum()


def test_changing_the_table_changes_the_metric(monkeypatch):
    scores = score_windows(**_case(6, windows=30))
    monkeypatch.setitem(METRICS, "mse", METRICS["mae"])
    assert scores.metrics(0)["mse"] == scores.metrics(0)["mae"]


def test_mean_over_seeds_averages_sums():
    case = _case(7)
    first = score_windows(**case)
    second = score_windows(**(case | {"quantiles": case["quantiles"] + np.float32(1)}))
    both = mean_over([first, second])
    np.testing.assert_allclose(both.pinball, (first.pinball + second.pinball) / 2)
    np.testing.assert_array_equal(both.count, first.count)
    expected = (first.metrics(0)["mse"] + second.metrics(0)["mse"]) / 2
    assert both.metrics(0)["mse"] == pytest.approx(expected)


def test_scores_that_do_not_fit_are_not_combined():
    case = _case(8)
    scores = score_windows(**case)
    shorter = score_windows(**(case | {"horizons": (1, 2, 3)}))
    with pytest.raises(ValueError, match="different horizons"):
        concatenate([scores, shorter])
    with pytest.raises(ValueError, match="different windows"):
        mean_over([scores, score_windows(**_case(9))])
    with pytest.raises(ValueError, match="no scores"):
        concatenate([])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": np.linspace(0.1, 0.88, 9)}, "lack 0.5"),
        ({"levels": LEVELS[::-1]}, "must increase"),
        ({"levels": LEVELS + 0.1}, "between 0 and 1"),
        ({"levels": [0.5]}, "quantiles have shape"),
        ({"horizons": (2, 2, 5)}, "positive and increase"),
        ({"horizons": ()}, "positive and increase"),
        ({"horizons": (2, 5, 8)}, "beyond the 7 forecast steps"),
        ({"complete": np.ones((11, 2), dtype=bool)}, "complete has shape"),
        ({"std": np.ones(10)}, "one value for each of 11"),
    ],
)
def test_impossible_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        score_windows(**(_case(10) | changes))


def test_forecasts_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="1 of 1 windows are not finite"):
        _one_window([[0.0], [1.0], [np.nan]], [0.5])
