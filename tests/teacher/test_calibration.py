import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import LEVELS
from tsmemory.teacher.calibration import FACTOR_RANGE, SpreadCalibration, best_factors

FOLDED = SpreadCalibration(3, (1.5, 2.0), (10, 20, 31), ((3.0, 4.0), (5.0, 6.0)))


def pinball(target, quantiles, median, factor, levels):
    moved = quantiles[:, [median]] + factor * (quantiles - quantiles[:, [median]])
    gap = target[:, None] - moved
    level = np.array(levels)[:, None]
    return np.nansum(np.maximum(level * gap, (level - 1) * gap))


def spread_around(rng, count, steps, width, levels=LEVELS):
    middle = rng.normal(size=(count, 1, steps))
    offset = np.sort(rng.normal(size=(count, len(levels), steps)), axis=1) * width
    quantiles = middle + offset - offset[:, [levels.index(0.5)]]
    target = middle[:, 0] + rng.standard_t(4, size=(count, steps))
    return target.astype(np.float32), quantiles.astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), width=st.sampled_from([0.2, 0.7, 3.0]))
def test_no_factor_has_a_lower_loss(seed, width):
    target, quantiles = spread_around(np.random.default_rng(seed), 12, 4, width)
    target[0, :2], quantiles[3] = np.nan, np.nan
    found = best_factors(target, quantiles, np.ones((1, 12), bool), levels=LEVELS, median=4)[0]
    assert FACTOR_RANGE[0] <= found <= FACTOR_RANGE[1]
    best = pinball(target, quantiles, 4, found, LEVELS)
    for factor in np.geomspace(*FACTOR_RANGE, 200):
        assert best <= pinball(target, quantiles, 4, factor, LEVELS) + 1e-3


def test_uneven_levels_and_several_choices_of_queries():
    levels = (0.05, 0.5, 0.6)
    target, quantiles = spread_around(np.random.default_rng(0), 40, 5, 0.4, levels)
    keep = np.arange(40) % 2 == np.arange(2)[:, None]
    found = best_factors(target, quantiles, keep, levels=levels, median=1)
    for chosen, factor in zip(keep, found, strict=True):
        alone = best_factors(
            target[chosen], quantiles[chosen], np.ones((1, 20), bool), levels=levels, median=1
        )
        assert factor == pytest.approx(alone[0])
        losses = [
            pinball(target[chosen], quantiles[chosen], 1, f, levels)
            for f in (factor, 0.95 * factor, 1.05 * factor)
        ]
        assert losses[0] <= min(losses[1:]) + 1e-3
    assert found[0] != found[1]


def test_a_known_width_is_found_again():
    rng = np.random.default_rng(0)
    quantiles = np.quantile(rng.normal(size=100_000), LEVELS)[:, None] / 2.5
    target = rng.normal(size=(4000, 3)).astype(np.float32)
    spread = np.broadcast_to(quantiles - quantiles[4], (4000, 9, 3)).astype(np.float32)
    found = best_factors(target, spread, np.ones((1, 4000), bool), levels=LEVELS, median=4)
    assert found[0] == pytest.approx(2.5, rel=0.05)


def test_where_nothing_tells_the_spread_stays():
    target, quantiles = spread_around(np.random.default_rng(0), 6, 2, 1.0)
    flat = np.repeat(quantiles[:, [4]], 9, axis=1)
    everyone, no_one = np.ones((1, 6), bool), np.zeros((1, 6), bool)
    for asked in (
        (target, flat, everyone),
        (target, quantiles, no_one),
        (np.full_like(target, np.nan), quantiles, everyone),
    ):
        assert best_factors(*asked, levels=LEVELS, median=4) == 1


def test_each_query_has_the_factors_of_its_fold():
    calendar = np.array([10, 19, 20, 30, 31, 90, 3])
    factors = FOLDED.factors(calendar, 5)
    expected = [(3, 4), (3, 4), (5, 6), (5, 6), (1.5, 2), (1.5, 2), (1.5, 2)]
    np.testing.assert_allclose(factors, [[a, a, a, b, b] for a, b in expected])


def test_it_is_applied_around_the_median():
    rng = np.random.default_rng(0)
    quantiles = np.sort(rng.normal(size=(3, 9, 6)), axis=1).astype(np.float32)
    quantiles[1, :, 2] = np.nan
    calendar = np.array([12, 25, 99])
    found = FOLDED.apply(quantiles, calendar, 4)
    np.testing.assert_array_equal(found[:, 4], quantiles[:, 4])
    factor = FOLDED.factors(calendar, 6)[:, None]
    distance = factor * (quantiles - quantiles[:, [4]])
    np.testing.assert_allclose(found - found[:, [4]], distance, atol=1e-5)
    assert np.isnan(found[1, :, 2]).all()
    assert (np.diff(np.nan_to_num(found), axis=1) >= 0).all()
    assert found.dtype == np.float32


def test_no_calibration_changes_no_bit():
    quantiles = np.random.default_rng(0).normal(size=(2, 9, 50)).astype(np.float32)
    none = SpreadCalibration.none(50, 24)
    assert len(none.factor) == 3
    assert none.is_idle
    assert none.apply(quantiles, np.zeros(2, np.int64), 4) is quantiles
    assert not FOLDED.is_idle


def test_round_trip_through_json():
    assert SpreadCalibration.from_json(json.loads(json.dumps(FOLDED.to_json()))) == FOLDED
