import json

import pandas as pd
import pytest

from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.evaluation import create_pipeline
from tsmemory.pipelines.evaluation.nodes import describe_backbone
from tsmemory.pipelines.evaluation.params import EvaluationParams
from tsmemory.pipelines.evaluation.report_nodes import describe_run
from tsmemory.pipelines.indexing.params import BackboneParams, IndexingParams
from tsmemory.pipelines.ingestion.params import IngestionParams
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.windowing.params import WindowingParams


def test_wiring():
    pipeline = create_pipeline()
    assert {node.short_name: node.outputs for node in pipeline.nodes} == {
        "describe_backbone": ["backbone_card"],
        "forecast_test_windows": ["test_forecasts"],
        "score_methods": ["scores"],
        "tabulate_results": [
            "leaderboard",
            "leaderboard_versions",
            "skill",
            "calibration",
            "metrics",
        ],
        "measure_cost": ["cost"],
        "measure_oracle_gap": ["oracle_gap"],
        "collect_fans": ["forecast_fans"],
        "plot_results": ["skill_plot", "calibration_plot", "fan_plot", "cost_plot"],
        "describe_run": ["run_card"],
        "write_report": ["report", "report_data"],
    }
    # Training windows are past here: what was made of them arrives as it will be shipped.
    assert not {"train_forecasts", "neighbours", "scaler"} & pipeline.inputs()
    assert {"adapter", "fusion", "forecaster", "closed_form"} <= pipeline.inputs()


def test_nothing_that_is_shipped_comes_after_the_test_forecasts():
    from tsmemory.pipeline_registry import register_pipelines

    everything = register_pipelines()["__default__"]
    after = everything.from_inputs("test_forecasts").all_outputs()
    assert "scores" in after
    assert not {"forecaster", "fusion", "adapter", "closed_form", "datastore"} & after


def test_defaults_are_those_of_the_model(defaults):
    assert EvaluationParams(**defaults["evaluation"]) == EvaluationParams()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"batch_size": 0}, "evaluation.batch_size = 0: "),
        ({"bootstrap": {"samples": 10}}, "evaluation.bootstrap.samples = 10: "),
        ({"bootstrap": {"level": 2}}, "evaluation.bootstrap.level = 2: "),
        ({"bootstrap": {"sample": 100}}, "did you mean evaluation.bootstrap.samples?"),
        ({"cost": {"batches": []}}, "evaluation.cost.batches = []: "),
        ({"cost": {"batches": [0]}}, "evaluation.cost.batches.0 = 0: "),
    ],
)
def test_nonsense_is_refused(refusal, params, said):
    assert said in refusal(evaluation=params)


@pytest.mark.parametrize(
    ("ingestion", "domain", "expected"),
    [
        ({"path": "data/ETTh1.csv"}, "mine", "etth1"),
        ({"path": "mine.csv"}, "vic_electricity", "australian_electricity"),
        (
            {"path": "a.csv", "source": {"url": "https://x.org/m4_hourly.csv", "sha256": "0" * 64}},
            "mine",
            "m4_hourly",
        ),
        ({"path": "mine.csv"}, "mine", None),
    ],
)
def test_the_backbone_and_the_benchmark_are_described(ingestion, domain, expected):
    card = describe_backbone(
        {"freq": "h"}, BackboneParams(name="seasonal_naive"), IngestionParams(**ingestion), domain
    )
    assert json.loads(json.dumps(card)) == card
    assert (card["name"], card["licence"]) == ("seasonal_naive", "Apache-2.0")
    assert card["pretraining_datasets"] == []
    assert card["benchmark"] == expected
    assert card["contamination"] is None


def card_of(ingestion, backbone, seed=0):
    return describe_run(
        {"sha256": "ab"},
        {"splits": {}},
        pd.DataFrame([{"item_id": 7, "channel": "c", "reason": "short"}]),
        {"fingerprint": "cd"},
        IngestionParams(**ingestion),
        WindowingParams(),
        BackboneParams(**backbone),
        IndexingParams(),
        TeacherParams(),
        DistillationParams(),
        EvaluationParams(),
        "My Domain",
        seed,
    )


def test_the_run_is_described_by_what_results_depend_on():
    card = card_of({"path": "data/mine.csv"}, {"name": "seasonal_naive"})
    assert json.loads(json.dumps(card)) == card
    assert card["domain"] == "my_domain"
    assert card["skipped"] == [{"item_id": "7", "channel": "c", "reason": "short"}]
    assert card["parameters"]["ingestion"]["path"] == "mine.csv"
    assert card["parameters"]["windowing"]["strides"]["test"] == WindowingParams().strides.test
    assert "shard_size" not in card["parameters"]["indexing"]
    assert card["fingerprints"]["input"] == "ab"
    assert card["fingerprints"]["backbone"] == "cd"
    elsewhere = card_of({"path": "/else/where/mine.csv"}, {"name": "seasonal_naive"})
    assert elsewhere == card
    other = card_of({"path": "data/mine.csv"}, {"name": "seasonal_naive"}, seed=1)
    changed = [
        name
        for name in card["fingerprints"]
        if other["fingerprints"][name] != card["fingerprints"][name]
    ]
    assert changed == ["parameters"]
