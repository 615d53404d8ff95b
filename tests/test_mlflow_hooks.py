"""The hook that logs runs to MLflow: off by default, and never the end of a run."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro_datasets.json import JSONDataset

from tsmemory.mlflow_hooks import MlflowHooks, MlflowParams
from tsmemory.runs.errors import ParameterError, RefusedRunError

RUN = {"run_id": "2024-01-01T00.00.00.000Z"}
SCORES = {"tsmemory": {"24": {"mse": 0.5}}}


def score(raw, teacher):
    return {"metrics": SCORES}, "a,b"


PIPELINE = Pipeline([Node(score, ["raw", "params:teacher"], ["metrics", "skill"], name="score")])


def context(**parameters):
    return SimpleNamespace(params={"domain": "mine", **parameters})


def prepared(**parameters):
    hooks = MlflowHooks()
    hooks.after_context_created(context(mlflow=parameters))
    return hooks


@pytest.fixture
def project(tmp_path):
    """What a run has left: a manifest, metrics and two tables."""
    reports = tmp_path / "data/08_reporting/mine"
    reports.mkdir(parents=True)
    artefacts = []
    for name in ("skill.csv", "metrics.json", "other.csv"):
        path = reports / name
        path.write_text(json.dumps({"metrics": SCORES}))
        shown = path.relative_to(tmp_path).as_posix()
        artefacts.append({"dataset": name.partition(".")[0], "path": shown})
    manifest = {
        "status": "completed",
        "error": None,
        "seconds": 1.5,
        "peak_memory_bytes": 10,
        "command": "kedro run",
        "env": None,
        "pipelines": ["__default__"],
        "run_id": RUN["run_id"],
        "parameters_fingerprint": "abc",
        "parameters": {"teacher": {"k": 5}, "sample": {"year": 2001}},
        "git": {"commit": "123", "dirty": False},
        "backbone": {"name": "bundled", "fingerprint": "def"},
        "artefacts": artefacts,
    }
    (reports / "manifest.json").write_text(json.dumps(manifest))
    catalog = DataCatalog(
        {
            "manifest": JSONDataset(filepath=str(reports / "manifest.json")),
            "metrics": JSONDataset(filepath=str(reports / "metrics.json")),
        }
    )
    return SimpleNamespace(folder=tmp_path, catalog=catalog, run={**RUN, "project_path": tmp_path})


@pytest.fixture
def database(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def only_run(database, experiment="mine"):
    from mlflow import MlflowClient

    client = MlflowClient(database)
    found = client.get_experiment_by_name(experiment)
    (run,) = client.search_runs([found.experiment_id])
    return client, run


def test_a_run_is_logged(project, database):
    hooks = prepared(enabled=True, tracking_uri=database)
    hooks.before_pipeline_run(project.run, project.catalog)
    hooks.after_pipeline_run(project.run, PIPELINE, project.catalog)
    client, run = only_run(database)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == RUN["run_id"]
    assert run.data.params == {"teacher.k": "5"}  # what this pipeline takes
    assert run.data.metrics == {"tsmemory/mse_24": 0.5, "seconds": 1.5, "peak_memory_bytes": 10}
    assert run.data.tags["mlflow.source.git.commit"] == "123"
    assert run.data.tags["tsmemory.backbone"] == "bundled"
    files = {line.path for line in client.list_artifacts(run.info.run_id)}
    assert files == {"manifest.json", "metrics.json", "skill.csv"}  # what this pipeline makes


def test_a_failed_run_is_logged_as_such(project, database):
    hooks = prepared(enabled=True, tracking_uri=database, experiment="named")
    hooks.before_pipeline_run(project.run, project.catalog)
    hooks.on_pipeline_error(project.run, PIPELINE, project.catalog)
    client, run = only_run(database, "named")
    assert run.info.status == "FAILED"
    assert "tsmemory/mse_24" not in run.data.metrics
    assert {line.path for line in client.list_artifacts(run.info.run_id)} == {"manifest.json"}


def test_a_run_is_not_lost_with_its_log(project, database, caplog):
    hooks = prepared(enabled=True, tracking_uri=database)
    hooks.before_pipeline_run(project.run, project.catalog)
    (project.folder / "data/08_reporting/mine/manifest.json").unlink()
    hooks.after_pipeline_run(project.run, PIPELINE, project.catalog)
    assert "the run could not be logged" in caplog.text


def test_a_place_that_cannot_be_reached_is_said_before_the_run(project):
    pytest.importorskip("mlflow")
    hooks = prepared(enabled=True, tracking_uri="nowhere://at.all")
    with pytest.raises(RefusedRunError, match=r"MLflow cannot log to nowhere://at\.all"):
        hooks.before_pipeline_run(project.run, project.catalog)


def test_a_catalog_without_manifest_is_refused(database):
    hooks = prepared(enabled=True, tracking_uri=database)
    with pytest.raises(ParameterError, match="no entry 'manifest'"):
        hooks.before_pipeline_run(RUN, DataCatalog({}))


@pytest.mark.parametrize("parameters", [{}, {"enabled": False, "tracking_uri": "sqlite:///x.db"}])
def test_unless_asked_for_nothing_happens(parameters, project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "mlflow", None)  # an import would fail
    before = sorted(tmp_path.rglob("*"))
    hooks = prepared(**parameters)
    hooks.before_pipeline_run(project.run, project.catalog)
    hooks.after_pipeline_run(project.run, PIPELINE, project.catalog)
    hooks.on_pipeline_error(project.run, PIPELINE, project.catalog)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_project_without_these_parameters_has_them_off():
    hooks = MlflowHooks()
    hooks.after_context_created(context())
    hooks.before_pipeline_run(RUN, DataCatalog({}))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"enabld": True}, "mlflow.enabld = True: unknown parameter; known: enabled, tracking_uri"),
        ({"enabled": "often"}, "mlflow.enabled = 'often': Input should be a valid boolean"),
    ],
)
def test_impossible_parameters_are_refused(parameters, message):
    with pytest.raises(ParameterError) as caught:
        prepared(**parameters)
    assert message in str(caught.value)


def test_without_mlflow_the_run_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ParameterError, match=r"pip install 'tsmemory\[mlflow\]'"):
        prepared(enabled=True)


def test_the_hook_imports_neither_mlflow_nor_torch():
    code = "import json, sys, tsmemory.mlflow_hooks; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"mlflow", "torch", "fev"} & set(json.loads(done.stdout))


def test_the_shipped_parameters_are_the_defaults(repository):
    import yaml

    shipped = yaml.safe_load((repository / "conf/base/parameters_mlflow.yml").read_text())
    assert MlflowParams.model_validate(shipped["mlflow"]) == MlflowParams()
