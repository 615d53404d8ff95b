"""Training windows through ridges and levels that do not know them, against brute force."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import seasonal_rows, series_of, windows_over
from tsmemory.memory.cross_fit import CrossFit, row_means
from tsmemory.memory.instance_norm import instance_normalise
from tsmemory.memory.ridge import Ridge, RidgeSums, overlapping

L, H, PENALTY, FOLDS = 16, 4, 10.0, 4


@pytest.fixture(scope="module")
def series():
    rows = seasonal_rows(np.random.default_rng(0), [220, 160])
    rows[1] = rows[1] + 3  # rows at levels of their own
    rows[0][70:72] = np.nan
    return series_of(rows, calendar=[0, 30])


@pytest.fixture(scope="module")
def fit(series):
    return windows_over(series, L, H)


@pytest.fixture(scope="module")
def queries(fit):
    return fit.take(slice(None, None, 3))


@pytest.fixture(scope="module")
def known(fit, queries, series):
    return CrossFit.fit(fit, queries, series, penalty=PENALTY, folds=FOLDS)


@pytest.fixture(scope="module")
def own():
    rng = np.random.default_rng(1)
    weight, bias = (torch.from_numpy(rng.normal(size=s).astype(np.float32)) for s in ((L, H), H))
    return Ridge(weight, bias, 1.0)


def apart_from(fit, queries, series, members):
    """Windows without a step of the calendar in the stretch of the members, one by one."""
    taken = queries.calendar(series)[members]
    first, last = taken.min(), taken.max() + L + H
    calendar = fit.calendar(series)
    return np.array([n for n, at in enumerate(calendar) if at + L + H <= first or at >= last])


def test_ridges_and_levels_are_of_the_windows_outside_the_stretch(fit, queries, series, known):
    assert set(known.fold) == set(range(FOLDS))
    for number, members in enumerate(known.members()):
        outside = fit.take(apart_from(fit, queries, series, members))
        assert 0 < len(outside) < len(fit)
        ridge = RidgeSums.collect(outside, series).solve([PENALTY])[0]
        torch.testing.assert_close(known.weight[number], ridge.weight, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(known.bias[number], ridge.bias, atol=1e-3, rtol=1e-3)
        before = outside.calendar(series) < queries.calendar(series)[members].min()
        assert known.has_past[number] == before.any() == (number > 0)
        for row in range(2):
            mine = (outside.row == row) & (before if before.any() else ~before)
            level = np.nanmean(series.row_values(row)[outside.origin[mine]])
            assert known.level[number, row] == pytest.approx(level, rel=1e-5)


def test_a_stretch_has_no_step_in_common_with_what_is_left(fit, queries, series):
    members = np.arange(20, 30)
    inside = overlapping(fit, queries.take(members), series)
    expected = np.ones(len(fit), dtype=bool)
    expected[apart_from(fit, queries, series, members)] = False
    np.testing.assert_array_equal(inside, expected)


def test_neither_its_target_nor_its_stretch_moves_what_a_window_is_seen_through(
    fit, queries, series, known, own
):
    """Whatever is changed where windows of the stretch lie, in every row: nothing moves."""
    normal = instance_normalise(torch.from_numpy(queries.contexts(series)))
    for number, members in enumerate(known.members()):
        taken = queries.calendar(series)[members]
        flat = series.flat.copy()
        for row in range(2):
            at = taken - series.calendar[row]
            low, high = max(at.min(), 0), max(at.max() + L + H, 0)
            begin = series.offset[row]
            flat[begin + low : begin + min(high, series.length[row])] += 5
        changed = replace(series, flat=flat)
        after = CrossFit.fit(fit, queries, changed, penalty=PENALTY, folds=FOLDS)
        rows = queries.row[members]
        assert torch.equal(after.levels(members, rows), known.levels(members, rows))
        mine = type(normal)(*(part[members] for part in normal))
        torch.testing.assert_close(
            after.ahead(members, mine, own), known.ahead(members, mine, own), atol=5e-3, rtol=1e-2
        )
        moved = [*range(number + 1, FOLDS), *([0] if number else [])]  # levels look back
        assert np.abs(after.level[moved] - known.level[moved]).max(axis=1).min() > 0.1


def test_levels_are_known_by_the_time_of_the_stretch(fit, queries, series, known):
    """Whatever comes after the first step of a stretch, the level of its windows is the same."""
    for number, members in enumerate(known.members()[1:], start=1):
        begin = queries.calendar(series)[members].min()
        flat = series.flat.copy()
        for row in range(2):
            at = max(begin - series.calendar[row], 0)
            end = series.offset[row] + series.length[row]
            flat[series.offset[row] + at : end] -= 7
        after = CrossFit.fit(fit, queries, replace(series, flat=flat), penalty=PENALTY, folds=FOLDS)
        np.testing.assert_array_equal(after.level[1 : number + 1], known.level[1 : number + 1])
        assert (after.level[0] < known.level[0]).any()  # nothing lies before the first


def test_what_it_says_of_windows_is_what_their_own_stretch_says(queries, series, known, own):
    which = np.array([60, 3, 41, 3, 80])
    normal = instance_normalise(torch.from_numpy(queries.take(which).contexts(series)))
    ahead = known.ahead(which, normal, own)
    levels = known.levels(which, queries.row[which])
    assert len(set(known.fold[which])) > 2
    for place, position in enumerate(which):
        fold = known.fold[position]
        expected = normal.values[place] @ known.weight[fold] + known.bias[fold]
        torch.testing.assert_close(ahead[place], expected, atol=1e-5, rtol=1e-5)
        assert levels[place, 0] == known.level[fold, queries.row[position]]


def test_windows_of_no_stretch_have_the_ridge_of_all_and_no_level(queries, series, known, own):
    fold = known.fold.copy()
    fold[[2, 5]] = -1
    some = replace(known, fold=fold)
    which = np.array([5, 6, 2])
    normal = instance_normalise(torch.from_numpy(queries.take(which).contexts(series)))
    ahead = some.ahead(which, normal, own)
    torch.testing.assert_close(ahead[[0, 2]], normal.values[[0, 2]] @ own.weight + own.bias)
    assert not torch.isclose(ahead[1], normal.values[1] @ own.weight + own.bias).any()
    levels = some.levels(which, queries.row[which])
    assert levels[0] == levels[2] == 0
    assert levels[1] != 0
    assert not {2, 5} & set(np.concatenate(some.members()))


def test_members_are_thinned_evenly():
    fold = np.repeat([0, -1, 1], [50, 7, 40])
    ridges = torch.zeros(2, L, H), torch.zeros(2, H)
    known = CrossFit(fold, *ridges, np.zeros((2, 1), np.float32), np.array([False, True]))
    assert [members.tolist() for members in known.members(30)] == [
        list(range(0, 50, 3)),
        list(range(57, 97, 3)),
    ]
    assert [len(members) for members in known.members()] == [50, 40]
    assert [len(members) for members in known.members(90)] == [50, 40]
    assert [len(members) for members in known.members(0)] == [1, 1]


def test_it_can_be_taken_apart_saved_and_read(known):
    which = np.array([9, 0, 50])
    some = known.take(which)
    np.testing.assert_array_equal(some.fold, known.fold[which])
    read = CrossFit.from_tensors(known.tensors())
    for name in ("fold", "weight", "bias", "level", "has_past"):
        np.testing.assert_array_equal(getattr(read, name), getattr(known, name), err_msg=name)
    assert CrossFit.from_tensors({"weight": torch.zeros(1)}) is None


def test_where_no_stretch_can_be_left_out_there_is_none(series):
    short = series_of([series.row_values(1)[:45]])
    windows = windows_over(short, L, H)
    assert CrossFit.fit(windows, windows, short, penalty=1.0, folds=2) is None


def test_means_are_of_the_rows_first_target_steps():
    rows = [np.arange(30.0), np.full(30, np.nan), np.arange(30.0) + 100]
    series = series_of(rows)
    windows = windows_over(series, L, H, stride=2)
    few = windows.take(np.flatnonzero(windows.row != 2))
    origins = few.origin[few.row == 0]
    np.testing.assert_allclose(row_means(few, series), [origins.mean(), 0.0, 0.0])
    gappy = replace(series, flat=np.where(series.flat == origins[1], np.nan, series.flat))
    rest = np.delete(origins, 1).mean()
    np.testing.assert_allclose(row_means(few, gappy), [rest, 0.0, 0.0])
