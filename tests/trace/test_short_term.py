import numpy as np
import pandas as pd
import pytest

from builders import hourly_panel
from tsmemory.backbones.seasonal_naive import SeasonalNaive
from tsmemory.metrics.m4 import naive2
from tsmemory.trace.errors import TraceError
from tsmemory.trace.short_term import (
    median_forecasts,
    short_term_errors,
    short_term_table,
    short_term_task,
)


@pytest.fixture
def panel():
    rng = np.random.default_rng(0)
    tables = []
    for name, length in (("long", 300), ("short", 120)):
        wave = 10 + 3 * np.sin(2 * np.pi * np.arange(length) / 24) + rng.normal(0, 0.3, length)
        tables.append(hourly_panel({"x": wave}, item=name))
    return pd.concat(tables, ignore_index=True)


def test_the_end_of_each_series_is_the_target(panel):
    task = short_term_task(panel, "h", horizon=12)
    assert (task.names, task.season, task.horizon) == (("long", "short"), 24, 12)
    for name, history, target in zip(task.names, task.histories, task.targets, strict=True):
        whole = panel.loc[panel["item_id"] == name, "x"].to_numpy(dtype=np.float32)
        np.testing.assert_array_equal(np.concatenate([history, target]), whole)


def test_what_is_held_back_is_not_read(panel):
    changed = panel.copy()
    last = changed.groupby("item_id")["x"].tail(12).index
    changed.loc[last, "x"] = 1e9
    task, again = (short_term_task(p, "h", horizon=12, held_back=12) for p in (panel, changed))
    np.testing.assert_array_equal(task.targets, again.targets)
    whole = short_term_task(panel, "h", horizon=12)
    np.testing.assert_array_equal(task.targets[0], whole.histories[0][-12:])


def test_contexts_end_where_forecasts_begin(panel):
    task = short_term_task(panel, "h", horizon=12)
    contexts = task.contexts(200)
    assert contexts.shape == (2, 200)
    np.testing.assert_array_equal(contexts[0], task.histories[0][-200:])
    np.testing.assert_array_equal(contexts[1, 200 - 108 :], task.histories[1])
    assert np.isnan(contexts[1, : 200 - 108]).all()


def test_errors_are_means_over_series(panel):
    task = short_term_task(panel, "h", horizon=12)
    errors = short_term_errors(task, {"perfect": task.targets, "off": task.targets + 1})
    table = short_term_table(errors).set_index("row")
    assert table.index[0] == "perfect"
    assert set(table.index) == {"perfect", "off", "naive2", "seasonal_naive", "last_value"}
    assert (table["series"] == 2).all()
    assert table.loc["perfect", ["smape", "mase", "owa"]].tolist() == [0, 0, 0]
    assert table.loc["naive2", "owa"] == 1
    scale = [np.abs(h[24:] - h[:-24]).mean() for h in task.histories]
    assert table.loc["off", "mase"] == pytest.approx(np.mean(1 / np.array(scale)), rel=1e-5)
    smape = (200 / (2 * task.targets + 1)).mean()
    assert table.loc["off", "smape"] == pytest.approx(smape, rel=1e-5)
    relative = table.loc["off", ["smape", "mase"]] / table.loc["naive2", ["smape", "mase"]]
    assert table.loc["off", "owa"] == pytest.approx(relative.mean())
    by_hand = np.stack([naive2(h, 12, 24) for h in task.histories])
    naive = errors[errors["row"] == "naive2"]["smape"].mean()
    size = np.abs(task.targets) + np.abs(by_hand)
    assert naive == pytest.approx((200 * np.abs(task.targets - by_hand) / size).mean(), rel=1e-5)


def test_a_backbone_is_asked_for_its_median(panel):
    task = short_term_task(panel, "h", horizon=12)
    forecast = median_forecasts(task, SeasonalNaive(24), context_length=100)
    table = short_term_table(short_term_errors(task, {"backbone": forecast})).set_index("row")
    assert table.loc["backbone", "owa"] == pytest.approx(table.loc["seasonal_naive", "owa"])


def test_series_without_values_are_left_out(panel):
    panel.loc[panel["item_id"] == "short", "x"] = np.nan
    assert short_term_task(panel, "h", horizon=12).names == ("long",)
    with pytest.raises(TraceError, match="no series has values"):
        short_term_task(panel, "h", horizon=400)


def test_unusable_requests_are_refused(panel):
    with pytest.raises(TraceError, match="a horizon starts at 1"):
        short_term_task(panel, "h", horizon=0)
    task = short_term_task(panel, "h", horizon=12)
    with pytest.raises(TraceError, match=r"'short' has forecasts of shape \(2, 6\)"):
        short_term_errors(task, {"short": task.targets[:, :6]})
    with pytest.raises(TraceError, match="not finite"):
        short_term_errors(task, {"bad": np.full_like(task.targets, np.nan)})
    backbone = SeasonalNaive(24)
    backbone.needs_origins = True
    with pytest.raises(TraceError, match="choose another backbone"):
        median_forecasts(task, backbone, context_length=100)
