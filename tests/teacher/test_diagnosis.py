from dataclasses import replace

import numpy as np
import pytest

from builders import LEVELS
from domains import H, L, small_domain
from tsmemory.teacher.calibration import SpreadCalibration
from tsmemory.teacher.diagnosis import Gates, Queries, diagnose, summarise
from tsmemory.teacher.neighbours import find_neighbours

HORIZONS = (3, H)
GATES = Gates(margin=0.02, confidence_threshold=0.14)
CALIBRATION = SpreadCalibration(5, (2.0, 3.0))
BOTH = {"coverage", "pinball"}
METRICS = BOTH | {
    "mae",
    "backbone_mae",
    "overlap_share",
    "gate_advantage",
    "gate_confidence",
    "gate_open",
}


@pytest.fixture(scope="module")
def domain():
    return small_domain()


def queries_of(split):
    return Queries(split.windows, split.forecasts.keys, split.forecasts.quantiles)


def search_in(domain):
    def search(queries, embargo):
        return find_neighbours(
            domain.store,
            queries.keys,
            queries.windows,
            domain.series,
            k=8,
            k_min=3,
            temperature=0.12,
            embargo=embargo,
            shard_size=64,
        )

    return search


@pytest.fixture(scope="module")
def table(domain):
    return diagnose(
        replace(domain.teacher, calibration=CALIBRATION),
        queries_of(domain.train),
        queries_of(domain.validation),
        search_in(domain),
        embargo="overlap",
        horizons=HORIZONS,
        gates=GATES,
    )


def value(table, split, embargo, horizon, metric):
    chosen = (table["split"] == split) & (table["embargo"] == embargo)
    chosen &= (table["horizon"] == horizon) & (table["metric"] == metric)
    assert chosen.sum() == 1
    return table.loc[chosen, "value"].iloc[0]


def test_one_line_for_each_figure(domain, table):
    assert list(table) == ["split", "embargo", "horizon", "metric", "value", "queries"]
    assert not table.drop(columns="value").duplicated().any()
    assert not table["value"].isna().any()
    groups = table.groupby(["split", "embargo", "horizon"])["metric"].apply(set).to_dict()
    calibrated = METRICS | {f"{name}_calibrated" for name in BOTH}
    assert groups == {
        (split, embargo, horizon): calibrated if embargo in ("overlap", "none") else METRICS
        for split, embargo in (
            ("train", "self"),
            ("train", "overlap"),
            ("train", "causal"),
            ("validation", "none"),
        )
        for horizon in HORIZONS
    }
    sizes = table.groupby("split")["queries"].unique().to_dict()
    assert sizes == {
        "train": [len(domain.train.windows)],
        "validation": [len(domain.validation.windows)],
    }


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize(
    ("split", "embargo"),
    [("train", "self"), ("train", "overlap"), ("train", "causal"), ("validation", "none")],
)
def test_figures_query_by_query(domain, table, split, embargo, horizon):
    part = getattr(domain, split)
    neighbours = search_in(domain)(queries_of(part), "self" if embargo == "none" else embargo)
    quantiles = domain.teacher.quantiles(part.windows, neighbours, H)
    targets = part.windows.targets(domain.series)
    start = part.windows.calendar(domain.series)
    error, theirs, inside, wide, overlaps, better, trusted = ([] for _ in range(7))
    for query in range(len(part.windows)):
        own, target = quantiles[query, :, :horizon], targets[query, :horizon]
        if part.windows.complete(horizon)[query] and not np.isnan(own[4]).any():
            gap, other = (
                np.abs(target - own[4]),
                np.abs(target - part.forecasts.quantiles[query, 4, :horizon]),
            )
            error.extend(gap)
            theirs.extend(other)
            inside.extend((target >= own[0]) & (target <= own[8]))
            widened = own[4] + np.repeat(CALIBRATION.factor, 5)[:horizon] * (own[[0, 8]] - own[4])
            wide.extend((target >= widened[0]) & (target <= widened[1]))
            better.append(gap.mean() + GATES.margin < other.mean())
            trusted.append(neighbours.confidence[query] >= GATES.confidence_threshold)
        for position in neighbours.position[query]:
            if position >= 0:
                future = domain.store.calendar[position] + L + np.arange(horizon)
                asked = start[query] + L + np.arange(horizon)
                overlaps.append(len(np.intersect1d(future, asked)) > 0)
    expected = {
        "mae": np.mean(error),
        "backbone_mae": np.mean(theirs),
        "coverage": np.mean(inside),
        "overlap_share": np.mean(overlaps),
        "gate_advantage": np.mean(better),
        "gate_confidence": np.mean(trusted),
        "gate_open": np.mean(np.array(better) & np.array(trusted)),
    }
    if embargo in ("overlap", "none"):
        expected["coverage_calibrated"] = np.mean(wide)
    for metric, figure in expected.items():
        assert value(table, split, embargo, horizon, metric) == pytest.approx(figure, abs=1e-5)


def test_the_gates_tell_queries_apart(table):
    gates = table[table["metric"].str.startswith("gate_") & (table["embargo"] == "overlap")]
    assert gates["value"].between(0.01, 0.99).all()


def test_the_loss_is_the_mean_over_levels(domain, table):
    quantiles = domain.teacher.quantiles(domain.train.windows, domain.neighbours, H)
    gap = domain.train.windows.targets(domain.series)[:, None] - quantiles
    level = np.array(LEVELS)[:, None]
    loss = np.nanmean(np.maximum(level * gap, (level - 1) * gap))
    assert value(table, "train", "overlap", H, "pinball") == pytest.approx(loss, rel=1e-4)


def test_the_published_setting_leaks_and_an_embargo_does_not(domain, table):
    for horizon in HORIZONS:
        assert value(table, "train", "self", horizon, "overlap_share") > 0
        for embargo in ("overlap", "causal"):
            assert value(table, "train", embargo, horizon, "overlap_share") == 0
        assert value(table, "validation", "none", horizon, "overlap_share") == 0


def test_the_summary_puts_the_embargoes_side_by_side(table):
    text = summarise(table, embargo="overlap")
    assert set(text) == {"train", "validation", "leak"}
    for horizon in HORIZONS:
        leak = text["leak"][str(horizon)]
        for embargo in ("self", "overlap", "causal"):
            assert leak[embargo] == value(table, "train", embargo, horizon, "mae")
        assert leak["validation"] == text["validation"][str(horizon)]["mae"]
        assert leak["validation_over_self"] == leak["validation"] / leak["self"]
        assert text["train"][str(horizon)]["mae"] == leak["overlap"]


def test_without_calibration_there_is_nothing_calibrated(domain):
    found = diagnose(
        domain.teacher,
        queries_of(domain.train),
        queries_of(domain.validation),
        search_in(domain),
        embargo="causal",
        horizons=(H,),
        gates=GATES,
    )
    assert set(found["metric"]) == METRICS


def test_a_sample_is_in_the_order_of_the_calendar(domain):
    every = queries_of(domain.train)
    some = every.sample(50, domain.series, np.random.default_rng(0))
    assert len(some) == len(some.keys) == len(some.quantiles) == 50
    start = some.windows.calendar(domain.series)
    assert (np.diff(start) >= 0).all()
    for query in range(50):
        place = np.flatnonzero(
            (every.windows.row == some.windows.row[query])
            & (every.windows.start == some.windows.start[query])
        )
        np.testing.assert_array_equal(every.keys[place[0]], some.keys[query])
    again = every.sample(50, domain.series, np.random.default_rng(0))
    np.testing.assert_array_equal(again.windows.start, some.windows.start)
    assert len(every.sample(10**6, domain.series, np.random.default_rng(0))) == len(every)
