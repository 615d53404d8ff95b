import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fits import QUICK, SHUT, STEPS, H, L, fit, make_table

from tsmemory import MemoryForecaster, load_backbone
from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.fit_config import StrideConfig, TeacherConfig
from tsmemory.memory.training_windows import TrainingWindows


@pytest.fixture(scope="module")
def table():
    return make_table()


@pytest.fixture(scope="module")
def fitted(table):
    return fit(table)


def held_out_errors(forecaster, steps=STEPS, windows=12):
    """Mean absolute errors of the fused and the frozen forecast after the table that was fitted."""
    whole = make_table(steps + windows * H)
    fused, frozen = [], []
    for window in range(windows):
        end = steps + window * H
        known = whole.groupby("item_id").head(end)
        future = whole.groupby("item_id").nth(range(end, end + H))["load"].to_numpy()
        fused.append(np.abs(forecaster.predict_df(known, target="load")["predictions"] - future))
        contexts = np.stack([g["load"].to_numpy()[-L:] for _, g in known.groupby("item_id")])
        alone = forecaster.backbone.predict_quantiles(contexts.astype(np.float32), H)[:, 4]
        frozen.append(np.abs(alone.ravel() - future))
    return np.mean(fused), np.mean(frozen)


def test_what_was_fitted_forecasts_better_than_the_backbone(fitted):
    fused, frozen = held_out_errors(fitted)
    assert fused < 0.9 * frozen


def test_the_report_says_what_the_guard_decided(fitted):
    report = fitted.report()
    assert report[["first_step", "last_step"]].to_numpy().tolist() == [[1, 6], [7, 12]]
    assert set(report["decision"]) == {"fused"}
    assert (report["skill"] > 0).all()
    assert (report["p_value"] <= QUICK.fusion.guard.alpha).all()
    median = ["backbone", "memory", "last_value", "seasonal_naive", "long_run"]
    np.testing.assert_allclose(report[median].sum(axis=1), 1)
    np.testing.assert_allclose(report.filter(like="width_").sum(axis=1), 1)


def test_a_shut_guard_leaves_the_frozen_backbone(table, caplog):
    shut = fit(table, config=SHUT)
    assert set(shut.report()["decision"]) == {"frozen"}
    assert "the frozen backbone alone at all steps" in caplog.text
    contexts = np.stack([g["load"].to_numpy()[-L:] for _, g in table.groupby("item_id")])
    frozen = shut.backbone.predict_quantiles(contexts.astype(np.float32), H)
    found, _ = shut.predict_quantiles(contexts)
    np.testing.assert_allclose(found.numpy(), frozen.transpose(0, 2, 1), rtol=1e-5)


def test_it_tells_what_it_was_made_from(fitted, table):
    about = fitted.provenance
    assert (about["items"], about["channels"], about["freq"]) == (2, ["load"], "h")
    assert about["start"] == table["timestamp"].min().isoformat()
    assert about["end"] == table["timestamp"].max().isoformat()
    assert about["windows"]["train"] > about["windows"]["validation"] > 0
    assert about["skipped"] == 0
    assert about["ridge_penalty"] in QUICK.ridge.penalties
    assert fitted.backbone_options["season"] == 24
    assert fitted.adapter.config.horizon == H


def test_one_seed_gives_one_artefact(fitted, table, tmp_path):
    fitted.save_pretrained(tmp_path / "one")
    shuffled = table.sample(frac=1, random_state=3)
    ordered = pd.Categorical(shuffled["item_id"], ["north", "south"], ordered=True)
    again = fit(shuffled.assign(first=ordered).sort_values("first", kind="stable"))
    again.save_pretrained(tmp_path / "other")
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_it_is_loaded_as_it_was_fitted(fitted, table, tmp_path):
    fitted.save_pretrained(tmp_path)
    loaded = MemoryForecaster.from_pretrained(tmp_path)
    assert loaded.provenance == fitted.provenance
    pd.testing.assert_frame_equal(loaded.report(), fitted.report())
    asked = {"target": "load", "quantile_levels": [0.05, 0.33, 0.9], "prediction_length": 20}
    expected = fitted.predict_df(table, **asked)
    pd.testing.assert_frame_equal(loaded.predict_df(table, **asked), expected)


def test_validation_changes_no_scaler_and_no_datastore(fitted, table):
    place = table.groupby("item_id").cumcount()
    later = place >= int(0.8 * STEPS)
    other = fit(table.assign(load=table["load"].where(~later, 3 * table["load"])), config=SHUT)
    np.testing.assert_array_equal(other.series.mean, fitted.series.mean)
    np.testing.assert_array_equal(other.series.std, fitted.series.std)
    stores = [f.training_windows.datastore for f in (other, fitted)]
    for name in ("row", "start", "calendar"):
        np.testing.assert_array_equal(*(getattr(store, name) for store in stores))
    np.testing.assert_array_equal(*(store.scaler.mean for store in stores))


def test_tables_may_be_ragged_holed_and_have_several_targets(caplog):
    table = make_table(items=("north", "south", "west"))
    place = table.groupby("item_id").cumcount()
    west = table["item_id"] == "west"
    table = table[~((table["item_id"] == "south") & (place < 150)) & ~(west & (place < 850))]
    table = table.drop(index=table.index[[200, 201, 640]])
    table.loc[table.index[300:310], "heat"] = np.nan
    found = fit(table.sample(frac=1, random_state=1), target=["load", "heat"])
    assert found.provenance["skipped"] == 2
    assert {line["item_id"] for line in found.provenance["skipped_first"]} == {"west"}
    assert "'west' 'load': too short" in caplog.text
    assert sorted(set(zip(found.series.item_id, found.series.channel, strict=True))) == [
        (item, channel) for item in ("north", "south") for channel in ("heat", "load")
    ]
    answer = found.predict_df(table, target=["load", "heat"], prediction_length=3)
    assert len(answer) == 3 * 2 * 3
    assert np.isfinite(answer["predictions"]).all()


@pytest.mark.parametrize("freq", ["D", "MS"])
def test_a_single_series_with_a_zone_and_of_any_step(freq):
    table = make_table(300, items=("one",), freq=freq).drop(columns="item_id")
    table["timestamp"] = table["timestamp"].dt.tz_localize("Europe/Berlin")
    found = fit(table, context_length=24, prediction_length=6, config=SHUT)
    assert found.provenance["freq"] == freq
    answer = found.predict_df(table, target="load")
    assert str(answer["timestamp"].dt.tz) == "Europe/Berlin"
    assert found.series.item_id == ("series",)


def test_a_given_step_counts_rows(table):
    """Business hours as consecutive steps, in fitting as in forecasting."""
    day = table["timestamp"].dt.hour.between(8, 19)
    found = fit(table[day], freq="h", context_length=24, prediction_length=6)
    assert found.provenance["windows"]["train"] > 0
    assert len(found.predict_df(table[day], target="load", freq="h")) == 2 * 6


class Counting:
    """A backbone that counts the contexts that it is asked about."""

    def __init__(self, inner):
        self.inner, self.asked = inner, 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def encode_and_predict(self, contexts, horizon, **more):
        self.asked += len(contexts)
        return self.inner.encode_and_predict(contexts, horizon, **more)

    def embed(self, contexts):
        self.asked += len(contexts)
        return self.inner.embed(contexts)


def test_a_cache_folder_spares_the_backbone(table, tmp_path):
    backbone = Counting(load_backbone("seasonal_naive", season=24))
    first = fit(table, backbone=backbone, cache_folder=tmp_path, config=SHUT)
    asked = backbone.asked
    second = fit(table, backbone=backbone, cache_folder=str(tmp_path), config=SHUT)
    counts = first.provenance["windows"]
    assert asked >= counts["train"] + counts["validation"]
    assert backbone.asked - asked <= 2  # when the parts are put together
    assert second.fusion == first.fusion
    for name, tensor in first.adapter.state_dict().items():
        assert torch.equal(tensor, second.adapter.state_dict()[name])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["backbone_answers", "training_windows"]
    windows = TrainingWindows.load(tmp_path)
    assert len(windows.datastore) == counts["datastore"]


def test_without_a_cache_folder_nothing_is_left(table, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fit(table, config=SHUT)
    assert list(tmp_path.iterdir()) == []


def test_a_backbone_may_be_given_as_it_is(table, tmp_path):
    naive = load_backbone("seasonal_naive", season=24)
    found = fit(table, backbone=naive, config=SHUT)
    assert found.backbone is naive
    found.save_pretrained(tmp_path)
    loaded = MemoryForecaster.from_pretrained(tmp_path, backbone=naive)
    assert loaded.fusion == found.fusion


def test_a_short_series_gets_shorter_strides():
    """Defaults are for long histories: few windows would be left of a year of days."""
    found = fit(make_table(250, items=("one",), freq="D"), config=None, prediction_length=7)
    assert found.provenance["strides"] == {"datastore": 1, "train": 1, "validation": 1}
    assert found.provenance["windows"]["train"] == 200 - L - 7 + 1
    assert found.provenance["windows"]["validation"] == 50 - 7 + 1


@pytest.mark.parametrize(
    ("training", "validation", "expected"),
    [(10_000, 5_000, (7, 5)), (3_500, 1_999, (3, 1)), (10, 0, (1, 1))],
)
def test_strides_are_shortened_until_there_are_enough_windows(training, validation, expected):
    strides = StrideConfig(enough=1000).by_split(training, validation)
    assert (strides["train"], strides["validation"]) == expected
    assert strides["datastore"] == strides["train"]
    kept = StrideConfig(enough=0).by_split(training, validation)
    assert (kept["train"], kept["validation"]) == (7, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prediction_length": 0}, "prediction_length must be a whole number >= 1, got 0"),
        ({"context_length": 2.5}, "context_length must be a whole number >= 1, got 2.5"),
        ({"validation_share": 1.0}, "validation_share must lie between 0 and 1, got 1.0"),
        ({"validation_share": 0.01}, "the validation part .* no window of 48 . 12 steps"),
        (
            {"context_length": 4000},
            "no series can be used; 'north' 'load': too short.* shorten context_length or "
            "prediction_length",
        ),
        ({"target": "flow"}, "no column 'flow'; columns found: item_id, timestamp, load, heat"),
        ({"target": ["load", "load"]}, "column 'load' is asked for more than once"),
        ({"backbone": "no/such/folder"}, "'no/such/folder' cannot be loaded"),
        (
            {"backbone": load_backbone("seasonal_naive"), "backbone_options": {"season": 3}},
            "by name",
        ),
        (
            {"config": replace(QUICK, teacher=TeacherConfig(k=5000))},
            r"config.teacher.k = 5000 neighbours .* give more history, or lower context_length",
        ),
        (
            {"config": replace(QUICK, teacher=TeacherConfig(k=8, shift_length=49))},
            "config.teacher.shift_length = 49 last points are asked for, but a context has 48",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused(table, changes, message):
    with pytest.raises(ForecasterError, match=message):
        fit(table, **changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["load"], "a pandas DataFrame is needed, got Series"),
        (lambda t: t.assign(load=t["load"].where(t.index != 7, np.inf)), "infinite .* 'north'"),
        (lambda t: t.set_index(["item_id", "timestamp"]), r"in the index: call df.reset_index"),
        (lambda t: t.set_axis(["item_id", "timestamp", "load", "load"], axis=1), "more than one"),
        (
            lambda t: t.assign(item_id=t["item_id"].map({"north": 1, "south": "1"}).astype(object)),
            "more than one item is written '1'",
        ),
        (lambda t: t.assign(load=4.0), "constant in its training part"),
        (lambda t: pd.concat([t, t[:1]]), "more than one row at 2024-01-01"),
    ],
)
def test_tables_that_cannot_be_fitted_are_refused(table, change, message):
    with pytest.raises(ForecasterError, match=message):
        fit(change(table))


def test_an_interrupted_fit_goes_on(table, tmp_path, fitted):
    """What a killed fit has left does no harm, nor does a damaged cache."""
    (tmp_path / ".training_windows.1.saving" / "datastore").mkdir(parents=True)
    cached = fit(table, cache_folder=tmp_path)
    for entry in (tmp_path / "backbone_answers").rglob("keys.npy"):
        entry.write_bytes(b"")
    again = fit(table, cache_folder=tmp_path)
    assert again.fusion == cached.fusion == fitted.fusion
    shutil.rmtree(tmp_path / "training_windows")
    with pytest.raises(ForecasterError, match="leads to no training windows"):
        TrainingWindows.load(tmp_path)
