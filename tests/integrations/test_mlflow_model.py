"""A forecaster as an MLflow model: saved, loaded, and asked as a server asks it."""

import json
import shutil

import pandas as pd
import pytest

mlflow = pytest.importorskip("mlflow")

from tsmemory.integrations.mlflow_model import save_model  # noqa: E402
from tsmemory.memory.errors import ForecasterError  # noqa: E402

ASKED = {"prediction_length": 6, "quantile_levels": [0.1, 0.5]}


@pytest.fixture(scope="module")
def folder(forecaster, tmp_path_factory):
    """The saved model."""
    folder = tmp_path_factory.mktemp("mlflow") / "model"
    save_model(forecaster, folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return mlflow.pyfunc.load_model(str(folder))


def served(model, body):
    """What ``mlflow models serve`` answers to a request."""
    from mlflow.pyfunc.scoring_server import invocations

    schema = model.metadata.get_input_schema()
    return invocations(json.dumps(body), "application/json", model, schema)


def records(table):
    return json.loads(table.to_json(orient="records", date_format="iso"))


def test_the_model_forecasts_as_the_forecaster(model, forecaster, table):
    made = model.predict(table, params={**ASKED, "target": ["load"]})
    expected = forecaster.predict_df(table, target="load", **ASKED)
    pd.testing.assert_frame_equal(made, expected)


def test_without_parameters_every_column_is_forecast_to_the_longest_horizon(
    model, forecaster, table
):
    made = model.predict(table)
    pd.testing.assert_frame_equal(made, forecaster.predict_df(table, target=["load", "wind"]))
    assert len(made) == 2 * 2 * forecaster.adapter.config.horizon


def test_a_request_in_json_is_answered(model, forecaster, table):
    table.loc[3, "load"] = float("nan")
    asked = {**ASKED, "target": ["load"]}
    answer = served(model, {"dataframe_records": records(table), "params": asked})
    assert answer.status == 200
    made = pd.DataFrame(json.loads(answer.response)["predictions"])
    expected = forecaster.predict_df(table, target="load", **ASKED)
    assert list(made.columns) == list(expected.columns)
    assert made["timestamp"].tolist() == expected["timestamp"].map(pd.Timestamp.isoformat).tolist()
    assert made["0.1"].to_numpy() == pytest.approx(expected["0.1"].to_numpy(), rel=1e-5)


def test_whole_numbers_zones_and_single_series_are_read(model):
    stamps = pd.date_range("2024-01-01", periods=40, freq="h", tz="Europe/Berlin")
    table = pd.DataFrame({"timestamp": stamps, "load": range(40)})
    made = model.predict(table, params=ASKED)
    assert made["item_id"].unique().tolist() == ["series"]
    assert str(made["timestamp"].dt.tz) == "Europe/Berlin"
    assert made["predictions"].notna().all()


def test_a_column_of_nothing_but_null_is_refused_as_such(model, table):
    with pytest.raises(ForecasterError, match="no observed value"):
        model.predict(table.assign(wind=None), params=ASKED)


def test_a_table_without_values_is_refused(model, table):
    with pytest.raises(ForecasterError, match="no column of values beside 'item_id'"):
        model.predict(table[["item_id", "timestamp"]])


def test_a_local_backbone_travels_with_the_model(folder, forecaster, table, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    copied = moved / "data" / "memory" / "backbone" / "tiny-bolt"
    assert (copied / "model.safetensors").is_file()
    made = mlflow.pyfunc.load_model(str(moved)).predict(table, params=ASKED)
    pd.testing.assert_frame_equal(
        made, forecaster.predict_df(table, target=["load", "wind"], **ASKED)
    )


def test_a_named_backbone_is_not_copied(tmp_path, forecaster, monkeypatch):
    monkeypatch.setattr(forecaster, "backbone_source", "bundled")
    (tmp_path / "bundled").mkdir()  # a folder of that name means nothing
    monkeypatch.chdir(tmp_path)
    save_model(forecaster, tmp_path / "model")
    assert not (tmp_path / "model/data/memory/backbone").exists()


def test_nothing_is_pickled(folder):
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".pt", ".bin"}
    assert "cloudpickle" not in (folder / "MLmodel").read_text()


def test_columns_that_requests_may_hold_can_be_named(tmp_path, forecaster, table):
    save_model(forecaster, tmp_path / "model", targets=["demand"])
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    renamed = table.rename(columns={"load": "demand"})
    made = model.predict(renamed, params=ASKED)
    assert made["target_name"].unique().tolist() == ["demand"]
    with pytest.raises(mlflow.MlflowException, match="demand"):
        model.predict(table)


def test_the_description_says_what_it_is_made_of(folder, forecaster):
    info = mlflow.models.get_model_info(str(folder))
    assert info.metadata["domain"] == "sample"
    assert info.metadata["backbone_fingerprint"] == forecaster.backbone.fingerprint
    defaults = {spec.name: spec.default for spec in info.signature.params}
    assert defaults["prediction_length"] == forecaster.adapter.config.horizon
