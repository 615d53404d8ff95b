from itertools import pairwise

import numpy as np
import pytest
import torch

from builders import seasonal_rows, series_of, windows_over
from tsmemory.memory.instance_norm import bridge_gaps, instance_normalise
from tsmemory.memory.ridge import (
    Ridge,
    RidgeSums,
    blocked_folds,
    fit_ridge,
    out_of_fold_ridges,
    validation_errors,
)

L, H = 16, 4


@pytest.fixture
def series():
    return series_of(seasonal_rows(np.random.default_rng(0), [200, 140]), calendar=[0, 30])


@pytest.fixture
def windows(series):
    return windows_over(series, L, H)


def direct(windows, series, penalty):
    """Least squares of the targets in z units on ``scale * (z W + b)``, bias unpenalised."""
    contexts = torch.from_numpy(windows.contexts(series))
    z, loc, scale = (part.double().numpy() for part in instance_normalise(contexts))
    target = windows.targets(series).astype(np.float64) - loc
    alive = scale[:, 0] > 0
    design = scale[alive] * np.hstack([z[alive], np.ones((alive.sum(), 1))])
    penalties = penalty * np.eye(L + 1)
    penalties[L, L] = 0
    solved = np.linalg.solve(design.T @ design + penalties, design.T @ target[alive])
    return solved[:L], solved[L]


@pytest.mark.parametrize("penalty", [1e-2, 1.0, 100.0, 1e4])
def test_it_is_the_weighted_ridge_solution(series, windows, penalty):
    ridge = RidgeSums.collect(windows, series).solve([penalty])[0]
    weight, bias = direct(windows, series, penalty)
    z, loc, scale = instance_normalise(torch.from_numpy(windows.contexts(series)))
    expected = loc.numpy() + scale.numpy() * (z.numpy() @ weight + bias)
    np.testing.assert_allclose(ridge.predict(windows.contexts(series)), expected, atol=1e-4)
    # Contexts sum to 0, so that only the penalty holds the weights' mean: compare them without it.
    ours = ridge.weight.numpy()
    np.testing.assert_allclose(ours - ours.mean(0), weight - weight.mean(0), atol=1e-4)
    assert ridge.penalty == penalty


def test_a_huge_penalty_leaves_the_bias(series, windows):
    ridge = RidgeSums.collect(windows, series).solve([1e12])[0]
    assert ridge.weight.abs().max() < 1e-6
    contexts = torch.from_numpy(windows.contexts(series))
    _, loc, scale = (part.numpy() for part in instance_normalise(contexts))
    expected = (scale * (windows.targets(series) - loc)).sum(0) / (scale**2).sum()
    np.testing.assert_allclose(ridge.bias.numpy(), expected, atol=1e-4)


def test_a_linear_future_is_found():
    values = np.random.default_rng(0).normal(size=300)
    for step in range(2, 300):  # an undamped wave of its own period
        values[step] = 1.6 * values[step - 1] - values[step - 2]
    series = series_of([values])
    windows = windows_over(series, L, H)
    ridge = RidgeSums.collect(windows, series).solve([1e-4])[0]
    error = np.abs(ridge.predict(windows.contexts(series)) - windows.targets(series))
    assert error.mean() < 0.02 * np.abs(windows.targets(series)).mean()


def test_sums_add_up_and_come_apart(series, windows):
    half = len(windows) // 2
    first, second = windows.take(slice(0, half)), windows.take(slice(half, None))
    whole = RidgeSums.collect(windows, series)
    parts = RidgeSums.collect(first, series) + RidgeSums.collect(second, series)
    left = whole - RidgeSums.collect(first, series)
    alone = RidgeSums.collect(second, series)
    for name in ("count", "x", "y", "xx", "xy"):
        size = float(torch.as_tensor(getattr(whole, name)).abs().max())
        for ours, theirs in ((parts, whole), (left, alone)):
            difference = torch.as_tensor(getattr(ours, name)) - getattr(theirs, name)
            assert float(difference.abs().max()) < 1e-5 * size


def test_batches_do_not_matter(series, windows, monkeypatch):
    expected = RidgeSums.collect(windows, series).solve([1.0])[0]
    monkeypatch.setattr("tsmemory.memory.ridge._BATCH", 13)
    actual = RidgeSums.collect(windows, series).solve([1.0])[0]
    torch.testing.assert_close(actual.weight, expected.weight, atol=1e-4, rtol=1e-3)


def test_constant_contexts_are_left_out():
    row = np.concatenate([np.full(60, 2.0), np.random.default_rng(0).normal(size=60)])
    series = series_of([row])
    windows = windows_over(series, L, H)
    lively = windows.take(np.flatnonzero(windows.contexts(series).std(axis=1) > 0))
    whole, part = (RidgeSums.collect(w, series) for w in (windows, lively))
    assert len(lively) < len(windows)
    assert whole.count == pytest.approx(part.count, rel=1e-6)
    torch.testing.assert_close(whole.xx, part.xx)


def test_nothing_but_constant_contexts_gives_a_zero_map():
    series = series_of([np.full(60, 2.0)])
    ridge = RidgeSums.collect(windows_over(series, L, H), series).solve([1.0])[0]
    assert not ridge.weight.any()
    assert not ridge.bias.any()


def test_missing_target_steps_are_bridged_from_the_context_on(series, windows):
    rows = [series.row_values(0).copy(), series.row_values(1).copy()]
    rows[0][50:52] = np.nan
    gappy = series_of(rows, calendar=[0, 30])
    before = windows.take(np.array([50 - L]))  # the first two target steps are missing
    sums = RidgeSums.collect(before, gappy)
    contexts = torch.from_numpy(before.contexts(gappy))
    z, loc, scale = instance_normalise(contexts)
    target = (torch.from_numpy(before.targets(gappy)) - loc) / scale
    assert torch.isnan(target).tolist() == [[True, True, False, False]]
    step = (target[0, 2] - z[0, -1]) / 3
    expected = torch.stack([z[0, -1] + step, z[0, -1] + 2 * step, target[0, 2], target[0, 3]])
    torch.testing.assert_close(sums.y.float() / scale[0] ** 2, expected, atol=1e-5, rtol=1e-5)
    assert not torch.isnan(bridge_gaps(target)).any()


def test_prediction_follows_level_and_unit(series, windows):
    ridge = RidgeSums.collect(windows, series).solve([1.0])[0]
    contexts = windows.contexts(series)[:5]
    np.testing.assert_allclose(
        ridge.predict(6 * contexts - 9), 6 * ridge.predict(contexts) - 9, atol=1e-3
    )
    flat = np.full((1, L), 3.0, np.float32)
    np.testing.assert_allclose(ridge.predict(flat), 3.0)


def test_the_penalty_with_the_least_validation_error_is_chosen(series, windows):
    train = windows.take(np.flatnonzero(windows.start < 80))
    validation = windows.take(np.flatnonzero(windows.start >= 100))
    penalties = (1e-3, 1.0, 1e3, 1e6)
    chosen, table = fit_ridge(train, validation, series, penalties)
    errors = []
    for candidate in RidgeSums.collect(train, series).solve(penalties):
        gap = candidate.predict(validation.contexts(series)) - validation.targets(series)
        errors.append(np.mean(gap**2))
    np.testing.assert_allclose(list(table.values()), errors, rtol=1e-5)
    assert chosen.penalty == penalties[int(np.argmin(errors))]


def test_unknown_targets_do_not_count(series, windows):
    zero = Ridge(torch.zeros(L, H), torch.zeros(H), 1.0)
    some = windows.take(slice(0, 3))
    cut = type(some)(some.row, some.start, some.origin + 2, L, H)
    mean = some.contexts(series).mean(axis=1, keepdims=True)
    expected = np.mean((some.targets(series)[:, :2] - mean) ** 2)
    assert validation_errors([zero], cut, series)[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("folds", [1, 3, 5])
def test_folds_are_stretches_of_the_calendar(series, windows, folds):
    parts = blocked_folds(windows, series, folds)
    assert len(parts) == folds
    assert sorted(np.concatenate(parts)) == list(range(len(windows)))
    calendar = windows.calendar(series)
    for earlier, later in pairwise(parts):
        assert calendar[earlier].max() < calendar[later].min()


def test_an_out_of_fold_ridge_has_not_seen_a_step_of_its_queries(series, windows):
    """Changing every value that its queries touch does not change it."""
    queries = windows.take(slice(None, None, 3))
    found = out_of_fold_ridges(windows, queries, series, penalty=10.0, folds=5)
    assert len(found) == 5
    assert sorted(np.concatenate([members for members, _ in found])) == list(range(len(queries)))
    for number in (0, 2, 4):
        members, ridge = found[number]
        calendar = queries.calendar(series)[members]
        flat = series.flat.copy()
        for row in range(2):
            low = max(calendar.min() - series.calendar[row], 0)
            high = max(calendar.max() + L + H - series.calendar[row], 0)
            begin = series.offset[row]
            flat[begin + low : begin + min(high, series.length[row])] += 5
        changed = type(series)(**{**series.__dict__, "flat": flat})
        again = dict(
            enumerate(out_of_fold_ridges(windows, queries, changed, penalty=10.0, folds=5))
        )
        torch.testing.assert_close(again[number][1].weight, ridge.weight, atol=2e-3, rtol=1e-2)


def test_an_out_of_fold_ridge_is_solved_on_all_that_do_not_overlap(series, windows):
    members, ridge = out_of_fold_ridges(windows, windows, series, penalty=10.0, folds=5)[1]
    calendar = windows.calendar(series)
    apart = np.abs(calendar[:, None] - calendar[members][None]).min(axis=1) >= L + H
    weight, _ = direct(windows.take(np.flatnonzero(apart)), series, 10.0)
    np.testing.assert_allclose(ridge.weight.numpy(), weight, atol=1e-3)


def test_folds_that_leave_next_to_nothing_are_omitted(series):
    short = windows_over(series_of([series.row_values(0)[:45]]), L, H)
    one = series_of([series.row_values(0)[:45]])
    assert out_of_fold_ridges(short, short, one, penalty=1.0, folds=2) == []
