import pandas as pd
import pytest

from tsmemory.io import ForecasterDataset, ForecastsDataset, TablesDataset
from tsmemory.pipelines.forecasting import create_pipeline
from tsmemory.pipelines.forecasting.nodes import _warn
from tsmemory.pipelines.forecasting.params import ForecastingParams
from tsmemory.series.errors import IngestionError


def test_wiring():
    assert {node.func.__name__: node.outputs for node in create_pipeline().nodes} == {
        "read_new_tables": ["forecast_survey", "forecast_skipped"],
        "forecast_new_tables": ["forecasts"],
    }


def test_defaults_are_those_of_the_model(defaults):
    assert ForecastingParams(**defaults["forecasting"]) == ForecastingParams()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"prediction_length": 0}, "forecasting.prediction_length = 0: "),
        ({"quantile_levels": [0.5, 1.2]}, "forecasting.quantile_levels.1 = 1.2: "),
        ({"quantile_levels": [0.5, 0.5]}, "a level is named twice"),
        ({"device": "gpu"}, "forecasting.device = 'gpu': "),
        ({"shard_size": 0}, "forecasting.shard_size = 0: "),
        ({"folder": "x"}, "forecasting.folder: unknown parameter"),
    ],
)
def test_nonsense_is_refused_once(refusal, params, said):
    assert refusal(forecasting=params).count(said) == 1


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "data/01_raw/tmy_weather.parquet"),
        ({"ingestion": {"path": "mine.csv"}}, "mine.csv"),
        ({"ingestion": {"path": "mine.csv"}, "forecasting": {"path": "new"}}, "new"),
    ],
)
def test_new_data_are_what_is_named_or_what_was_ingested(configure, params, expected):
    assert configure(**params)["catalog"]["new_tables"]["filepath"] == expected


def test_the_forecaster_is_the_domains_own_unless_named(configure):
    entry = configure(domain="shops")["catalog"]["saved_forecaster"]
    assert entry["filepath"] == "data/06_models/shops/forecaster"
    assert entry["source"] is None
    entry = configure(forecasting={"artefact": "me/shops"})["catalog"]["saved_forecaster"]
    assert entry["source"] == "me/shops"


def test_what_is_amiss_is_said_in_a_line_each(caplog):
    columns = ["table", "forecasts", "incomplete", "repairs"]
    lines = [[f"t{i}", 10, i % 2, "1 row sorted" if i < 5 else ""] for i in range(8)]
    skipped = pd.DataFrame({"item_id": ["a"], "target_name": ["x"], "reason": ["no value"]})
    _warn(pd.DataFrame(lines, columns=columns), skipped)
    assert [record.getMessage() for record in caplog.records] == [
        "Tables mended: t0: 1 row sorted; t1: 1 row sorted; t2: 1 row sorted (and 2 more)",
        "4 of 80 contexts are not whole, their forecasts are less certain than they look: "
        "t1; t3; t5 (and 1 more)",
        "Not forecast: 'a' 'x': no value",
    ]
    caplog.clear()
    _warn(pd.DataFrame([["t", 1, 0, ""]], columns=columns), skipped.head(0))
    assert caplog.text == ""


def test_new_data_count_by_their_content(tmp_path):
    folder = tmp_path / "new"
    dataset = TablesDataset(filepath=str(folder))
    assert not dataset.exists()
    assert dataset.content_fingerprint() is None
    with pytest.raises(Exception, match="no such file or folder"):
        dataset.load()
    folder.mkdir()
    with pytest.raises(IngestionError, match="it is empty"):
        dataset.content_fingerprint()
    (folder / "a.csv").write_text("date,x\n2024-01-01,1\n2024-01-02,\n")
    before = dataset.content_fingerprint()
    assert dataset.preview(2)["data"] == [["2024-01-01", 1.0], ["2024-01-02", None]]
    (folder / "a.csv").write_text("date,x\n2024-01-01,2\n")
    assert dataset.content_fingerprint() != before
    with pytest.raises(Exception, match="read, never written"):
        dataset.save({})


def test_a_missing_forecaster_is_named_with_ways_to_have_one(tmp_path):
    dataset = ForecasterDataset(filepath=str(tmp_path / "forecaster"))
    assert not dataset.exists()
    assert dataset.content_fingerprint() is None
    with pytest.raises(Exception, match="no forecaster here; make it with `kedro run`"):
        dataset.load()
    named = ForecasterDataset(filepath="x", source=str(tmp_path / "nowhere"))
    assert named.content_fingerprint() is None


def test_forecasts_can_be_looked_at(tmp_path):
    stamps = pd.date_range("2024-01-01", periods=3, freq="h")
    table = pd.DataFrame({"item_id": "a", "timestamp": stamps, "predictions": [1.0, 2.0, 3.0]})
    table.to_parquet(tmp_path / "a.parquet")
    shown = ForecastsDataset(filepath=str(tmp_path)).preview(2)
    assert shown["columns"] == ["item_id", "timestamp", "predictions"]
    assert shown["data"][1] == ["a", "2024-01-01 01:00:00", 2.0]
