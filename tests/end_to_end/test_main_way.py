"""What a whole run leaves behind, and that it says one thing everywhere."""

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

METHODS = ("last_value", "seasonal_naive", "ridge", "frozen", "online_knn", "tsmemory")
METRICS = ("mse", "mae", "crps", "wql", "mase", "coverage_80", "crossing_rate")
HORIZONS = (8, 16)
LEVELS = [round(level / 10, 1) for level in range(1, 10)]


def catalog_of(project: Any) -> Any:
    """The catalog of the environment ``test``."""
    from kedro.framework.session import KedroSession

    with (
        contextlib.chdir(project.folder),
        KedroSession.create(project.folder, env="test") as session,
    ):
        return session.load_context().catalog


def test_the_run_needs_no_network(base, connections):
    assert base.report("manifest.json")["status"] == "completed"
    assert connections == []


def test_the_leaderboard_is_complete(base):
    table = base.report("leaderboard.csv")
    assert list(table) == ["method", "horizon", "metric", "value", "low", "high", "seeds"]
    keys = list(zip(table["method"], table["horizon"], table["metric"], strict=True))
    assert len(keys) == len(set(keys))
    assert set(keys) == {(x, h, m) for x in METHODS for h in HORIZONS for m in METRICS}
    assert (table.loc[table["metric"] == "crossing_rate", "value"] == 0).all()
    assert table["seeds"].tolist() == [2 if x == "tsmemory" else 1 for x in table["method"]]
    assert table[["value", "low", "high"]].notna().all(axis=None)
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_versioned_results_are_the_latest_ones(base):
    latest = base.report("leaderboard.csv")
    kept = pd.read_csv(base.artefact("leaderboard_versions"))
    pd.testing.assert_frame_equal(kept, latest)
    metrics = json.loads(base.artefact("metrics").read_text())
    for line in latest.itertuples():
        found = metrics["metrics"][line.method][str(line.horizon)][line.metric]
        assert found == pytest.approx(line.value, rel=1e-12)
    assert set(metrics["guard"]) == {"0", "1"}
    assert metrics["scored"]["windows"] > 200


def test_the_other_tables(base):
    skill = base.report("skill.csv")
    assert set(skill["method"]) == set(METHODS) - {"frozen"}
    assert set(skill["horizon"]) == set(HORIZONS)
    assert {"all", "ghi", "pressure"} < set(skill["channel"])
    assert (skill["skill"] <= 1).all()
    cost = base.report("cost.csv")
    assert list(cost) == ["method", "horizon", "batch", "metric", "value"]
    latency = cost[cost["metric"] == "latency_ms_per_window"]
    assert set(zip(latency["method"], latency["horizon"], latency["batch"], strict=True)) == {
        (x, h, b) for x in ("frozen", "tsmemory") for h in HORIZONS for b in (1, 8)
    }
    assert (latency["value"] > 0).all()
    calibration = base.report("calibration.csv")
    assert set(calibration["level"]) == set(LEVELS)
    assert set(calibration["horizon"]) == set(HORIZONS)
    curves = calibration.groupby(["method", "horizon"])["observed"]
    assert curves.apply(lambda x: x.is_monotonic_increasing).all()
    losses = pd.read_csv(base.artefact("loss_curve"))
    assert set(losses["seed"]) == {0, 1}
    assert losses.groupby("seed")["epoch"].min().tolist() == [0, 0]


@pytest.mark.parametrize("name", ["skill", "calibration", "fan", "loss", "fusion"])
def test_plots_can_be_read(base, name):
    import plotly.io

    figure = plotly.io.from_json(base.artefact(f"{name}_plot").read_text())
    assert len(figure.data) > 0
    assert figure.layout.title.text or figure.layout.xaxis.title.text or figure.layout.annotations


def test_the_manifest_accounts_for_everything(base):
    from tsmemory.backbones.registry import BUNDLED
    from tsmemory.backbones.weights import weights_fingerprint
    from tsmemory.fingerprint import digest, sha256_of_path
    from tsmemory.io.optional_folder_dataset import NOTHING
    from tsmemory.pipeline_registry import register_pipelines

    manifest = base.report("manifest.json")
    pipeline = register_pipelines()["__default__"]
    assert [line["node"] for line in manifest["nodes"]] == [node.name for node in pipeline.nodes]
    assert {line["dataset"] for line in manifest["artefacts"]} == pipeline.all_outputs()
    for line in manifest["artefacts"]:
        assert line["sha256"] == sha256_of_path(base.folder / line["path"])
    assert manifest["seeds"] == {"seed": 0, "distillation.seeds": [0, 1]}
    sample = base.folder / "data/01_raw/tmy_weather.parquet"
    assert manifest["inputs"] == [
        {"dataset": "params:backbone", "fingerprint": weights_fingerprint(BUNDLED)},
        {"dataset": "raw_table", "fingerprint": sha256_of_path(sample)},
        # Rows of other pipelines, which none has made yet.
        *({"dataset": n, "fingerprint": digest(NOTHING)} for n in ("together_rows", "trace_rows")),
    ]


def test_nothing_unfinished_is_left(base):
    names = [path.name for path in (base.folder / "data").rglob("*")]
    assert not [name for name in names if name.endswith((".saving", ".old", ".partial"))]
    assert "workspace" not in names


def test_scores_are_those_of_the_forecasts(base):
    """The table's MSE and MAE, worked out again with plain numpy."""
    from tsmemory.evaluation.methods import Fused
    from tsmemory.memory.fusion import Fusion
    from tsmemory.memory.split import Split
    from tsmemory.series.windows import Windows

    catalog = catalog_of(base)
    series = catalog.load("series_set")
    windows = Windows.from_table(catalog.load("window_index"), "test", 64, 16)
    split = Split(series, windows, catalog.load("test_forecasts"))
    adapters, fusion = catalog.load("adapter").adapters, catalog.load("fusion")
    medians = {
        "frozen": [split.forecasts.quantiles[:, 4]],
        "tsmemory": [
            Fused(model, Fusion.from_json(fusion[str(seed)]))(split)[:, 4]
            for seed, model in adapters.items()
        ],
    }
    table = base.report("leaderboard.csv").set_index(["method", "horizon", "metric"])["value"]
    for horizon in HORIZONS:
        whole = windows.start + 64 + horizon <= windows.limit
        target = windows.targets(series, horizon)[whole].astype(np.float64)
        for method, seeds in medians.items():
            errors = [median[whole, :horizon].astype(np.float64) - target for median in seeds]
            mse = np.mean([np.nanmean(error**2) for error in errors])
            mae = np.mean([np.nanmean(np.abs(error)) for error in errors])
            assert table[method, horizon, "mse"] == pytest.approx(mse, rel=1e-6)
            assert table[method, horizon, "mae"] == pytest.approx(mae, rel=1e-6)


def test_the_shipped_forecaster_says_what_was_scored(base, tmp_path, monkeypatch):
    """Loaded elsewhere, from raw values, it gives the fused quantiles that were scored."""
    from tsmemory import MemoryForecaster
    from tsmemory.evaluation.methods import Fused
    from tsmemory.memory.fusion import Fusion
    from tsmemory.memory.split import Split
    from tsmemory.series.windows import Windows

    catalog = catalog_of(base)
    series = catalog.load("series_set")
    windows = Windows.from_table(catalog.load("window_index"), "test", 64, 16)
    fused = Fused(catalog.load("adapter").shipped, Fusion.from_json(catalog.load("fusion")["0"]))
    scored = fused(Split(series, windows, catalog.load("test_forecasts")))

    monkeypatch.chdir(tmp_path)
    forecaster = MemoryForecaster.from_pretrained(base.folder / "data/06_models/test/forecaster")
    assert not forecaster.fusion.is_idle
    mean, std = (part[windows.row, None] for part in (series.mean, series.std))
    contexts = (windows.contexts(series) * std + mean).astype(np.float32)
    names = {"items": series.item_id[windows.row], "channels": series.channel[windows.row]}
    quantiles, median = forecaster.predict_quantiles(contexts, 16, LEVELS, **names)
    found = (quantiles.numpy().transpose(0, 2, 1) - mean[:, :, None]) / std[:, :, None]
    np.testing.assert_allclose(found, scored, atol=1e-4)
    np.testing.assert_array_equal(median.numpy(), quantiles.numpy()[:, :, 4])


def test_the_report_says_what_the_tables_say(base):
    data = base.report("report.json")
    page = (base.folder / "data/08_reporting/test/report.html").read_text(encoding="utf-8")
    table = base.report("leaderboard.csv")
    crps = table[(table["method"] == "tsmemory") & (table["metric"] == "crps")]
    lines = data["sections"]["leaderboard"]["tables"]["leaderboard_crps"]["data"]
    found = {line["horizon"]: line["value"] for line in lines if line["method"] == "tsmemory"}
    assert found == pytest.approx(dict(zip(crps["horizon"], crps["value"], strict=True)))
    assert all(sentence in page.replace("&#39;", "'") for sentence in data["verdict"])
    card = base.report("run_card.json")
    assert card["parameters"]["windowing"]["horizons"] == list(HORIZONS)
    assert card["fingerprints"]["input"] == card["panel"]["sha256"]
    assert data["domain"] == "test"


def test_a_table_is_forecast_as_the_fans_show(base):
    """``predict_df`` on the panel up to a test origin, beside the pipeline's own figures."""
    from tsmemory import MemoryForecaster

    forecaster = MemoryForecaster.from_pretrained(base.folder / "data/06_models/test/forecaster")
    panel = pd.read_parquet(base.artefact("panel"))
    fans = pd.read_parquet(base.artefact("forecast_fans"))
    for label, fan in fans[fans["method"] == "tsmemory"].groupby("label"):
        item, channel, origin = str(label).split(", ")
        known = panel[(panel["item_id"] == item) & (panel["timestamp"] < origin)]
        table = forecaster.predict_df(
            known, prediction_length=16, target=channel, quantile_levels=LEVELS
        )
        assert table["timestamp"].iloc[0] == pd.Timestamp(origin)
        wanted = fan.pivot_table(index="step", columns="level", values="value").to_numpy()
        found = table[[str(level) for level in LEVELS]].to_numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-4 * panel[channel].std())


def test_artefacts_lie_by_layer_and_domain(base):
    layers = ("02_intermediate", "03_primary", "04_datastore", "05_teacher", "06_models")
    folders = {Path(name).parts[1:3] for name in base.digests()}
    assert folders == {(x, "test") for x in (*layers, "07_model_output", "08_reporting")}
