from dataclasses import fields, replace

import numpy as np
import pytest

from builders import LEVELS
from domains import H, L
from tsmemory.evaluation.methods import frozen
from tsmemory.evaluation.scores import MethodScores, score_methods
from tsmemory.memory.split import Split
from tsmemory.metrics import WindowScores, score_windows

HORIZONS = (4, H)
SEASONAL = np.array([0.5, 2.0])


def shifted(by):
    return lambda split: frozen(split) + np.float32(by)


METHODS = {"frozen": [frozen], "trained": [shifted(0.2), shifted(0.5), shifted(-0.1)]}


@pytest.fixture(scope="module")
def test_split(halves):
    """Rows in raw units of their own, with gaps; the last windows reach only the first horizon."""
    _, split = halves
    series = replace(
        split.series,
        flat=split.series.flat.copy(),
        calendar=np.array([0, 7]),
        mean=np.array([10.0, -5.0]),
        std=np.array([2.0, 30.0]),
    )
    series.flat[[370, 380, 800]] = np.nan
    windows = replace(split.windows, limit=np.full(len(split.windows), 415))
    kept = np.flatnonzero(windows.complete(HORIZONS[0]))
    assert 0 < (~windows.complete(H)).sum() < len(kept)
    return Split(series, windows, split.forecasts).take(kept)


def score(split, methods=METHODS, batch_size=1000):
    return score_methods(
        split,
        methods,
        horizons=HORIZONS,
        seasonal_error=SEASONAL,
        stride=3,
        batch_size=batch_size,
    )


def sums(scores):
    names = [field.name for field in fields(WindowScores) if field.name != "horizons"]
    return {name: getattr(scores, name) for name in names}


@pytest.fixture(scope="module")
def scores(test_split):
    return score(test_split)


def test_scores_are_those_of_each_window(test_split, scores):
    windows, series = test_split.windows, test_split.series
    expected = score_windows(
        test_split.forecasts.quantiles,
        windows.targets(series),
        levels=LEVELS,
        horizons=HORIZONS,
        complete=np.stack([windows.complete(4), windows.complete(H)], axis=1),
        std=np.array([2.0, 30.0])[windows.row],
        mean=np.array([10.0, -5.0])[windows.row],
        seasonal_error=SEASONAL[windows.row],
    )
    for name, values in sums(expected).items():
        np.testing.assert_allclose(getattr(scores.methods["frozen"], name), values, err_msg=name)
    assert scores.horizons == HORIZONS
    assert scores.levels == LEVELS
    assert (scores.methods["frozen"].count[~windows.complete(H), 1] == 0).all()
    assert (scores.methods["frozen"].count[windows.complete(H), 1] > 0).all()


def test_windows_are_told_by_row_and_origin_on_the_shared_calendar(test_split, scores):
    np.testing.assert_array_equal(scores.row, test_split.windows.row)
    by_hand = test_split.windows.start + L + np.where(scores.row == 1, 7, 0)
    np.testing.assert_array_equal(scores.origin_time, by_hand)
    assert set(scores.row) == {0, 1}


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_batch_size_changes_nothing(test_split, scores, batch_size):
    other = score(test_split, batch_size=batch_size)
    for method in METHODS:
        for name, values in sums(scores.methods[method]).items():
            np.testing.assert_array_equal(getattr(other.methods[method], name), values)
        np.testing.assert_allclose(other.below[method], scores.below[method], rtol=1e-12)


def test_trained_methods_are_means_over_seeds(test_split, scores):
    assert scores.seeds == {"frozen": 1, "trained": 3}
    single = [score(test_split, {"one": [method]}).methods["one"] for method in METHODS["trained"]]
    for name, values in sums(scores.methods["trained"]).items():
        expected = np.mean([getattr(one, name) for one in single], axis=0)
        np.testing.assert_allclose(values, expected, rtol=1e-12, err_msg=name)
    assert not np.array_equal(single[0].squared_error, single[1].squared_error)


def test_below_is_the_share_of_known_targets_at_or_below_each_level(test_split, scores):
    target = test_split.windows.targets(test_split.series)
    for number, horizon in enumerate(HORIZONS):
        known = ~np.isnan(target) & test_split.windows.complete(horizon)[:, None]
        known[:, horizon:] = False
        assert 0 < known.sum() < known.size
        shares = []
        for method in (frozen, *METHODS["trained"]):
            quantiles = method(test_split)
            shares.append([(target <= quantiles[:, q])[known].mean() for q in range(len(LEVELS))])
        np.testing.assert_allclose(scores.below["frozen"][number], shares[0])
        np.testing.assert_allclose(scores.below["trained"][number], np.mean(shares[1:], axis=0))
    exact = score(test_split, {"exact": [lambda split: np.nan_to_num(_targets(split))]})
    np.testing.assert_array_equal(exact.below["exact"], 1.0)


def test_below_is_not_known_where_no_window_reaches_the_horizon(test_split):
    windows = replace(test_split.windows, limit=test_split.windows.origin + HORIZONS[0])
    short = score(Split(test_split.series, windows, test_split.forecasts))
    assert np.isfinite(short.below["frozen"][0]).all()
    assert np.isnan(short.below["frozen"][1]).all()


def _targets(split):
    target = split.windows.targets(split.series)[:, None]
    return np.repeat(target, len(LEVELS), axis=1)


def test_scores_come_back_as_they_were_saved(scores, tmp_path):
    scores.save_pretrained(tmp_path / "new" / "folder")
    found = MethodScores.from_pretrained(tmp_path / "new" / "folder")
    assert list(found.methods) == list(scores.methods)
    for method, expected in scores.methods.items():
        assert found.methods[method].horizons == expected.horizons
        for name, values in sums(expected).items():
            np.testing.assert_array_equal(getattr(found.methods[method], name), values)
        np.testing.assert_array_equal(found.below[method], scores.below[method])
    np.testing.assert_array_equal(found.row, scores.row)
    np.testing.assert_array_equal(found.origin_time, scores.origin_time)
    plain = ("seeds", "levels", "stride", "horizons")
    assert all(getattr(found, name) == getattr(scores, name) for name in plain)
    assert found.summary() == {
        "windows": len(scores.row),
        "methods": {"frozen": 1, "trained": 3},
        "horizons": [4, 10],
        "stride": 3,
    }
