import numpy as np
import pandas as pd
import pytest

from domains import H, L
from tsmemory.errors import UserError
from tsmemory.evaluation.methods import Fused
from tsmemory.evaluation.scores import score_methods
from tsmemory.evaluation.transfer import (
    HOW_TO_GIVE,
    ForeignMemory,
    OnNewSeries,
    read_foreign,
    refit,
    tabulate_transfer,
    transfer_methods,
)
from tsmemory.memory.config import FusionConfig
from tsmemory.memory.forecaster import MemoryForecaster
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.known_series import KnownSeries

FUSION = Fusion(4, (0.9,) * 3, (1.0,) * 3, (1.5,) * 3)
CONFIG = FusionConfig(block=4, last_value=False, seasonal_naive=False, long_run=False)
BOOTSTRAP = {"samples": 100, "level": 0.9}


@pytest.fixture(scope="module")
def known(domain):
    return KnownSeries.from_training(domain.series, domain.train_windows)


@pytest.fixture(scope="module")
def foreign(adapters, known):
    """A memory of random weights: as bad as a memory can be."""
    return ForeignMemory("elsewhere", adapters[3].eval(), FUSION, known)


@pytest.fixture(scope="module")
def refitted(foreign, halves):
    return refit(foreign, halves[0], stride=1, config=CONFIG, rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def scores(foreign, refitted, halves):
    return score_methods(
        halves[1],
        transfer_methods(foreign, refitted),
        horizons=(4, H),
        seasonal_error=np.ones(2),
        stride=1,
        batch_size=100,
    )


@pytest.fixture(scope="module")
def table(foreign, refitted, scores):
    return tabulate_transfer(
        [(foreign, refitted, scores)], rng=np.random.default_rng(0), **BOOTSTRAP
    )


@pytest.fixture
def exported(adapters, known, tmp_path):
    """Export a forecaster of the domain's backbone, or of one with another season."""

    def export(season=8):
        from tsmemory.backbones import load_backbone

        forecaster = MemoryForecaster(
            load_backbone("seasonal_naive", season=season),
            adapters[3],
            FUSION,
            known,
            backbone_source="seasonal_naive",
            backbone_options={"season": season},
            domain="elsewhere",
        )
        forecaster.save_pretrained(tmp_path / "forecaster")
        return str(tmp_path / "forecaster")

    return export


def test_a_foreign_memory_is_read_with_its_own_fusion(domain, exported, foreign, halves):
    read = read_foreign(exported(), domain.train.forecasts, context_length=L, shortest=H)
    assert read.domain == "elsewhere"
    assert read.fusion.location == FUSION.location
    part = halves[1].take(slice(0, 5))
    np.testing.assert_array_equal(
        Fused(read.adapter, read.fusion)(part), Fused(foreign.adapter, FUSION)(part)
    )
    assert read.series.to_json() == foreign.series.to_json()


def test_on_this_domain_its_series_are_new_ones(domain, foreign, halves):
    """Level and size of a context tell the memory nothing that it could know of its own series."""
    part = halves[1].take(slice(0, 5))
    contexts, _, quantiles, keys = part.tensors()
    level, scale = contexts.mean(dim=1, keepdim=True), contexts.std(dim=1, correction=0)
    unit = (scale / foreign.series.typical_scale)[:, None]
    near, backbone = (contexts - level) / unit, (quantiles - level[:, None]) / unit[:, None]
    memory = foreign.adapter(near, backbone, keys)
    for fusion, found in ((None, memory), (FUSION, FUSION.apply(backbone, memory, 4))):
        expected = (found * unit[:, None] + level[:, None]).detach().numpy()
        np.testing.assert_allclose(OnNewSeries(foreign, fusion)(part), expected, atol=1e-4)


def test_memories_that_do_not_fit_are_refused_with_all_reasons(domain, exported):
    with pytest.raises(UserError) as error:
        read_foreign(
            exported(season=7), domain.train.forecasts, context_length=L + 8, shortest=H + 1
        )
    said = str(error.value)
    assert "benchmark.transfer.forecasters" in said
    assert domain.train.forecasts.backbone in said
    assert f"its contexts have {L} steps, this domain's {L + 8}" in said
    assert f"it corrects {H} steps, and this domain's shortest horizon is {H + 1}" in said


def test_a_missing_forecaster_is_named(domain, tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        read_foreign(
            str(tmp_path / "nowhere"), domain.train.forecasts, context_length=L, shortest=H
        )


def test_the_guard_keeps_a_useless_memory_away(table, refitted, scores):
    """Raw it does great harm; guarded anew, the frozen backbone stands."""
    worst = table.groupby("row")["largest_loss"].max()
    assert worst["alone"] > 0.2
    assert worst["as_exported"] > 0.2
    assert worst["reguarded"] < 0.01
    assert table.loc[table["row"] == "reguarded", "within_1_percent"].all()
    assert not table.loc[table["row"] == "alone", "within_1_percent"].any()
    assert worst["frozen"] == 0


def test_the_table_says_what_the_scores_say(table, scores, foreign, refitted):
    assert list(zip(table["row"], table["horizon"], strict=True)) == [
        (row, horizon)
        for horizon in (4, H)
        for row in ("frozen", "alone", "as_exported", "reguarded")
    ]
    assert (table["source"] == "elsewhere").all()
    lines = table.set_index(["row", "horizon"])
    for number, horizon in enumerate((4, H)):
        reference = scores.methods["frozen"].metrics(number)
        for row, windows in scores.methods.items():
            values, line = windows.metrics(number), lines.loc[(row, horizon)]
            assert line["mae"] == values["mae"]
            losses = [values[name] / reference[name] - 1 for name in ("mse", "mae", "crps")]
            assert line["largest_loss"] == max(losses)
            if row != "frozen":
                assert line["skill"] == pytest.approx(1 - values["crps"] / reference["crps"])
                assert line["low"] <= line["high"]
    weights = lines["memory_weight"].xs(4, level="horizon")
    assert weights["as_exported"] == pytest.approx(0.9)
    assert weights["reguarded"] == pytest.approx(np.mean(refitted.location))


def test_a_memory_that_reaches_less_far_is_tried_as_far_as_it_reaches(foreign, halves):
    short = halves[0].up_to(6)
    fusion = refit(foreign, short, stride=1, config=CONFIG, rng=np.random.default_rng(0))
    assert len(fusion.location) == 2  # blocks of four steps
    assert Fused(foreign.adapter, fusion)(short.take(slice(0, 3))).shape[2] == 6


def test_without_memories_one_line_says_what_to_give():
    table = tabulate_transfer([], rng=np.random.default_rng(0), **BOOTSTRAP)
    assert table["row"].tolist() == ["not run"]
    assert table["note"].tolist() == [HOW_TO_GIVE]
    assert isinstance(table, pd.DataFrame)
    assert table["crps"].isna().all()


def test_the_columns_are_the_same_with_and_without_memories(table):
    empty = tabulate_transfer([], rng=np.random.default_rng(0), **BOOTSTRAP)
    assert list(empty.columns) == list(table.columns)
