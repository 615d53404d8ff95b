"""What the nodes ask the backbone, and what they know already."""

import numpy as np
import pandas as pd
import pytest

from builders import LEVELS, seasonal_rows, series_of
from tsmemory.backbones import load_backbone
from tsmemory.pipelines import loading
from tsmemory.pipelines.indexing import nodes
from tsmemory.pipelines.indexing.params import BackboneParams, IndexingParams
from tsmemory.pipelines.loading import answer_settings, answers_of, forecast_split
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.scaleout.content_cache import ContentCache
from tsmemory.scaleout.shards import ShardCache
from tsmemory.series.windows import index_windows

SUMMARY = {"freq": "h"}
ENDS = {"train_end": 120, "validation_end": 150, "test_end": 200}


class Counting:
    """The seasonal naive, counting the windows that it is asked about."""

    quantile_levels = LEVELS
    fingerprint = "f"
    needs_origins = False
    forecast = 0
    embedded = 0

    def __init__(self):
        self._backbone = load_backbone("seasonal_naive", season=8)

    def embed(self, contexts):
        Counting.embedded += len(contexts)
        return self._backbone.embed(contexts)

    def encode_and_predict(self, contexts, horizon):
        Counting.forecast += len(contexts)
        return self._backbone.encode_and_predict(contexts, horizon)


@pytest.fixture
def counting(monkeypatch):
    """Let the nodes load a backbone that counts."""
    for module in (loading, nodes):
        monkeypatch.setattr(module, "load_configured_backbone", lambda *_: Counting())
    for name in ("forecast", "embedded"):
        monkeypatch.setattr(Counting, name, 0)
    return Counting


class Run:
    """Nodes of runs in one folder."""

    def __init__(self, folder):
        self._workspace = ShardCache(folder / "workspace")
        self.answers = ContentCache(folder / "answers")

    def index(self, rows, strides):
        series = series_of(rows)
        borders = pd.DataFrame({"item_id": list(series.item_id), **ENDS})
        lengths = {"context_length": 24, "horizons": [4, 8], "max_missing_share": 0.3}
        return series, index_windows(series, borders, strides=strides, **lengths)

    def arguments(self, rows, cache, train=3, test=5, datastore=3):
        strides = {"datastore": datastore, "train": train, "validation": 5, "test": test}
        windowing = WindowingParams(context_length=24, horizons=[4, 8], strides=strides)
        series, table = self.index(rows, strides)
        return (
            (series, table, SUMMARY, self._workspace, self.answers),
            (windowing, BackboneParams(), IndexingParams(shard_size=8, cache=cache)),
        )

    def forecasts(self, split, rows, *, cache=True, **strides):
        data, params = self.arguments(rows, cache, **strides)
        found = forecast_split(split, *data, *params)
        self._workspace.clear()
        return found

    def datastore(self, rows, forecasts, *, cache=True, **strides):
        data, params = self.arguments(rows, cache, **strides)
        found = nodes.index_training_windows(*data, forecasts, *params)
        self._workspace.clear()
        return found


@pytest.fixture
def rows():
    return seasonal_rows(np.random.default_rng(0), [200, 200])


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_another_stride_of_the_test_split_asks_nothing_about_training(run, rows, counting):
    first = run.forecasts("train", rows)
    test = run.forecasts("test", rows)
    assert counting.forecast == len(first) + len(test)
    counting.forecast = 0
    again = run.forecasts("train", rows, test=3)
    assert counting.forecast == 0
    np.testing.assert_array_equal(again.quantiles, first.quantiles)
    assert len(run.forecasts("test", rows, test=3)) == counting.forecast > len(test)


def test_new_rows_ask_only_about_what_they_change(run, rows, counting, monkeypatch):
    train, test = run.forecasts("train", rows), run.forecasts("test", rows)
    longer = [np.append(row, row[:40]) for row in rows]
    monkeypatch.setitem(ENDS, "test_end", 240)
    counting.forecast = 0
    assert len(run.forecasts("train", longer)) == len(train)
    assert counting.forecast == 0
    assert len(run.forecasts("test", longer)) == counting.forecast > len(test)


def test_a_changed_value_of_a_context_asks_again(run, rows, counting):
    first = run.forecasts("train", rows)
    rows[1][30] += 1
    counting.forecast = 0
    again = run.forecasts("train", rows)
    assert counting.forecast == len(again)
    assert not np.array_equal(again.quantiles, first.quantiles)


def test_the_cache_can_be_turned_off_and_is_then_empty(run, rows, counting):
    first = run.forecasts("train", rows)
    run.forecasts("test", rows)
    counting.forecast = 0
    again = run.forecasts("train", rows, cache=False)
    assert counting.forecast == len(first)
    np.testing.assert_array_equal(again.quantiles, first.quantiles)
    assert [path.name for path in run.answers.folder.iterdir()] == ["test"]
    assert answers_of("test", run.answers, IndexingParams(cache=False)) is None
    assert not list(run.answers.folder.iterdir())


@pytest.mark.parametrize("cache", [True, False])
def test_stored_windows_that_are_trained_on_are_not_embedded_again(run, rows, counting, cache):
    forecasts = run.forecasts("train", rows, cache=cache)
    counting.forecast = 0
    same = run.datastore(rows, forecasts, cache=cache)
    assert (counting.forecast, counting.embedded) == (0, 0)
    assert len(same) == len(forecasts)
    some = run.datastore(rows, forecasts, cache=cache, datastore=1)
    assert counting.embedded == len(some) - len(forecasts)
    assert counting.forecast == 0


def test_a_second_datastore_embeds_nothing(run, rows, counting):
    forecasts = run.forecasts("train", rows)
    first = run.datastore(rows, forecasts, datastore=1)
    assert counting.embedded > 0
    counting.embedded = 0
    again = run.datastore(rows, forecasts, datastore=1, test=3)
    assert counting.embedded == 0
    assert len(again) == len(first)
    np.testing.assert_array_equal(again.scaler.mean, first.scaler.mean)


def test_where_weights_come_from_does_not_matter_but_how_they_are_used_does():
    settings = answer_settings(BackboneParams(revision="v2", kind="chronos_bolt"), SUMMARY)
    assert settings == answer_settings(BackboneParams(), SUMMARY)
    for change in ({"dtype": "bfloat16"}, {"device": "cuda"}, {"rollout": "quantile"}):
        assert answer_settings(BackboneParams(**change), SUMMARY) != settings
