"""A run on forecasts from a file: the same table as the backbone that made them gives."""

import json

import numpy as np
import pandas as pd
import pytest

from tables_of_forecasts import table_of
from tsmemory.memory.forecasts import BackboneForecasts
from tsmemory.runs.errors import FailedRunError
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows

L, H = 64, 16  # of the environment test


@pytest.fixture
def naive(fresh):
    """A project after a whole run on the seasonal naive forecast."""
    fresh.run({"backbone.name": "seasonal_naive"})
    return fresh


@pytest.fixture
def table(naive):
    """Its forecasts in raw units."""
    series = SeriesSet.from_pretrained(naive.artefact("series_set"))
    index = pd.read_parquet(naive.artefact("window_index"))
    parts = [
        table_of(
            series,
            Windows.from_table(index, split, L, H),
            BackboneForecasts.from_pretrained(naive.artefact(f"{split}_forecasts")),
        )
        for split in ("train", "validation", "test")
    ]
    return pd.concat(parts).drop_duplicates(["item_id", "target_name", "cutoff", "step"])


def places(table):
    """Which series and cutoffs a table names."""
    return set(zip(table["item_id"], table["target_name"], table["cutoff"], strict=True))


def test_forecasts_from_a_file(naive, table):
    from tsmemory import MemoryForecaster

    asked = pd.read_parquet(naive.artefact("forecast_origins"))
    assert places(asked) == places(table)
    assert set(asked["horizon"]) == {H}
    expected = naive.report("leaderboard.csv")

    path = naive.folder / "vendor.parquet"
    table.attrs = {"model": "vendor-3", "licence": "commercial", "pretraining_data": "unsaid"}
    table.to_parquet(path, index=False)
    steps = naive.run({"backbone.name": str(path)})
    assert "scale_series" not in steps
    assert "forecast_test_windows" in steps
    found = naive.report("leaderboard.csv")
    keys = ["method", "horizon", "metric"]
    one, other = (t[t["method"] == "frozen"].set_index(keys)["value"] for t in (expected, found))
    assert one.index.tolist() == other.index.tolist()
    np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-7)
    assert (found.loc[found["metric"] == "crossing_rate", "value"] == 0).all()
    card = naive.report("manifest.json")["backbone"]
    assert (card["name"], card["licence"]) == ("vendor-3", "commercial")
    assert card["pretraining_data"] == "unsaid"
    assert (card["benchmark"], card["contamination"]) == (None, None)

    # A file that has changed makes everything after it anew.
    table.assign(**{"0.5": table["0.5"] + 1}).to_parquet(path, index=False)
    assert "forecast_test_windows" in naive.run({"backbone.name": str(path)})
    moved = naive.report("leaderboard.csv").set_index(keys)["value"]
    assert moved["frozen", H, "mae"] > other["frozen", H, "mae"]

    forecaster = MemoryForecaster.from_pretrained(naive.artefact("forecaster"))
    panel = pd.read_parquet(naive.artefact("panel"))
    last = asked.loc[asked["split"] == "test", ["item_id", "cutoff"]].iloc[-1]
    past = panel[(panel["item_id"] == last["item_id"]) & (panel["timestamp"] <= last["cutoff"])]
    answer = forecaster.predict_df(past, target=list(panel.columns[2:]))
    assert len(answer) == H * len(panel.columns[2:])
    assert np.isfinite(answer["predictions"]).all()


def test_what_a_file_lacks_is_said_before_anything_is_learnt(naive, table):
    path = naive.folder / "vendor.csv"
    table[table["cutoff"] < table["cutoff"].max()].to_csv(path, index=False)
    with pytest.raises(FailedRunError, match=r"vendor\.csv lacks \d+ of the \d+ forecasts"):
        naive.run({"backbone.name": str(path)})
    made = {
        line["dataset"] for line in naive.report("manifest.json")["artefacts"] if line["made_now"]
    }
    assert not made & {"train_forecasts", "neighbours", "adapter"}


def test_a_domain_that_the_backbone_may_know_is_warned_of(naive, table, capsys):
    path = naive.folder / "vendor.parquet"
    table.attrs = {"model": "amazon/chronos-bolt-base"}
    table.to_parquet(path, index=False)
    settings = {"backbone.name": str(path), "domain": "m4_hourly"}
    m4 = naive.serving("m4_hourly")
    m4.run(settings)
    warning = m4.report("manifest.json")["backbone"]["contamination"]
    assert warning.startswith("The backbone was trained on m4_hourly")
    assert warning in " ".join(capsys.readouterr().out.split())
    metrics = json.loads(m4.artefact("metrics").read_text())
    assert metrics["backbone"]["contamination"] == warning
    assert metrics["backbone"]["pretraining_datasets"]
