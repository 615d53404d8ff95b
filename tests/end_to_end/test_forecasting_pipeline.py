"""The pipeline ``forecasting``: new data in, Parquet of quantile forecasts out."""

import shutil

import numpy as np
import pandas as pd
import pytest

from tsmemory import MemoryForecaster
from tsmemory.runs.errors import FailedRunError, ParameterError

FORECASTING = {"pipelines": ["forecasting"]}
LEVELS = [0.1, 0.5, 0.9]


@pytest.fixture(scope="module")
def made(base, tmp_path_factory):
    """A project with a forecaster, and new data for it in two files."""
    project = base.copy(tmp_path_factory.mktemp("made"))
    weather = pd.read_parquet(project.folder / "data/01_raw/tmy_weather.parquet")
    recent = weather.groupby("item_id", sort=False).tail(200)
    first, *others = weather["item_id"].unique()
    (project.folder / "new/south").mkdir(parents=True)
    recent[recent["item_id"] == first].to_csv(project.folder / "new/first.csv", index=False)
    recent[recent["item_id"].isin(others)].to_parquet(project.folder / "new/south/others.parquet")
    return project


def forecasts_of(project):
    return pd.read_parquet(project.folder / "data/07_model_output/test/forecasts")


def test_a_folder_of_files(made, capsys):
    params = {"forecasting.path": "new", "forecasting.quantile_levels": LEVELS}
    steps = made.run(params, **FORECASTING)
    assert [step.rpartition(".")[2] for step in steps] == ["read_new_tables", "forecast_new_tables"]
    shown = capsys.readouterr().out
    assert "south/others" in shown
    assert "Forecasts: data/07_model_output/test/forecasts" in shown

    table = forecasts_of(made)
    assert list(table) == ["item_id", "timestamp", "target_name", "predictions", *map(str, LEVELS)]
    survey = pd.read_csv(made.artefact("forecast_survey"))
    assert len(table) == survey["forecasts"].sum() * 16
    assert np.isfinite(table["predictions"]).all()

    forecaster = MemoryForecaster.from_pretrained(made.folder / "data/06_models/test/forecaster")
    new = pd.read_parquet(made.folder / "new/south/others.parquet")
    answer = forecaster.predict_df(new, target="temperature", quantile_levels=LEVELS)
    part = table[table["target_name"] == "temperature"].set_index(["item_id", "timestamp"])
    wanted = answer.set_index(["item_id", "timestamp"])
    for name in ("predictions", *map(str, LEVELS)):
        np.testing.assert_allclose(part.loc[wanted.index, name], wanted[name], rtol=1e-4, atol=1e-3)

    assert made.run(params, **FORECASTING) == []
    shown = capsys.readouterr().out
    assert "south/others" in shown  # what is reused is shown like what is new
    assert len(made.run(params | {"forecasting.prediction_length": 3}, **FORECASTING)) == 2
    assert len(forecasts_of(made)) == survey["forecasts"].sum() * 3


def test_by_default_what_comes_after_the_input_file(made):
    made.run(**FORECASTING)
    weather = pd.read_parquet(made.folder / "data/01_raw/tmy_weather.parquet")
    table = forecasts_of(made)
    assert set(table["item_id"]) == set(weather["item_id"])
    assert table["timestamp"].min() == weather["timestamp"].max() + pd.Timedelta(hours=1)


def test_another_forecaster_than_the_domains_own(made, caplog):
    shutil.copytree(made.folder / "data/06_models/test/forecaster", made.folder / "elsewhere")
    place = str(made.folder / "elsewhere")
    params = {"forecasting.path": "new", "forecasting.artefact": place, "domain": "other"}
    made.serving("other").run(params, **FORECASTING)
    assert len(pd.read_parquet(made.folder / "data/07_model_output/other/forecasts"))
    assert "was made from the domain 'test', its forecasts are filed under 'other'" in caplog.text
    # An artefact does not grow old: neither parameters nor code of training are asked for.
    made.serving("other").run(params | {"teacher.k": 7}, **FORECASTING)


def test_a_forecaster_of_other_data_is_refused(made):
    days = pd.date_range("2024-01-01", periods=90, freq="D")
    table = pd.DataFrame({"timestamp": days, "temperature": np.arange(90.0)})
    table.to_csv(made.folder / "daily.csv", index=False)
    table.rename(columns={"temperature": "sales"}).to_csv(made.folder / "sales.csv", index=False)
    before = forecasts_of(made)
    for name, said in (("daily", "step by h, here rows are D apart"), ("sales", "does not fit")):
        with pytest.raises(FailedRunError) as refusal:
            made.run({"forecasting.path": f"{name}.csv"}, **FORECASTING)
        assert f"{name}.csv: the forecaster does not fit" in str(refusal.value)
        assert said in str(refusal.value)
    pd.testing.assert_frame_equal(forecasts_of(made), before)


def test_a_damaged_forecaster_is_refused(made):
    broken = made.folder / "broken"
    shutil.copytree(made.folder / "data/06_models/test/forecaster", broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(FailedRunError, match="truncated or was changed"):
        made.run({"forecasting.artefact": str(broken)}, **FORECASTING)


def test_a_domain_without_a_forecaster_is_told_how_to_have_one(fresh):
    with pytest.raises(FailedRunError, match="no forecaster here; make it with `kedro run`"):
        fresh.serving("none").run({"domain": "none"}, **FORECASTING)


def test_places_in_a_file_of_parameters_are_refused(fresh):
    """The catalog reads globals alone: what it does not see must not seem to be in force."""
    path = fresh.folder / "conf/test/parameters_forecasting.yml"
    path.write_text("forecasting: {path: new.csv}\n")
    with pytest.raises(ParameterError, match=r"forecasting\.path = 'new\.csv': the catalog"):
        fresh.run(**FORECASTING)
    path.unlink()
    (fresh.folder / "conf/test/globals.yml").write_text(
        "domain: test\nforecasting: {path: new.csv}\n"
    )
    with pytest.raises(FailedRunError, match=r"new\.csv: no such file"):
        fresh.run(**FORECASTING)
