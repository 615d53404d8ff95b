"""Runs in an MLflow database in a folder, without a server or a network."""

import json

import pandas as pd
import pytest

mlflow = pytest.importorskip("mlflow")

from tsmemory.integrations.mlflow_tracking import (  # noqa: E402
    Place,
    RunLog,
    begin_run,
    end_run,
    flatten,
    scores,
)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An empty database; making its tables takes a second."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def place(database, tmp_path, monkeypatch):
    """A place of its own for every test, whose files lie in the test's folder."""
    monkeypatch.chdir(tmp_path)
    return Place(database, tmp_path.name)


def test_a_run_is_logged_whole(place, tmp_path, forecaster, table):
    page = tmp_path / "report.html"
    page.write_text("<p>")
    run_id = begin_run(place, "first")
    many = {f"p{number}": number for number in range(250)}
    log = RunLog(
        parameters={"teacher": {"k": 5, "levels": [0.1, 0.5]}, "domain": "sample", **many},
        metrics={"tsmemory/crps_24": 0.5, "unknown": None, "nan": float("nan")},
        tags={"tsmemory.pipelines": ["teacher"]},
        manifest={"status": "completed"},
        files=[page],
        forecaster=forecaster,
    )
    end_run(place, run_id, log)
    run = place.client().get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "first"
    assert run.data.params["teacher.k"] == "5"
    assert run.data.params["teacher.levels"] == "[0.1, 0.5]"
    assert run.data.params["domain"] == "sample"
    assert len(many.keys() & run.data.params.keys()) == 250
    assert run.data.metrics == {"tsmemory/crps_24": 0.5}
    assert run.data.tags["tsmemory.pipelines"] == '["teacher"]'
    files = {line.path for line in place.client().list_artifacts(run_id)}
    assert files == {"manifest.json", "report.html"}

    model_id = run.outputs.model_outputs[0].model_id
    mlflow.set_tracking_uri(place.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{model_id}")
    made = model.predict(table, params={"prediction_length": 3, "target": ["load"]})
    expected = forecaster.predict_df(table, target="load", prediction_length=3)
    pd.testing.assert_frame_equal(made, expected)


def test_a_failed_run_is_marked(place):
    run_id = begin_run(place)
    end_run(place, run_id, RunLog(tags={"tsmemory.error": "it broke"}, failed=True))
    run = place.client().get_run(run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["tsmemory.error"] == "it broke"


def test_what_cannot_be_logged_ends_the_run_as_failed(place, tmp_path):
    run_id = begin_run(place)
    with pytest.raises(Exception, match="nowhere"):
        end_run(place, run_id, RunLog(files=[tmp_path / "nowhere.csv"]))
    assert place.client().get_run(run_id).info.status == "FAILED"


def test_runs_of_one_experiment_lie_together(place):
    first, second = begin_run(place), begin_run(place)
    runs = [place.client().get_run(run_id) for run_id in (first, second)]
    assert runs[0].info.experiment_id == runs[1].info.experiment_id


def test_the_place_of_the_users_own_runs_is_left_alone(place, tmp_path, forecaster):
    own = f"sqlite:///{tmp_path / 'own.db'}"
    mlflow.set_tracking_uri(own)
    with mlflow.start_run() as mine:
        run_id = begin_run(place)
        end_run(place, run_id, RunLog(forecaster=forecaster))
        assert mlflow.active_run().info.run_id == mine.info.run_id
        assert mlflow.get_tracking_uri() == own
    assert place.client().get_run(run_id).outputs.model_outputs


def test_scores_are_named_by_method_metric_and_horizon():
    metrics = {"frozen": {"24": {"mse": 1.0, "crps": None}}, "tsmemory": {"24": {"mse": 0.5}}}
    expected = {"frozen/mse_24": 1.0, "frozen/crps_24": None, "tsmemory/mse_24": 0.5}
    assert scores(metrics) == expected


def test_nested_parameters_become_dotted_paths_of_text():
    values = {"a": {"b": {"c": 1}, "empty": {}}, "text": "x", "none": None, "flag": True}
    flat = flatten(values)
    assert flat == {"a.b.c": "1", "a.empty": "{}", "text": "x", "none": "null", "flag": "true"}
    assert json.loads(flat["a.b.c"]) == 1
