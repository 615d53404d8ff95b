from dataclasses import replace

import numpy as np
import pytest

from builders import LEVELS, neighbours_of
from domains import H, L
from tsmemory.evaluation.retrieved import COLUMNS, collect_retrieved
from tsmemory.teacher.diagnosis import Queries
from tsmemory.teacher.neighbours import find_neighbours

MEAN, STD = np.array([10.0, -50.0]), np.array([2.0, 30.0])
SHOWN = H  # one horizon of context


@pytest.fixture(scope="module")
def case(domain):
    """Validation queries in raw units with their neighbours, and the examples."""
    series = replace(domain.series, mean=MEAN, std=STD)
    teacher = replace(domain.teacher, series=series)
    split = domain.validation
    queries = Queries(split.windows, split.forecasts.keys, split.forecasts.quantiles)
    neighbours = find_neighbours(
        domain.store,
        queries.keys,
        queries.windows,
        series,
        k=8,
        k_min=3,
        temperature=0.12,
        embargo="self",
        shard_size=64,
    )
    return teacher, queries, neighbours, collect_retrieved(teacher, queries, neighbours)


def chosen(case):
    """Places of the three queries, by hand."""
    _, queries, neighbours, _ = case
    order = np.argsort(-neighbours.confidence, kind="stable")
    kinds = ("most trusted", "median", "least trusted")
    return dict(zip(kinds, order[[0, len(order) // 2, len(queries) - 1]], strict=True))


def part(case, kind, source):
    table = case[3]
    return table[(table["kind"] == kind) & (table["source"] == source)]


def raw(values, row):
    return np.asarray(values, np.float64) * STD[row] + MEAN[row]


def test_three_queries_from_the_most_to_the_least_trusted(case):
    _, queries, neighbours, table = case
    assert list(table) == list(COLUMNS)
    assert not table["value"].isna().any()
    picked = chosen(case)
    assert table["kind"].drop_duplicates().tolist() == list(picked)
    for kind, place in picked.items():
        lines = table[table["kind"] == kind]
        np.testing.assert_allclose(lines["confidence"], neighbours.confidence[place])
        row = int(queries.windows.row[place])
        assert set(lines["label"].str.split(", ").str[0]) == {f"s{row}"}


def test_truth_and_backbone_are_those_of_the_query(case):
    teacher, queries, _, _ = case
    for kind, place in chosen(case).items():
        row, start = int(queries.windows.row[place]), int(queries.windows.start[place])
        truth = part(case, kind, "truth")
        assert truth["step"].tolist() == list(range(-SHOWN, H))
        values = teacher.series.row_values(row)[start + L - SHOWN : start + L + H]
        np.testing.assert_allclose(truth["value"], raw(values, row), rtol=1e-5)
        frozen = part(case, kind, "frozen")
        expected = raw(queries.quantiles[place, LEVELS.index(0.5)], row)
        np.testing.assert_allclose(frozen["value"], expected, rtol=1e-5)


def test_neighbours_are_moved_to_the_level_of_the_query_context_and_all(case):
    teacher, queries, neighbours, _ = case
    m = teacher.shift_length
    for kind, place in chosen(case).items():
        row, start = int(queries.windows.row[place]), int(queries.windows.start[place])
        level = teacher.series.row_values(row)[start + L - m : start + L].mean()
        lines = part(case, kind, "neighbour")
        order = np.argsort(-neighbours.weight[place], kind="stable")
        assert lines["rank"].drop_duplicates().tolist() == list(range(1, 9))
        for rank, own in lines.groupby("rank"):
            which = order[int(rank) - 1]
            position = int(neighbours.position[place, which])
            stored = int(teacher.datastore.row[position])
            begin = int(teacher.datastore.start[position]) + L
            values = teacher.series.row_values(stored)[begin - SHOWN : begin + H]
            tail = teacher.series.row_values(stored)[begin - m : begin]
            expected = raw(values + level - tail.mean(), row)
            np.testing.assert_allclose(own["value"], expected, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(own["weight"], neighbours.weight[place, which])
            assert own["stored"].iloc[0].startswith(f"s{stored}, x, 2024-01-")


def test_the_teacher_and_its_skill(case):
    teacher, queries, neighbours, table = case
    for kind, place in chosen(case).items():
        which = np.array([place])
        one = queries.windows.take(which)
        quantiles = teacher.quantiles(one, neighbours.take(which), H)[0]
        lines = part(case, kind, "teacher").pivot(index="level", columns="step", values="value")
        np.testing.assert_allclose(lines, raw(quantiles, int(one.row[0])), rtol=1e-5)
        target, middle = one.targets(teacher.series)[0], LEVELS.index(0.5)
        ours = np.abs(target - quantiles[middle]).sum()
        theirs = np.abs(target - queries.quantiles[place, middle]).sum()
        skill = table.loc[table["kind"] == kind, "skill"]
        np.testing.assert_allclose(skill, 1 - ours / theirs, rtol=1e-4)


def test_queries_without_neighbours_are_passed_over(case):
    teacher, queries, neighbours, _ = case
    none = np.full(neighbours.position.shape, -1)
    nobody = neighbours_of(none, np.zeros(none.shape))
    empty = collect_retrieved(teacher, queries, nobody)
    assert empty.empty
    assert list(empty) == list(COLUMNS)
    lonely = none.copy()
    lonely[5, 0] = 3
    weight = (lonely >= 0).astype(np.float32)
    table = collect_retrieved(teacher, queries, neighbours_of(lonely, weight))
    assert table["label"].nunique() == 1
    assert set(table["rank"].dropna()) == {1}


def test_whole_targets_are_preferred(case):
    teacher, queries, neighbours, _ = case
    best = chosen(case)["most trusted"]
    limit = queries.windows.limit.copy()
    limit[best] = queries.windows.origin[best] + H - 1
    cut = replace(queries, windows=replace(queries.windows, limit=limit))
    table = collect_retrieved(teacher, cut, neighbours)
    assert not table["value"].isna().any()
    first = table[table["kind"] == "most trusted"]["confidence"].iloc[0]
    assert first == pytest.approx(np.sort(neighbours.confidence)[-2])
    none = replace(queries, windows=replace(queries.windows, limit=queries.windows.origin + 1))
    known = collect_retrieved(teacher, none, neighbours)
    truth = known[(known["kind"] == "median") & (known["source"] == "truth")]
    assert truth["value"].isna().sum() == H - 1
