import json

import numpy as np
import pandas as pd
import pytest

from tsmemory.pipeline_registry import register_pipelines
from tsmemory.pipelines.anomaly import create_pipeline
from tsmemory.pipelines.anomaly.nodes import score_anomalies, tabulate_anomalies
from tsmemory.pipelines.anomaly.params import AnomalyParams
from tsmemory.pipelines.indexing.params import BackboneParams
from tsmemory.trace.anomaly.detect import AnomalyConfig

SUMMARY = {"freq": "h"}


@pytest.fixture
def panel():
    rng = np.random.default_rng(0)
    step = np.arange(500)
    values = np.sin(2 * np.pi * step / 24) + rng.normal(0, 0.1, len(step))
    values[400:424] += 4
    stamps = pd.date_range("2024-01-01", periods=len(step), freq="h")
    return pd.DataFrame({"item_id": "one", "timestamp": stamps, "value": values})


def test_wiring():
    assert {node.short_name: node.outputs for node in create_pipeline().nodes} == {
        "score_anomalies": ["anomaly_scores"],
        "tabulate_anomalies": ["anomalies"],
    }
    names = {node.short_name for node in register_pipelines()["anomaly"].nodes}
    assert names == {"read_panel", "score_anomalies", "tabulate_anomalies"}


def test_defaults_are_those_of_the_library(defaults):
    params = AnomalyParams(**defaults["anomaly"])
    assert params == AnomalyParams()
    assert params.config() == AnomalyConfig()


def test_steps_are_scored_and_labels_judge_them(panel, tmp_path):
    labels = tmp_path / "labels.json"
    first, last = (str(panel["timestamp"][step]) for step in (400, 423))
    labels.write_text(json.dumps({"one": [[first, last]]}))
    params = AnomalyParams(labels=str(labels), context_length=64)
    scores = score_anomalies(panel, SUMMARY, BackboneParams(name="seasonal_naive"), params)
    assert len(scores) == len(panel)
    assert scores["anomalous"].sum() == 24
    table = tabulate_anomalies(scores)
    best = table[table["series"] == "mean"].set_index("method")["auc_pr"]
    assert best["forecast"] > 2 * best["random"]


def test_without_labels_nothing_is_judged(panel, caplog):
    params = AnomalyParams(context_length=64)
    scores = score_anomalies(panel, SUMMARY, BackboneParams(name="seasonal_naive"), params)
    assert scores["anomalous"].isna().all()
    with caplog.at_level("INFO"):
        table = tabulate_anomalies(scores)
    assert table.empty
    assert {"method", "series", "auc_pr"} <= set(table.columns)
    assert "anomaly.labels" in caplog.text


def test_a_backbone_with_an_encoder_reconstructs(panel):
    asked = AnomalyParams(context_length=256)
    scores = score_anomalies(panel, SUMMARY, BackboneParams(), asked)
    assert "reconstruction" in scores
    without = asked.model_copy(update={"reconstruction": False})
    assert "reconstruction" not in score_anomalies(panel, SUMMARY, BackboneParams(), without)


def test_labels_count_by_their_content(tmp_path):
    found = []
    for text in ("{}", "[]", "{}"):
        (tmp_path / "labels.json").write_text(text)
        params = AnomalyParams(labels=str(tmp_path / "labels.json"))
        found.append(params.content_fingerprint())
    assert found[0] == found[2] != found[1]
    assert AnomalyParams(nab=str(tmp_path / "missing")).content_fingerprint() is None
    assert AnomalyParams().content_fingerprint() is not None


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"labels": "a", "nab": "b"}, "nab brings labels of its own"),
        ({"usual_share": 1.0}, "anomaly.usual_share = 1.0: "),
        ({"label": "a"}, "did you mean anomaly.labels?"),
    ],
)
def test_nonsense_is_refused_once(refusal, params, said):
    assert refusal(anomaly=params).count(said) == 1
