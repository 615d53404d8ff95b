"""A whole run in MLflow: nothing is computed anew for it, and everything can be found there."""

import pytest
from projects import Project

mlflow = pytest.importorskip("mlflow")


def test_a_run_is_logged_and_its_model_forecasts(
    grown: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(grown.folder)  # where MLflow keeps files if not told otherwise
    database = f"sqlite:///{grown.folder / 'mlflow.db'}"
    steps = grown.run({"mlflow.enabled": True, "mlflow.tracking_uri": database})
    assert steps == []  # where a run is logged changes no result

    client = mlflow.MlflowClient(database)
    experiment = client.get_experiment_by_name(grown.domain)
    (run,) = client.search_runs([experiment.experiment_id])
    manifest, metrics = grown.report("manifest.json"), run.data.metrics
    assert run.info.status == "FINISHED"
    assert run.data.tags["tsmemory.run_id"] == manifest["run_id"]
    assert run.data.params["teacher.k"] == str(manifest["parameters"]["teacher"]["k"])
    assert not any(name.startswith("mlflow") for name in run.data.params)
    board = grown.report("leaderboard.csv").set_index(["method", "horizon", "metric"])["value"]
    assert metrics["tsmemory/crps_16"] == pytest.approx(board["tsmemory", 16, "crps"])
    files = {line.path for line in client.list_artifacts(run.info.run_id)}
    assert {"manifest.json", "metrics.json", "leaderboard.csv", "report.html"} <= files

    mlflow.set_tracking_uri(database)
    model = mlflow.pyfunc.load_model(f"models:/{run.outputs.model_outputs[0].model_id}")
    assert model.metadata.metadata["domain"] == grown.domain
