import numpy as np
import pandas as pd
import pytest

from tsmemory.series.errors import IngestionError
from tsmemory.series.scaling import fit_scaler
from tsmemory.series.splits import split_borders


@pytest.fixture
def panel(rng):
    parts = []
    for item, length in (("long", 100), ("other", 80), ("short", 20)):
        stamps = pd.date_range("2020-01-01", periods=length, freq="h")
        frame = pd.DataFrame({"item_id": item, "timestamp": stamps})
        parts.append(frame.assign(x=rng.normal(5, 2, length), y=rng.normal(0, 1, length)))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def fit(panel, min_length=40):
    return fit_scaler(panel, split_borders(panel), min_length=min_length)


def test_population_statistics_of_the_training_part(panel):
    panel.loc[3, "x"] = np.nan
    scaler, _ = fit(panel)
    train = panel.loc[panel["item_id"] == "long", "x"].iloc[:70].dropna()
    row = scaler.iloc[0]
    assert row[["item_id", "channel"]].tolist() == ["long", "x"]
    assert row["mean"] == pytest.approx(train.mean())
    assert row["std"] == pytest.approx(train.std(ddof=0))


def test_short_series_is_skipped_and_the_others_go_on(panel, caplog):
    scaler, skipped = fit(panel)
    assert scaler["item_id"].tolist() == ["long", "long", "other", "other"]
    assert scaler["channel"].tolist() == ["x", "y", "x", "y"]
    assert skipped[["item_id", "channel"]].to_numpy().tolist() == [["short", "x"], ["short", "y"]]
    assert "has 14 steps" in skipped["reason"].iloc[0]
    assert "need 40" in skipped["reason"].iloc[0]
    assert "'short' 'x': too short" in caplog.text


def test_series_that_fixed_borders_leave_out_are_skipped(panel, caplog):
    borders = split_borders(panel, borders=(60, 70, 90))
    scaler, skipped = fit_scaler(panel, borders, min_length=40)
    assert set(scaler["item_id"]) == {"long"}
    assert skipped[["item_id", "channel"]].to_numpy().tolist() == [
        ["other", "x"],
        ["other", "y"],
        ["short", "x"],
        ["short", "y"],
    ]
    assert skipped["reason"].iloc[0] == (
        "too short: it has 80 steps, ingestion.borders end at step 90"
    )
    assert "'other' 'y': too short: it has 80 steps" in caplog.text


def test_constant_and_unobserved_channels_are_skipped(panel):
    train = (panel["item_id"] == "long") & (panel.groupby("item_id").cumcount() < 70)
    panel.loc[train, "x"] = 0.1
    panel.loc[train, "y"] = np.nan
    scaler, skipped = fit(panel)
    reasons = dict(zip(skipped["channel"][:2], skipped["reason"][:2], strict=True))
    assert reasons == {
        "x": "constant in its training part (0.1)",
        "y": "no observed value in its training part",
    }
    assert set(scaler["item_id"]) == {"other"}


def test_constant_with_gaps_is_constant(panel):
    panel["x"] = np.where(np.arange(len(panel)) % 3, 7.0, np.nan)
    assert set(fit(panel)[0]["channel"]) == {"y"}


def test_zero_deviation_becomes_one(panel):
    # The squares of these differences are below the least positive number.
    panel["x"] = np.where(np.arange(len(panel)) % 2, 1e-200, 0.0)
    scaler, _ = fit(panel)
    assert (scaler.loc[scaler["channel"] == "x", "std"] == 1.0).all()


def test_nothing_left(panel):
    with pytest.raises(IngestionError, match=r"no series can be used; 'long' 'x': too short.*more"):
        fit(panel, min_length=500)


def test_nothing_skipped_gives_an_empty_table(panel):
    _, skipped = fit(panel, min_length=1)
    assert skipped.columns.tolist() == ["item_id", "channel", "reason"]
    assert skipped.empty


@pytest.mark.parametrize("value", [1e9, np.nan, 0.0])
def test_values_after_the_training_part_change_nothing(panel, value):
    borders = split_borders(panel)
    position = panel.groupby("item_id").cumcount()
    later = position >= panel["item_id"].map(borders.set_index("item_id")["train_end"])
    changed = panel.copy()
    changed.loc[later, ["x", "y"]] = value
    for before, after in zip(fit(panel), fit(changed), strict=True):
        pd.testing.assert_frame_equal(before, after)


def test_last_training_value_counts(panel):
    changed = panel.copy()
    changed.loc[69, "x"] += 1.0
    assert fit(panel)[0]["mean"].iloc[0] != fit(changed)[0]["mean"].iloc[0]
