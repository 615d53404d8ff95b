import numpy as np
import pandas as pd
import pytest
from fits import H, L, fit, make_table
from forecasters import FULL, HOURS, IDLE, make_forecaster, make_frame

from tsmemory.memory.config import GateConfig
from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.training_windows import TrainingWindows

MEDIAN = ["backbone", "memory", "last_value", "seasonal_naive", "long_run"]


@pytest.fixture(scope="module")
def table():
    return make_table()


@pytest.fixture(scope="module")
def fitted(table):
    return fit(table, target=["load", "heat"])


@pytest.fixture(scope="module")
def explained(fitted, table):
    return fitted.explain(table, target=["load", "heat"])


def test_a_line_for_each_series_and_target(explained):
    lines = explained.forecasts
    names = [(i, t) for i in ("north", "south") for t in ("load", "heat")]
    assert list(zip(lines["item_id"], lines["target_name"], strict=True)) == names
    assert lines["known"].all()
    np.testing.assert_allclose(lines[MEDIAN].sum(axis=1), 1, atol=1e-6)
    assert lines["gate"].between(0, 1).all()
    assert lines["confidence"].between(0, 1, inclusive="right").all()


def test_means_are_those_of_the_forecasts(fitted, table, explained):
    answer = fitted.predict_df(table, target=["load", "heat"])
    means = answer.groupby(["item_id", "target_name"], sort=False)["predictions"].mean()
    np.testing.assert_allclose(explained.forecasts["fused"], means, rtol=1e-5)
    contexts = np.stack(
        [g[t].to_numpy()[-L:] for _, g in table.groupby("item_id") for t in ("load", "heat")]
    )
    frozen = fitted.backbone.predict_quantiles(contexts.astype(np.float32), H)[:, 4]
    np.testing.assert_allclose(explained.forecasts["frozen"], frozen.mean(axis=1), rtol=1e-4)


def test_neighbours_are_the_most_alike_windows_of_the_past(fitted, explained, table):
    found = explained.neighbours
    counts = found.groupby(["item_id", "target_name"], sort=False)
    assert (counts.size() == fitted.training_windows.k).all()
    assert (counts["distance"].diff().dropna() >= 0).all()
    np.testing.assert_allclose(counts["weight"].sum(), 1, rtol=1e-5)
    assert (found["neighbour_target_name"] == found["target_name"]).all()
    step = pd.Timedelta("1h")
    assert (found["cutoff"] - found["context_start"] == (L - 1) * step).all()
    assert (found["cutoff"] + H * step <= table["timestamp"].max()).all()
    first = found[(found["item_id"] == "north") & (found["rank"] == 1)].iloc[0]
    whole = table.set_index(["item_id", "timestamp"])[first["target_name"]]
    stamps = pd.date_range(first["context_start"], first["cutoff"], freq="h")
    alike = whole[first["neighbour_item_id"]].loc[stamps].to_numpy()
    own = whole["north"].to_numpy()[-L:]
    assert np.corrcoef(alike, own)[0, 1] > 0.7


def test_neighbours_lie_before_the_origin(fitted, table):
    """Asked about a time in the middle of training, it does not answer with what came later."""
    known = table.groupby("item_id").head(400)
    found = fitted.explain(known, target="load").neighbours
    assert (found["cutoff"] + pd.Timedelta(H, "h") <= known["timestamp"].max()).all()


def test_a_series_that_is_looked_up_as_it_was_stored_is_its_own_neighbour(fitted):
    windows = fitted.training_windows
    row, start = int(windows.datastore.row[-1]), int(windows.datastore.start[-1])
    series = windows.series
    values = series.row_values(row)[start : start + L] * series.std[row] + series.mean[row]
    stamps = series.timestamps(np.full(L, row), start + np.arange(L))
    frame = pd.DataFrame({"timestamp": stamps, str(series.channel[row]): values})
    frame["item_id"] = series.item_id[row]
    after = frame.assign(timestamp=frame["timestamp"] + pd.Timedelta(500, "h"))
    found = fitted.explain(after, target=str(series.channel[row])).neighbours
    assert found["cutoff"].iloc[0] == stamps[-1]
    assert found["distance"].iloc[0] < 0.01


def test_what_a_channel_has_of_its_own_is_told(table):
    full = make_forecaster(FULL)
    lines = full.explain(make_frame(HOURS), target=["target", "load"]).forecasts
    shared, own = lines.iloc[0], lines.iloc[1]
    np.testing.assert_allclose(shared["memory"], 0.4, atol=1e-6)
    np.testing.assert_allclose(shared["long_run"], 0.2, atol=1e-6)
    np.testing.assert_allclose(own["memory"], 0.8, atol=1e-6)
    np.testing.assert_allclose(own["last_value"], 0, atol=1e-6)
    np.testing.assert_allclose(shared["width_residuals"], 0.4, atol=1e-6)
    assert lines["confidence"].isna().all()
    assert not lines["known"].any()


def test_a_shut_gate_and_an_idle_fusion_are_told():
    open_gate = Fusion(24, (0.5, 0.5), (0.5, 0.5), (1.0, 1.0))
    shut = Fusion(24, (0.5,) * 2, (0.5,) * 2, (1.0,) * 2, gate=GateConfig(max_volatility=0.0))
    frame = make_frame(HOURS)
    for fusion, share in ((open_gate, 1.0), (shut, 0.0), (IDLE, 0.0)):
        lines = make_forecaster(fusion).explain(frame).forecasts
        assert (lines["gate"] == share).all()
        assert (lines["frozen"] == lines["fused"]).all() == (share == 0)
        assert (lines[["spread", "disagreement", "volatility"]] > 0).all(axis=None)


def test_the_unit_of_a_known_series_is_told():
    known = KnownSeries(("b", "a"), ("target",) * 2, np.array([1.0, 900.0]), np.ones(2), 1.0)
    lines = make_forecaster(series=known).explain(make_frame(HOURS)).forecasts
    assert lines["known"].tolist() == [True, False]  # the second has moved
    assert (lines["level"].iloc[0], lines["scale"].iloc[0]) == (1.0, 1.0)


def test_without_training_windows_there_are_no_neighbours():
    found = make_forecaster().explain(make_frame(HOURS), prediction_length=5)
    assert found.neighbours is None
    assert len(found.forecasts) == 2


@pytest.mark.parametrize("batch_size", [1, 3])
def test_it_does_not_depend_on_the_batch(fitted, table, explained, batch_size):
    parts = fitted.explain(table, target=["load", "heat"], batch_size=batch_size)
    pd.testing.assert_frame_equal(parts.forecasts, explained.forecasts, rtol=1e-4, atol=1e-5)
    pd.testing.assert_frame_equal(parts.neighbours, explained.neighbours, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layout", ["cache", "project"])
def test_training_windows_are_found_by_their_folder(fitted, table, explained, tmp_path, layout):
    windows = fitted.training_windows
    folder = tmp_path
    if layout == "cache":
        windows.save(folder)
    else:
        version = tmp_path / "04_datastore/mine/datastore"
        windows.datastore.save_pretrained(version / "2024-01-01T00.00.00.000Z/datastore")
        windows.series.save_pretrained(tmp_path / "03_primary/mine/series_set")
        folder = tmp_path / "06_models/mine/forecaster"
    fitted.save_pretrained(folder / "kept")
    asked = {"target": ["load", "heat"], "training_windows": folder}
    found = fitted.explain(table, **asked).neighbours
    if layout == "project":  # looked up as the default teacher does
        assert found["rank"].max() == 20
        found = found[found["rank"] <= windows.k].reset_index(drop=True)
    columns = ["item_id", "target_name", "rank", "distance", "context_start", "cutoff"]
    pd.testing.assert_frame_equal(found[columns], explained.neighbours[columns])


def test_training_windows_of_another_forecaster_are_refused(fitted, table, tmp_path):
    with pytest.raises(ForecasterError, match="leads to no training windows"):
        fitted.explain(table, target="load", training_windows=tmp_path)
    with pytest.raises(ForecasterError, match="contexts of 48 steps, the forecaster reads 64"):
        make_forecaster().explain(make_frame(HOURS), training_windows=fitted.training_windows)
    daily = make_table(200, freq="D")
    with pytest.raises(ForecasterError, match="the table steps by D, the training windows by h"):
        fitted.explain(daily, target="load")
    other = make_forecaster(context_length=L)
    with pytest.raises(ForecasterError, match=r"keys of length \d+, those of this backbone have"):
        other.explain(make_frame(HOURS), training_windows=fitted.training_windows)


def test_months_are_placed_on_the_calendar():
    """Steps of varying length: the same rules, by the calendar instead of by division."""
    table = make_table(240, freq="MS")
    found = fit(table, context_length=24, prediction_length=6, target="load")
    neighbours = found.explain(table.groupby("item_id").head(150), target="load").neighbours
    limit = table["timestamp"].iloc[149]
    assert len(neighbours)
    assert (neighbours["cutoff"] + pd.DateOffset(months=6) <= limit).all()
    assert isinstance(found.training_windows, TrainingWindows)
