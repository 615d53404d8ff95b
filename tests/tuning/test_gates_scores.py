import numpy as np
import pytest
import torch

from builders import LEVELS
from tsmemory.metrics import score_windows
from tsmemory.tuning.gates.scores import BlockScores, mean_metric, metric_sums

HORIZONS = (2, 5)


@pytest.fixture
def forecasts():
    """Targets with gaps, quantiles, and which windows reach which horizon."""
    rng = np.random.default_rng(0)
    target = rng.normal(size=(7, 5)).astype(np.float32)
    target[1, 2] = target[3, 4] = np.nan
    quantiles = np.sort(rng.normal(size=(7, len(LEVELS), 5)), axis=1).astype(np.float32)
    complete = np.ones((7, 2), bool)
    complete[5:, 1] = False
    return target, quantiles, complete


@pytest.mark.parametrize("metric", ["crps", "mse", "mae"])
def test_the_metrics_are_those_of_the_evaluation(forecasts, metric):
    target, quantiles, complete = forecasts
    ones = np.ones(len(target))
    wanted = score_windows(
        quantiles,
        target,
        levels=LEVELS,
        horizons=HORIZONS,
        complete=complete,
        std=ones,
        mean=0 * ones,
        seasonal_error=ones,
    )
    found = metric_sums(
        torch.from_numpy(target),
        torch.from_numpy(quantiles),
        metric=metric,
        levels=LEVELS,
        horizons=HORIZONS,
        complete=complete,
    )
    np.testing.assert_allclose(found, np.stack(wanted.parts(metric), axis=2), rtol=1e-5)
    by_hand = np.mean([wanted.metrics(number)[metric] for number in range(2)])
    assert mean_metric(found) == pytest.approx(by_hand, rel=1e-5)


def scores_of(sums, origin_time, block):
    return BlockScores.collect(np.array(sums, float), np.array(origin_time), np.array(block))


def test_windows_of_one_origin_are_one_observation():
    sums = [[[1, 2]], [[3, 4]], [[5, 6]], [[7, 8]]]
    found = scores_of(sums, [9, 3, 9, 3], [1, 0, 1, 0])
    assert found.origin_time.tolist() == [3, 9]
    assert found.block.tolist() == [0, 1]
    assert found.sums.tolist() == [[[10, 12]], [[6, 8]]]
    assert found.value == 16 / 20
    assert found.by_block() == [10 / 12, 6 / 8]


def test_the_terms_of_the_origins_have_the_metric_as_their_mean():
    rng = np.random.default_rng(1)
    sums = rng.uniform(1, 2, (12, 3, 2))
    sums[8:, 2] = 0  # the last origins do not reach the longest horizon
    found = scores_of(sums, np.arange(12), np.arange(12) // 4)
    assert found.per_origin().mean() == pytest.approx(found.value)


def test_a_horizon_that_no_window_reaches_counts_for_nothing():
    sums = np.array([[[1.0, 2.0], [0.0, 0.0]]])
    assert mean_metric(sums) == 0.5
    assert np.isnan(mean_metric(np.zeros((1, 2, 2))))
