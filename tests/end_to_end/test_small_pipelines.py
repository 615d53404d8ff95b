"""The pipelines ``anomaly`` and ``short_term`` on a table of one's own."""

import json

import numpy as np
import pandas as pd
import pytest

LENGTH, EVENT = 400, slice(300, 324)


@pytest.fixture
def table(tmp_path):
    """Two hourly series in a long table; the second has an event."""
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2024-01-01", periods=LENGTH, freq="h")
    parts = []
    for name in ("calm", "eventful"):
        values = np.sin(2 * np.pi * np.arange(LENGTH) / 24) + rng.normal(0, 0.1, LENGTH)
        if name == "eventful":
            values[EVENT] += 4
        parts.append(pd.DataFrame({"item_id": name, "timestamp": stamps, "load": values + 10}))
    path = tmp_path / "table.csv"
    pd.concat(parts).to_csv(path, index=False)
    labels = {"calm": [], "eventful": [[str(stamps[EVENT][0]), str(stamps[EVENT][-1])]]}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    return path


def test_labelled_events_are_found_and_judged(fresh, table):
    params = {
        "domain": "own",
        "ingestion.path": str(table),
        "anomaly.labels": str(table.with_name("labels.json")),
        "anomaly.usual_share": 0.5,
    }
    project = fresh.serving("own")
    steps = project.run(params, pipelines=["anomaly"])
    assert steps == ["read_panel", "score_anomalies", "tabulate_anomalies"]
    scores = pd.read_parquet(project.artefact("anomaly_scores"))
    assert len(scores) == 2 * LENGTH
    found = project.report("anomalies.csv")
    assert set(found["series"]) == {"mean", "eventful"}  # without an event there is no judging
    means = found[found["series"] == "mean"].set_index("method")["auc_pr"]
    assert {"seasonal_naive", "forecast", "reconstruction", "random"} <= set(means.index)
    assert means["forecast"] > 2 * means["random"]
    assert project.run(params, pipelines=["anomaly"]) == []
    table.with_name("labels.json").write_text(json.dumps({"calm": [], "eventful": []}))
    assert "score_anomalies" in project.run(params, pipelines=["anomaly"])
    assert project.report("anomalies.csv").empty


def test_the_ends_of_series_are_forecast(fresh, table):
    params = {"domain": "own", "ingestion.path": str(table)}
    project = fresh.serving("own")
    steps = project.run(params, pipelines=["short_term"])
    assert steps == ["read_panel", "score_short_term", "tabulate_short_term"]
    found = project.report("short_term.csv").set_index("row")
    assert set(found.index) >= {"bundled", "naive2", "seasonal_naive", "last_value"}
    assert found.loc["naive2", "owa"] == pytest.approx(1)
    assert (found["series"] == 2).all()
