from dataclasses import replace

import numpy as np
import pytest

from builders import LEVELS, neighbours_of, series_of, windows_over
from tsmemory.teacher.calibration import SpreadCalibration, best_factors
from tsmemory.teacher.calibration_fit import fit_calibration
from tsmemory.teacher.neighbours import find_neighbours
from tsmemory.teacher.synthesis import Teacher

L, H, M, BLOCK, FOLDS = 24, 8, 5, 5, 3


class Narrow(Teacher):
    """A teacher that is too sure of itself."""

    def quantiles(self, windows, neighbours, horizon):
        wide = super().quantiles(windows, neighbours, horizon)
        return wide[:, [4]] + 0.4 * (wide - wide[:, [4]])


@pytest.fixture
def series():
    rng = np.random.default_rng(0)
    rows = [np.sin(np.arange(400) / 3) + rng.normal(0, 0.5, 400) for _ in range(2)]
    return series_of(rows, calendar=[0, 20])


@pytest.fixture
def windows(series):
    return windows_over(series, L, H)


@pytest.fixture
def teacher(series, windows, build_store):
    return Narrow(build_store(series, windows), series, LEVELS, M, "midpoint")


@pytest.fixture
def neighbours(teacher, series, windows):
    return find_neighbours(
        teacher.datastore,
        np.zeros((len(windows), 1), np.float32),
        windows,
        series,
        k=6,
        k_min=3,
        temperature=0.12,
        embargo="overlap",
        shard_size=1000,
    )


def fit(teacher, windows, neighbours, *, queries=10_000, folds=FOLDS, seed=0):
    return fit_calibration(
        teacher,
        windows,
        neighbours,
        block=BLOCK,
        folds=folds,
        queries=queries,
        rng=np.random.default_rng(seed),
    )


def test_factors_of_a_fold_come_from_the_queries_that_share_no_step_with_it(
    teacher, series, windows, neighbours
):
    found = fit(teacher, windows, neighbours)
    calendar, span = windows.calendar(series), L + H
    target, quantiles = windows.targets(series), teacher.quantiles(windows, neighbours, H)
    assert len(found.fold_factor) == FOLDS
    assert found.fold_edges[0] == calendar.min()
    assert found.fold_edges[-1] == calendar.max() + 1
    for fold, factors in enumerate([*found.fold_factor, found.factor]):
        away = np.ones(len(windows), bool)
        if fold < FOLDS:
            low, high = found.fold_edges[fold : fold + 2]
            inside = calendar[(calendar >= low) & (calendar < high)]
            away = (np.abs(calendar[:, None] - inside) >= span).all(axis=1)
            assert 0.3 < len(inside) / len(windows) * FOLDS < 2
        for number, factor in enumerate(factors):
            steps = slice(number * BLOCK, (number + 1) * BLOCK)
            expected = best_factors(
                target[:, steps], quantiles[:, :, steps], away[None], levels=LEVELS, median=4
            )
            assert factor == pytest.approx(expected[0], rel=1e-5)
    assert len({f[0] for f in found.fold_factor}) == FOLDS


def test_a_target_does_not_widen_its_own_band(teacher, series, windows, neighbours):
    whole = fit(teacher, windows, neighbours)
    inside = windows.calendar(series) < whole.fold_edges[1]
    unknown = replace(windows, limit=np.where(inside, windows.origin, windows.limit))
    found = fit(teacher, unknown, neighbours)
    assert found.fold_factor[0] == whole.fold_factor[0]
    assert all(a != b for a, b in zip(found.fold_factor[1:], whole.fold_factor[1:], strict=True))
    assert found.factor != whole.factor


def test_out_of_fold_bands_are_better_than_those_retrieved(teacher, series, windows, neighbours):
    target, level = windows.targets(series), np.array(LEVELS)[:, None]

    def judge(calibration):
        quantiles = replace(teacher, calibration=calibration).quantiles(windows, neighbours, H)
        gap = target[:, None] - quantiles
        inside = (target >= quantiles[:, 0]) & (target <= quantiles[:, -1])
        return np.mean(inside), np.mean(np.maximum(level * gap, (level - 1) * gap))

    (before, loss_before), (after, loss_after) = (
        judge(None),
        judge(fit(teacher, windows, neighbours)),
    )
    assert before + 0.2 < after < 0.85
    assert loss_after < loss_before


def test_a_calibration_in_place_is_not_looked_at(teacher, windows, neighbours):
    calibrated = replace(teacher, calibration=SpreadCalibration(H, (7.0,)))
    assert fit(calibrated, windows, neighbours) == fit(teacher, windows, neighbours)


def test_a_sample_tells_nearly_the_same(teacher, windows, neighbours):
    every, some = fit(teacher, windows, neighbours), fit(teacher, windows, neighbours, queries=300)
    assert some != every
    assert some == fit(teacher, windows, neighbours, queries=300)
    np.testing.assert_allclose(some.factor, every.factor, rtol=0.25)


@pytest.fixture
def near(series):
    """Queries so near each other that no fold leaves any that share no step with it."""
    windows = windows_over(series, L, H)
    return windows.take(np.flatnonzero(windows.calendar(series) < 60))


def test_where_nothing_can_be_held_out_the_spread_stays(teacher, series, near):
    found = find_neighbours(
        teacher.datastore,
        np.zeros((len(near), 1), np.float32),
        near,
        series,
        k=6,
        k_min=3,
        temperature=0.12,
        embargo="overlap",
        shard_size=1000,
    )
    assert fit(teacher, near, found, folds=2) == SpreadCalibration.none(H, BLOCK)


def test_factors_that_do_not_help_out_of_fold_are_not_used(
    teacher, windows, neighbours, monkeypatch
):
    """Three folds, each of which is told the worst for its own queries."""

    def worst(target, quantiles, keep, *, levels, median):
        del target, quantiles, levels, median
        return np.full(len(keep), 9.0)

    monkeypatch.setattr("tsmemory.teacher.calibration_fit.best_factors", worst)
    assert fit(teacher, windows, neighbours) == SpreadCalibration.none(H, BLOCK)


def test_queries_without_enough_neighbours_do_not_count(teacher, windows, neighbours):
    some = np.arange(len(windows)) % 3 == 0
    position = np.where(some[:, None], neighbours.position, -1)
    weight = np.where(some[:, None], neighbours.weight, 0)
    found = fit(teacher, windows, neighbours_of(position, weight, 3))
    target = windows.targets(teacher.series)[some, :BLOCK]
    quantiles = teacher.quantiles(windows, neighbours, H)[some, :, :BLOCK]
    expected = best_factors(
        target, quantiles, np.ones((1, some.sum()), bool), levels=LEVELS, median=4
    )
    assert found.factor[0] == pytest.approx(expected[0], rel=1e-5)
    none = neighbours_of(np.full_like(position, -1), np.zeros_like(weight), 3)
    assert fit(teacher, windows, none) == SpreadCalibration.none(H, BLOCK)
