from dataclasses import replace

import numpy as np
import pytest

from builders import LEVELS
from domains import H
from tsmemory.evaluation.oracle import measure_oracle_gap
from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_parts import Channel, Naive
from tsmemory.memory.split import memory_parts

BLOCK, MEDIAN, SEASON = 4, LEVELS.index(0.5), 8
CONFIG = FusionConfig(block=BLOCK)
FUSION = Fusion(
    BLOCK,
    (0.2, 0.1, 0.0),
    (0.0,) * 3,
    (1.0,) * 3,
    naive=Naive((0.1, 0.0, 0.3), (0.0, 0.5, 0.1), (0.2, 0.0, 0.1), SEASON),
)


def gap_of(split, adapter, fusion=FUSION):
    table = measure_oracle_gap(split, adapter, fusion, season=SEASON, config=CONFIG)
    return table.set_index(["quantity", "first_step"])


def squared_error(split, adapter, fusion, steps=slice(None)):
    """Mean over the known steps."""
    errors = [
        (part.fuse(fusion, MEDIAN)[:, MEDIAN] - part.target)[:, steps].numpy() ** 2
        for part in memory_parts(split, adapter)()
    ]
    return float(np.nanmean(np.concatenate(errors)))


@pytest.fixture(scope="module")
def adapter(adapters):
    return adapters[3]


@pytest.fixture(scope="module")
def table(halves, adapter):
    return gap_of(halves[1], adapter)


def test_errors_are_those_of_the_chosen_weights(halves, adapter, table):
    for first, steps in ((1, slice(0, 4)), (5, slice(4, 8)), (9, slice(8, 10))):
        line = table.loc[[("mse", first)]].iloc[0]
        expected = squared_error(halves[1], adapter, FUSION, steps)
        assert line["chosen"] == pytest.approx(expected, rel=1e-4)
        assert 0 <= line["gap"] == pytest.approx(1 - line["oracle"] / line["chosen"])
    whole = table.loc[[("mse", 1)]].iloc[-1]
    assert whole["last_step"] == H
    assert whole["chosen"] == pytest.approx(squared_error(halves[1], adapter, FUSION), rel=1e-4)


def test_no_other_weights_would_have_been_better(halves, adapter, table):
    weights = {
        name: tuple(table.loc[f"weight_{name}"]["oracle"])
        for name in ("memory", "last_value", "seasonal_naive", "long_run")
    }
    median = (weights[name] for name in ("last_value", "seasonal_naive", "long_run"))
    naive = Naive(*median, SEASON)
    oracle = Fusion(BLOCK, weights["memory"], (0.0,) * 3, (1.0,) * 3, naive=naive)
    best = table.loc[[("mse", 1)]].iloc[-1]["oracle"]
    assert squared_error(halves[1], adapter, oracle) == pytest.approx(best, rel=1e-4)
    rng = np.random.default_rng(0)
    for _ in range(10):
        memory, *candidates, _rest = rng.dirichlet(np.ones(5), 3).T
        other = Naive.of(candidates, SEASON)
        fusion = Fusion(BLOCK, tuple(memory), (0.0,) * 3, (1.0,) * 3, naive=other)
        assert squared_error(halves[1], adapter, fusion) >= best * (1 - 1e-6)


def test_weights_of_channels_count_in_the_error(halves, adapter):
    medians = ((0.6, 0.0, 0.1), (0.2, 0.1, 0.0), (0.0, 0.4, 0.2), (0.1, 0.0, 0.3))
    own = Channel(*medians, (1.0,) * 3)
    name = str(halves[1].series.channel[0])
    fusion = replace(FUSION, channels={name: own})
    line = gap_of(halves[1], adapter, fusion).loc[[("mse", 1)]].iloc[-1]
    assert line["chosen"] == pytest.approx(squared_error(halves[1], adapter, fusion), rel=1e-4)
    shared = gap_of(halves[1], adapter).loc[[("mse", 1)]].iloc[-1]
    assert line["chosen"] != pytest.approx(shared["chosen"], rel=1e-3)


def test_weights_that_are_the_oracles_have_no_gap(halves, adapter, table):
    chosen, oracle = (table.loc["weight_memory"][name].to_numpy() for name in ("chosen", "oracle"))
    np.testing.assert_allclose(chosen, FUSION.location)
    np.testing.assert_allclose(table.loc["weight_memory"]["gap"], oracle - chosen)


def test_blocks_that_no_test_window_reaches_are_empty(halves, adapter):
    split = halves[1]
    few = split.take(np.arange(5))
    late = replace(few, windows=replace(few.windows, limit=few.windows.origin + BLOCK))
    found = gap_of(late, adapter)
    assert np.isnan(found.loc[("mse", 5)]["chosen"]).all()
    assert np.isfinite(found.loc[[("mse", 1)]].iloc[0]["chosen"])
