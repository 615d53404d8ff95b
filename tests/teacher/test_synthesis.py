from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import LEVELS, neighbours_of, series_of, windows_over
from tsmemory.teacher.calibration import SpreadCalibration
from tsmemory.teacher.neighbours import find_neighbours
from tsmemory.teacher.quantiles import weighted_quantiles
from tsmemory.teacher.synthesis import Teacher, TeacherTargets

L, H, M = 24, 8, 5


@pytest.fixture
def store(series, windows, build_store):
    return build_store(series, windows)


@pytest.fixture
def teacher(store, series):
    return Teacher(store, series, LEVELS, shift_length=M, method="midpoint")


@pytest.fixture
def neighbours(store, series, windows):
    return find_neighbours(
        store,
        np.zeros((len(windows), 1), np.float32),
        windows,
        series,
        k=6,
        k_min=3,
        temperature=0.12,
        embargo="overlap",
        shard_size=100,
    )


def shifted_by_hand(series, windows, store, position, query, horizon):
    row, start = store.row[position], store.start[position]
    values = series.row_values(row)
    origin = windows.origin[query]
    tail = series.row_values(windows.row[query])[origin - M : origin]
    shift = np.nanmean(tail) - np.nanmean(values[start + L - M : start + L])
    return values[start + L : start + L + horizon] + shift


@pytest.mark.parametrize("horizon", [1, 3, H])
def test_futures_are_shifted_to_the_level_of_the_query(
    teacher, series, windows, neighbours, horizon
):
    futures = teacher.aligned_futures(windows, neighbours, horizon)
    assert futures.shape == (len(windows), 6, horizon)
    assert futures.dtype == np.float32
    for query in (0, 57, len(windows) - 1):
        for number, position in enumerate(neighbours.position[query]):
            if position >= 0:
                expected = shifted_by_hand(
                    series, windows, teacher.datastore, position, query, horizon
                )
                np.testing.assert_allclose(futures[query, number], expected, atol=1e-5)


def test_a_neighbour_that_differs_by_a_level_is_the_target_itself(build_store):
    wave = np.sin(np.arange(60) / 3)
    series = series_of([wave, wave + 4], calendar=[0, 100])
    windows = windows_over(series, L, H)
    store = build_store(series, windows)
    found = find_neighbours(
        store,
        np.zeros((len(windows), 1), np.float32),
        windows,
        series,
        k=1,
        k_min=1,
        temperature=0.12,
        embargo="overlap",
        shard_size=100,
    )
    teacher = Teacher(store, series, LEVELS, shift_length=M, method="published")
    median = teacher.quantiles(windows, found, H)[:, 4]
    np.testing.assert_allclose(median, windows.targets(series), atol=1e-5)


@pytest.mark.parametrize("alignment", ["shift", "affine"])
@pytest.mark.parametrize("before", [1, M, 2 * M])
def test_contexts_are_moved_as_their_futures_are(teacher, windows, neighbours, alignment, before):
    teacher = replace(teacher, alignment=alignment)
    queries, found = windows.take(slice(0, 9)), neighbours.take(slice(0, 9))
    both = teacher.aligned_futures(queries, found, H, before=before)
    assert both.shape == (9, 6, before + H)
    futures = teacher.aligned_futures(queries, found, H)
    np.testing.assert_allclose(both[:, :, before:], futures, rtol=1e-6, atol=1e-6)
    if before >= M:  # by which they are made to agree
        tails = queries.contexts(teacher.series)[:, -M:].mean(axis=1)
        level = both[:, :, before - M : before].mean(axis=2)
        known = found.position >= 0
        np.testing.assert_allclose(level[known], np.repeat(tails, known.sum(axis=1)), atol=1e-5)


def test_quantiles_are_those_of_the_aligned_futures(teacher, windows, neighbours):
    quantiles = teacher.quantiles(windows, neighbours, H)
    futures = torch.from_numpy(teacher.aligned_futures(windows, neighbours, H))
    weights = torch.from_numpy(neighbours.weight)
    expected = weighted_quantiles(futures, weights, LEVELS, "midpoint").numpy()
    np.testing.assert_array_equal(quantiles, expected)
    assert quantiles.dtype == np.float32


def test_a_shorter_horizon_is_a_slice_of_a_longer_one(teacher, windows, neighbours):
    longest = teacher.quantiles(windows, neighbours, H)
    np.testing.assert_allclose(
        teacher.quantiles(windows, neighbours, 3), longest[:, :, :3], atol=1e-6
    )


def test_absent_neighbours_teach_nothing(teacher, windows, neighbours):
    position, weight = neighbours.position.copy(), neighbours.weight.copy()
    position[0], weight[0] = -1, 0
    position[1, 1:], weight[1, 1:] = -1, 0
    weight[1, 0] = 1
    changed = neighbours_of(position, weight, 3)
    quantiles = teacher.quantiles(windows.take(slice(0, 3)), changed.take(slice(0, 3)), H)
    assert np.isnan(quantiles[0]).all()
    alone = teacher.aligned_futures(windows.take(slice(1, 2)), changed.take(slice(1, 2)), H)[0, 0]
    np.testing.assert_allclose(quantiles[1], np.broadcast_to(alone, (9, H)), atol=1e-6)
    untouched = teacher.quantiles(windows, neighbours, H)[2]
    np.testing.assert_allclose(quantiles[2], untouched, atol=1e-6)


def test_missing_values_are_left_out_of_level_and_quantile(series, windows, build_store):
    rows = [series.row_values(r).copy() for r in (0, 1)]
    rows[0][40:43] = np.nan
    rows[0][60:70] = np.nan
    gappy = series_of(rows, calendar=[0, 20])
    store = build_store(gappy, windows)
    queries = windows.take(np.array([70 - L, 41 - L + 2]))  # tail unobserved; tail half observed
    position = np.array([[45, 44 - L - H + 4], [100, 20]], np.int32)
    weight = np.full((2, 2), 0.5, np.float32)
    teacher = Teacher(store, gappy, LEVELS, shift_length=M, method="midpoint")
    futures = teacher.aligned_futures(queries, neighbours_of(position, weight), H)
    row, start = store.neighbour_windows(position.astype(np.int64))
    for number in range(2):  # nothing to agree on: the futures as they were
        values = gappy.row_values(row[0, number])
        origin = start[0, number] + L
        np.testing.assert_allclose(futures[0, number], values[origin : origin + H], atol=1e-5)
        expected = shifted_by_hand(gappy, queries, store, position[1, number], 1, H)
        np.testing.assert_allclose(futures[1, number], expected, atol=1e-5)


def test_affine_alignment_rescales_to_the_query(build_store):
    wave = np.sin(np.arange(60) / 3)
    series = series_of([wave, 1.6 * wave + 4], calendar=[0, 100])
    windows = windows_over(series, L, H)
    store = build_store(series, windows)
    found = find_neighbours(
        store,
        np.zeros((len(windows), 1), np.float32),
        windows,
        series,
        k=1,
        k_min=1,
        temperature=0.12,
        embargo="overlap",
        shard_size=100,
    )
    shifted = Teacher(store, series, LEVELS, M, "published")
    rescaled = replace(shifted, alignment="affine")
    target = windows.targets(series)
    np.testing.assert_allclose(rescaled.quantiles(windows, found, H)[:, 4], target, atol=1e-4)
    assert np.abs(shifted.quantiles(windows, found, H)[:, 4] - target).max() > 0.3


def test_calibration_widens_around_the_median(teacher, windows, neighbours):
    calibration = SpreadCalibration(4, (2.0, 0.5))
    widened = replace(teacher, calibration=calibration).quantiles(windows, neighbours, H)
    plain = teacher.quantiles(windows, neighbours, H)
    np.testing.assert_array_equal(widened[:, 4], plain[:, 4])
    distance, before = widened - widened[:, [4]], plain - plain[:, [4]]
    np.testing.assert_allclose(distance[:, :, :4], 2 * before[:, :, :4], atol=1e-5)
    np.testing.assert_allclose(distance[:, :, 4:], before[:, :, 4:] / 2, atol=1e-5)


def test_targets_are_formed_once_and_are_the_teachers(monkeypatch, teacher, windows, neighbours):
    kept = TeacherTargets(teacher, windows, neighbours)
    formed_each_time = TeacherTargets(teacher, windows, neighbours, memory_limit=0)
    chosen = np.array([3, 0, 5])
    expected = teacher.quantiles(windows.take(chosen), neighbours.take(chosen), windows.horizon)
    for targets in (kept, kept, formed_each_time):
        np.testing.assert_array_equal(targets.quantiles(chosen), expected)
    np.testing.assert_array_equal(kept.confidence, neighbours.confidence)
    monkeypatch.setattr(kept, "_form", None)  # what is known is not formed again
    np.testing.assert_array_equal(kept.quantiles(chosen[::-1]), expected[::-1])
