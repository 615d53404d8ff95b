import json

import numpy as np
import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner
from pydantic import ValidationError

from tsmemory.fingerprint import sha256_of_file
from tsmemory.pipelines.ingestion import create_pipeline
from tsmemory.pipelines.ingestion.nodes import read_panel, split_and_scale
from tsmemory.pipelines.ingestion.params import IngestionParams
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.resolvers import data_file, domain, first
from tsmemory.series.errors import IngestionError
from tsmemory.series.reading import read_raw

STAMPS = pd.date_range("2020-01-01", periods=200, freq="h")
OUTPUTS = ("panel", "panel_summary", "borders", "scaler", "skipped_series")


@pytest.fixture
def windowing():
    strides = {"datastore": 1, "train": 1, "validation": 1, "test": 1}
    return WindowingParams(
        context_length=32, horizons=(8, 16), strides=strides, max_missing_share=0.5
    )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def wide(rng):
    return pd.DataFrame(
        {
            "timestamp": STAMPS,
            "load": rng.normal(size=200),
            "wind": rng.normal(size=200),
            "day": STAMPS.day_name(),
            "holiday": STAMPS.day_of_year == 1,
        }
    )


@pytest.fixture
def long(rng):
    parts = [
        pd.DataFrame({"shop": shop, "date": STAMPS[:length], "sales": rng.normal(size=length)})
        for shop, length in (("one", 200), ("two", 150), ("three", 20))
    ]
    return pd.concat(parts, ignore_index=True)


def write(table, path):
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return path


@pytest.fixture
def ingest(tmp_path, repository, windowing):
    """Run the pipeline on a file with the project's datasets, saved in a temporary folder."""
    entries = load_configuration(repository, "base")["catalog"]

    def run(path, **settings):
        config = {name: dict(entries[name]) for name in ("raw_table", *OUTPUTS)}
        for name in OUTPUTS:
            config[name]["filepath"] = str(tmp_path / config[name]["filepath"])
        config["raw_table"]["filepath"] = str(path)
        catalog = DataCatalog.from_config(config)
        catalog["params:ingestion"] = MemoryDataset(IngestionParams(path=str(path), **settings))
        catalog["params:windowing"] = MemoryDataset(windowing)
        SequentialRunner().run(create_pipeline(), catalog)
        return {name: catalog.load(name) for name in OUTPUTS}

    return run


@pytest.mark.parametrize("name", ["load.csv", "load.csv.gz", "load.parquet"])
def test_wide_file(tmp_path, wide, name, ingest):
    path = write(wide, tmp_path / name)
    found = ingest(path)
    assert found["panel"].columns.tolist() == ["item_id", "timestamp", "load", "wind"]
    np.testing.assert_allclose(found["panel"]["load"], wide["load"])
    assert found["borders"].to_numpy().tolist() == [["load", 200, 140, 160, 200]]
    assert found["scaler"]["channel"].tolist() == ["load", "wind"]
    assert found["skipped_series"].empty
    summary = found["panel_summary"]
    assert json.loads(json.dumps(summary)) == summary
    assert summary["sha256"] == sha256_of_file(path)
    assert summary["ignored_columns"] == {"day": "text, such as 'Wednesday'", "holiday": "flag"}


@pytest.mark.parametrize("name", ["shops.csv", "shops.parquet"])
def test_long_file(tmp_path, long, name, ingest):
    found = ingest(write(long, tmp_path / name), item_id_column="shop")
    assert found["panel_summary"]["items"] == 3
    assert found["scaler"]["item_id"].tolist() == ["one", "two"]
    assert found["skipped_series"]["item_id"].tolist() == ["three"]
    assert "too short" in found["skipped_series"]["reason"].iloc[0]
    np.testing.assert_allclose(found["panel"]["sales"], long["sales"])


def test_a_series_shorter_than_fixed_borders_is_skipped(tmp_path, long, ingest):
    path = write(long, tmp_path / "shops.csv")
    found = ingest(path, item_id_column="shop", borders=(100, 130, 160))
    assert found["borders"]["item_id"].tolist() == ["one"]
    assert found["scaler"]["item_id"].tolist() == ["one"]
    assert found["skipped_series"]["item_id"].tolist() == ["two", "three"]
    assert "it has 150 steps" in found["skipped_series"]["reason"].iloc[0]


def test_csv_and_parquet_give_the_same(tmp_path, wide, ingest):
    csv = ingest(write(wide, tmp_path / "load.csv"))
    parquet = ingest(write(wide, tmp_path / "load.parquet"))
    pd.testing.assert_frame_equal(csv["panel"], parquet["panel"])
    pd.testing.assert_frame_equal(csv["scaler"], parquet["scaler"])


def swap(table):
    return table.iloc[::-1]


def double(table):
    return pd.concat([table, table.iloc[[5]]]).sort_index()


def remove(table):
    return table.drop(index=[5, 6])


def blank(table):
    return table.assign(load=table["load"].where(table.index != 5))


def scatter(table):
    minutes = np.random.default_rng(0).integers(1, 50, len(table)).cumsum()
    return table.assign(timestamp=STAMPS[0] + pd.to_timedelta(minutes, unit="min"))


def shorten(table):
    return table.head(30)


def flatten(table):
    return table.assign(load=1.0, wind=2.0)


def zones(table):
    return table.assign(
        timestamp=[f"{t:%Y-%m-%dT%H:%M}{'+01:00' if t.hour else 'Z'}" for t in STAMPS]
    )


def garble(table):
    return table.assign(timestamp=["soon" if t.hour == 5 else str(t) for t in STAMPS])


def infinite(table):
    return table.assign(load=[np.inf if t.hour == 5 else 1.0 for t in STAMPS])


def rename(table):
    return table.rename(columns={"timestamp": "when"})


@pytest.mark.parametrize(
    ("spoil", "settings", "said"),
    [
        (rename, {}, ["columns found: when, load", "ingestion.timestamp_column"]),
        (rename, {"timestamp_column": "wen"}, ["no column 'wen'", "Did you mean 'when'?"]),
        (rename, {"timestamp_column": "when", "target_columns": ["lod"]}, ["mean 'load'?"]),
        (double, {}, ["series 'load' at 2020-01-01 05:00:00", "ingestion.duplicates"]),
        (zones, {}, ["'timestamp' mixes time zones", "row 2: '2020-01-01T01:00+01:00'"]),
        (garble, {}, ["'timestamp' holds dates", "row 6: 'soon'", "row 30: 'soon'", "6 more"]),
        (infinite, {}, ["'load' holds infinite", "series 'load' at 2020-01-01 05:00:00"]),
        (scatter, {}, ["irregular", "ingestion.freq"]),
        (scatter, {"freq": "7h"}, ["beside the grid", "series 'load' at 2020-01-01"]),
        (shorten, {}, ["no series can be used", "21 steps", "need 48", "context_length"]),
        (flatten, {}, ["no series can be used", "constant in its training part (1)"]),
        (shorten, {"borders": (50, 60, 80)}, ["end at step 80", "'load' (30 steps)"]),
        (
            lambda table: table,
            {"borders": (47, 60, 80)},
            ["ingestion.borders: training ends at step 47", "windowing.horizons need 48 steps"],
        ),
        (lambda table: table.head(0), {}, ["no rows"]),
        (lambda table: table[["timestamp", "day"]], {}, ["no numeric column"]),
    ],
)
def test_bad_input_is_refused(tmp_path, wide, spoil, settings, said, ingest):
    path = write(spoil(wide), tmp_path / "load.csv")
    with pytest.raises((IngestionError, DatasetError)) as error:
        ingest(path, **settings)
    for words in (str(path), *said):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("spoil", "settings", "warning"),
    [
        (swap, {}, "199 row(s) came out of order and have been sorted"),
        (double, {"duplicates": "first"}, "1 duplicate row(s) merged (first)"),
        (double, {"duplicates": "mean"}, "1 duplicate row(s) merged (mean)"),
        (remove, {}, "2 missing row(s) in 1 gap(s) filled with NaN, the longest of 2"),
        (blank, {}, None),
    ],
)
def test_repairs_lead_to_the_regular_panel(
    tmp_path, wide, caplog, spoil, settings, warning, ingest
):
    whole = ingest(write(wide, tmp_path / "load.csv"))["panel"]
    found = ingest(write(spoil(wide), tmp_path / "load.csv"), **settings)
    panel, summary = found["panel"], found["panel_summary"]
    pd.testing.assert_series_equal(panel["timestamp"], whole["timestamp"])
    lost = panel["load"].isna()
    assert lost.sum() == {remove: 2, blank: 1}.get(spoil, 0)
    np.testing.assert_allclose(panel["load"][~lost], whole["load"][~lost])
    assert summary["missing_share"]["load"] == lost.mean()
    assert summary["warnings"] == ([] if warning is None else [warning])
    assert warning is None or warning in caplog.text


def test_missing_and_unreadable_files(tmp_path, ingest):
    with pytest.raises(DatasetError, match=r"absent\.csv: no such file"):
        ingest(tmp_path / "absent.csv")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"broken\.parquet: not readable as Parquet"):
        ingest(broken)


@pytest.mark.parametrize("value", [1e6, np.nan])
def test_later_values_change_no_border_and_no_scale(tmp_path, wide, value, ingest):
    before = ingest(write(wide, tmp_path / "a.csv"))
    changed = wide.copy()
    changed.loc[140:, ["load", "wind"]] = value
    changed.loc[199, ["load", "wind"]] = 0.0
    after = ingest(write(changed, tmp_path / "a.csv"))
    for name in ("borders", "scaler", "skipped_series"):
        pd.testing.assert_frame_equal(before[name], after[name])


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"pth": "a"}, "pth"),
        ({"path": ""}, "path"),
        ({"duplicates": "last"}, "duplicates"),
        ({"off_grid": "drop"}, "off_grid"),
        ({"freq": "hourly"}, "freq"),
        ({"borders": [1, 2]}, "borders"),
        ({"borders": [10, 5, 20]}, "increase"),
        ({"borders": [0, 5, 20]}, "increase"),
        ({"train_share": 1.2}, "train_share"),
        ({"train_share": 0.8}, "below 1"),
        ({"target_columns": []}, "target_columns"),
        ({"target_columns": ["a", "a"]}, "named twice"),
        ({"download": "maybe"}, "download"),
        ({"source": {"url": "https://example.org", "sha256": "short"}}, "sha256"),
    ],
)
def test_parameters_are_checked(settings, where):
    with pytest.raises(ValidationError, match=where):
        IngestionParams(**({"path": "a.csv"} | settings))


def test_frequency_is_written_as_pandas_does():
    assert IngestionParams(path="a.csv", freq="W").freq == "W-SUN"


# --- configuration ---------------------------------------------------------------------------


def load_configuration(repository, env, **runtime):
    return OmegaConfigLoader(
        conf_source=str(repository / "conf"),
        base_env="base",
        default_run_env="base",
        env=env,
        runtime_params=runtime,
        merge_strategy={"parameters": "soft", "globals": "soft"},
        custom_resolvers={"domain": domain, "data_file": data_file, "first": first},
    )


@pytest.mark.parametrize(
    ("env", "runtime", "file", "folder"),
    [
        ("base", {}, "data/01_raw/tmy_weather.parquet", "tmy_weather"),
        ("base", {"ingestion": {"path": "my/own data.csv"}}, "my/own data.csv", "own_data"),
        ("base", {"domain": "mine", "ingestion": {"path": "a.csv"}}, "a.csv", "mine"),
        ("etth1", {}, "data/01_raw/ETTh1.csv", "etth1"),
        ("etth1", {"ingestion": {"path": "b.csv"}}, "b.csv", "etth1"),
    ],
)
def test_path_and_domain_reach_parameters_and_catalog(
    repository, monkeypatch, env, runtime, file, folder
):
    monkeypatch.delenv("TSMEMORY_ETTH1", raising=False)
    config = load_configuration(repository, env, **runtime)
    assert IngestionParams(**config["parameters"]["ingestion"]).path == file
    catalog = config["catalog"]
    assert catalog["raw_table"]["filepath"] == file
    assert catalog["panel"]["filepath"] == f"data/02_intermediate/{folder}/panel.parquet"
    assert catalog["scaler"]["filepath"] == f"data/03_primary/{folder}/scaler.parquet"


def test_environment_variable_places_the_benchmark(repository, monkeypatch):
    monkeypatch.setenv("TSMEMORY_ETTH1", "/elsewhere/ETTh1.csv")
    config = load_configuration(repository, "etth1")
    assert config["catalog"]["raw_table"]["filepath"] == "/elsewhere/ETTh1.csv"
    assert config["parameters"]["ingestion"]["path"] == "/elsewhere/ETTh1.csv"


def test_download_is_agreed_to_by_a_parameter(repository):
    config = load_configuration(repository, "etth1", ingestion={"download": True})
    entry = config["catalog"]["raw_table"]
    assert entry["download"] is True
    assert entry["source"]["url"].endswith("/ETT-small/ETTh1.csv")
    assert IngestionParams(**config["parameters"]["ingestion"]).download is True


def test_every_entry_has_a_layer_and_a_description(repository):
    catalog = load_configuration(repository, "base")["catalog"]
    for name in ("raw_table", "tmy_weather", *OUTPUTS):
        metadata = catalog[name]["metadata"]
        assert metadata["kedro-viz"]["layer"] in {"raw", "intermediate", "primary"}
        assert metadata["description"]


# --- real files ------------------------------------------------------------------------------


def test_the_sample(repository, windowing):
    raw = read_raw(repository / "data" / "01_raw" / "tmy_weather.parquet")
    params = IngestionParams(path=str(raw.path))
    panel, summary = read_panel(raw, params)
    assert (summary["freq"], summary["items"], summary["rows"]) == ("h", 3, 3 * 8760)
    assert summary["warnings"] == []
    _, scaler, skipped = split_and_scale(panel, params, windowing)
    assert len(scaler) == 17
    assert skipped[["item_id", "channel"]].to_numpy().tolist() == [["sand_point", "pressure"]]


def test_the_benchmark(repository, shared_data, windowing):
    path = shared_data("ETTh1.csv")
    config = load_configuration(repository, "etth1", ingestion={"path": str(path)})
    params = IngestionParams(**config["parameters"]["ingestion"])
    assert sha256_of_file(path) == params.source.sha256
    raw = read_raw(path)
    panel, summary = read_panel(raw, params)
    assert summary["channels"] == ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    assert (len(panel), summary["freq"]) == (17420, "h")
    borders, scaler, _ = split_and_scale(panel, params, windowing)
    assert borders.iloc[0, 2:].tolist() == [8640, 11520, 14400]
    train = raw.frame["OT"].head(8640)
    assert scaler.iloc[-1][["mean", "std"]].tolist() == pytest.approx(
        [train.mean(), train.std(ddof=0)]
    )


def test_an_unprepared_wide_file(shared_data, ingest):
    path = shared_data("vic_electricity.csv")
    found = ingest(path, timestamp_column="Time")
    summary = found["panel_summary"]
    assert summary["channels"] == ["Demand", "Temperature"]
    assert summary["freq"] == "30min"
    assert set(summary["ignored_columns"]) == {"Date", "Holiday"}
    assert summary["start"] == "2011-12-31T13:00:00"
    assert len(found["scaler"]) == 2


def test_many_short_series(shared_data, ingest):
    found = ingest(shared_data("m4_hourly.parquet"), item_id_column="series_id")
    assert found["panel_summary"]["items"] == 414
    assert found["panel_summary"]["ignored_columns"] == {"category": "text, such as 'Other'"}
    assert len(found["scaler"]) + len(found["skipped_series"]) == 414
    assert len(found["scaler"]) > 400
