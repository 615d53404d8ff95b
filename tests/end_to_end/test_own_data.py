"""Tables that nobody prepared for, other backbones, and settings that cannot be."""

import json

import numpy as np
import pandas as pd
import pytest
from projects import tiny

from tsmemory.runs.errors import FailedRunError, ParameterError
from tsmemory.series.errors import IngestionError
from tsmemory.series.windows import WindowError

STRIDES = {"datastore": 17, "train": 37, "validation": 11, "test": 23}


def seasonal(rng, length, season=48):
    step = np.arange(length)
    return 50 + 10 * np.sin(2 * np.pi * step / season) + rng.normal(0, 2, length)


@pytest.fixture
def settings(repository):
    """The tiny settings, with strides for short series, in the default environment."""

    def build(**changes):
        strides = {f"windowing__strides__{name}": value for name, value in STRIDES.items()}
        return tiny(repository, **strides, **changes)

    return build


@pytest.fixture
def demand(fresh):
    """A half-hourly export of a spreadsheet, with gaps and holes."""
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2012-01-01", periods=1800, freq="30min")
    table = pd.DataFrame(
        {
            "Date": [f"{stamp:%d %B %Y}" for stamp in stamps],
            "Time": [f"{stamp:%Y-%m-%dT%H:%M:%SZ}" for stamp in stamps],
            "Demand": seasonal(rng, 1800).round(2),
            "Temperature": seasonal(rng, 1800).round(1),
            "Holiday": np.where(stamps.day_of_year == 1, "TRUE", "FALSE"),
        }
    )
    table.loc[200:203, "Demand"] = np.nan
    table.loc[1700, "Temperature"] = np.nan
    table = table.drop(index=[400, 401, 1500])
    table.to_csv(fresh.folder / "My Demand.csv", index=False)
    return fresh.serving("my_demand")


def test_an_unprepared_table(demand, settings):
    from tsmemory import MemoryForecaster

    path = {"ingestion.path": "My Demand.csv", "ingestion.timestamp_column": "Time"}
    steps = demand.run(settings() | path, env="base")
    assert steps[-1] == "write_report"
    folders = {place.name for place in (demand.folder / "data").glob("0[2-8]*/*")}
    assert folders == {"my_demand"}
    summary = json.loads(demand.artefact("panel_summary").read_text())
    assert summary["file"] == "My Demand.csv"
    assert summary["channels"] == ["Demand", "Temperature"]
    assert summary["freq"] == "30min"
    assert set(summary["ignored_columns"]) == {"Date", "Holiday"}
    assert summary["gaps"] == {"rows": 3, "stretches": 2, "longest": 2}
    table = demand.report("leaderboard.csv")
    assert table["value"].notna().all()
    assert (table.loc[table["metric"] == "crossing_rate", "value"] == 0).all()

    forecaster = MemoryForecaster.from_pretrained(demand.artefact("forecaster"))
    raw = pd.read_csv(demand.folder / "My Demand.csv").assign(item_id="here")
    answer = forecaster.predict_df(
        raw, timestamp_column="Time", target=["Demand", "Temperature"], prediction_length=8
    )
    assert len(answer) == 16
    assert np.isfinite(answer["predictions"]).all()
    assert str(answer["Time"].iloc[0]) == "2012-02-07 12:00:00+00:00"


def test_series_that_cannot_be_used_are_skipped_with_a_reason(fresh, settings):
    rng = np.random.default_rng(1)
    values = {
        "good": seasonal(rng, 900),
        "better": seasonal(rng, 700),
        "short": seasonal(rng, 40),
        "constant": np.full(900, 7.0),
    }
    parts = [
        pd.DataFrame(
            {
                "shop": name,
                "date": pd.date_range("2020-01-01", periods=len(x), freq="h"),
                "sales": x,
            }
        )
        for name, x in values.items()
    ]
    pd.concat(parts).to_csv(fresh.folder / "shops.csv", index=False)
    shops = fresh.serving("shops")
    shops.run(
        settings() | {"ingestion.path": "shops.csv", "ingestion.item_id_column": "shop"}, env="base"
    )
    skipped = pd.read_csv(shops.artefact("skipped_series")).set_index("item_id")["reason"]
    assert set(skipped.index) == {"short", "constant"}
    assert "too short" in skipped["short"]
    assert "constant" in skipped["constant"]
    assert set(pd.read_parquet(shops.artefact("scaler"))["item_id"]) == {"good", "better"}
    assert shops.report("leaderboard.csv")["value"].notna().all()


@pytest.mark.parametrize(
    ("length", "changes", "error", "said"),
    [
        (50, {}, IngestionError, ["brief.csv", "35 steps", "need 80", "context_length"]),
        (
            300,
            {"ingestion.borders": [200, 205, 300]},
            WindowError,
            ["validation split holds no window of 64 + 8 steps", "ingestion.borders"],
        ),
    ],
)
def test_too_short_for_any_window(fresh, settings, length, changes, error, said):
    stamps = pd.date_range("2020-01-01", periods=length, freq="h")
    values = seasonal(np.random.default_rng(0), length)
    pd.DataFrame({"date": stamps, "x": values}).to_csv(fresh.folder / "brief.csv", index=False)
    with pytest.raises(FailedRunError) as refusal:
        fresh.run(settings() | {"ingestion.path": "brief.csv"} | changes, env="base")
    assert isinstance(refusal.value.__cause__, error)
    for words in said:
        assert words in str(refusal.value)


def test_a_missing_file_is_named(fresh):
    with pytest.raises(FailedRunError, match=r"nowhere\.csv: no such file; put it there"):
        fresh.run({"ingestion.path": "nowhere.csv"})


def test_more_neighbours_than_windows_are_refused(grown):
    with pytest.raises(ValueError, match=r"teacher\.k = 5000 .* at most \d+ stored windows"):
        grown.run({"teacher.k": 5000})
    assert grown.steps() == ["describe_run", "count_neighbour_pools"]  # nothing was embedded


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"windowing.horizons": [0]}, "windowing.horizons.0 = 0: "),
        ({"windowing.horizons": []}, "windowing.horizons = []: "),
        ({"windowing.strides.test": 0}, "windowing.strides.test = 0: "),
        ({"evaluation.bootstrap.level": 2}, "evaluation.bootstrap.level = 2: "),
        ({"teacher.k": 3, "teacher.k_min": 4}, "teacher: k_min (4) must not exceed k (3)"),
        ({"distillation.seeds": [1, 1]}, "distillation.seeds = [1, 1]: a seed is named twice"),
        ({"distillation.fusion.guard.alpha": 5}, "distillation.fusion.guard"),
        ({"distillation.training.epoch": 3}, "did you mean distillation.training.epochs?"),
        ({"indexing.key_kind": "shape"}, "indexing.key_kind = 'shape': "),
        ({"windoving.horizons": [8]}, "windoving: unknown parameter; did you mean windowing?"),
        ({"seed": "many"}, "seed = 'many': "),
        ({"seed": None}, "seed = None: "),
        ({"teacher.temperature": float("inf")}, "teacher.temperature = inf: "),
        ({"resume": "perhaps"}, "resume = 'perhaps': "),
    ],
)
def test_impossible_settings_are_refused_before_anything_runs(fresh, params, said):
    with pytest.raises(ParameterError) as refusal:
        fresh.run(params)
    assert said in refusal.value.message
    assert not fresh.has_artefacts()


def test_another_backbone(fresh):
    from tsmemory import MemoryForecaster

    fresh.run({"backbone.name": "seasonal_naive"})
    table = fresh.report("leaderboard.csv").set_index(["method", "horizon", "metric"])["value"]
    assert table["frozen", 8, "mse"] == pytest.approx(table["seasonal_naive", 8, "mse"], rel=1e-6)
    assert (table.xs("crossing_rate", level="metric") == 0).all()
    forecaster = MemoryForecaster.from_pretrained(fresh.artefact("forecaster"))
    assert forecaster.backbone.name == "seasonal_naive"
    quantiles, _ = forecaster.predict_quantiles(np.sin(np.arange(64.0)), 8)
    assert np.isfinite(quantiles.numpy()).all()


def test_an_unknown_backbone_is_named(grown):
    with pytest.raises(Exception, match="no_such_model"):
        grown.run({"backbone.name": "no_such_model"})
