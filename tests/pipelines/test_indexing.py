import numpy as np
import pandas as pd
import pytest

from builders import LEVELS, series_of
from tsmemory.pipeline_registry import register_pipelines
from tsmemory.pipelines.indexing import create_pipeline
from tsmemory.pipelines.indexing.nodes import count_neighbour_pools
from tsmemory.pipelines.indexing.params import BackboneParams, IndexingParams
from tsmemory.pipelines.loading import backbone_options, load_configured_backbone
from tsmemory.runs.parameters import essence
from tsmemory.scaleout.config import ShardsConfig


def test_wiring():
    pipeline = create_pipeline()
    assert {node.short_name: node.outputs for node in pipeline.nodes} == {
        "count_neighbour_pools": ["neighbour_pools"],
        "index_training_windows": ["datastore"],
        "forecast_training_windows": ["train_forecasts"],
        "forecast_validation_windows": ["validation_forecasts"],
    }
    assert pipeline.inputs() == {
        "series_set",
        "window_index",
        "panel_summary",
        "indexing_workspace",
        "backbone_answers",
        "params:windowing",
        "params:backbone",
        "params:indexing",
        "params:shards",
        "params:teacher.k",
        "params:teacher.shift_length",
        "params:windowing.context_length",
    }


def test_defaults_are_those_of_the_models(defaults):
    assert BackboneParams(**defaults["backbone"]) == BackboneParams()
    assert IndexingParams(**defaults["indexing"]) == IndexingParams()
    assert ShardsConfig(**defaults["shards"]) == ShardsConfig()


def test_who_works_through_shards_is_in_no_fingerprint():
    assert essence(ShardsConfig("processes", workers=2)) == essence(ShardsConfig()) == {}


@pytest.mark.parametrize(
    ("block", "params", "said"),
    [
        ("backbone", {"name": ""}, "backbone.name = '': "),
        ("backbone", {"batch_size": 0}, "backbone.batch_size = 0: "),
        ("backbone", {"kind": "prophet"}, "unknown kind; known: chronos2, "),
        ("backbone", {"dtype": "float16"}, "backbone.dtype = 'float16': "),
        ("backbone", {"rollout": "mean"}, "backbone.rollout = 'mean': "),
        ("backbone", {"quantile_levels": [0.1, 0.9]}, "0.5, the point forecast, must be among"),
        ("backbone", {"quantile_levels": [0.5, 0.1]}, "levels must increase, got [0.5, 0.1]"),
        ("backbone", {"quantile_levels": [0.5, 1]}, "backbone.quantile_levels.1 = 1: "),
        ("backbone", {"batchsize": 1}, "did you mean backbone.batch_size?"),
        ("indexing", {"key_kind": "shape"}, "indexing.key_kind = 'shape': "),
        ("indexing", {"index_kind": "pq"}, "indexing.index_kind = 'pq': "),
        ("indexing", {"tail_length": 1}, "indexing.tail_length = 1: "),
        ("indexing", {"phase_weight": -1}, "indexing.phase_weight = -1: "),
        ("indexing", {"statistics_weight": "much"}, "indexing.statistics_weight = 'much': "),
        ("indexing", {"same_channel": "perhaps"}, "indexing.same_channel = 'perhaps': "),
        ("indexing", {"shard_size": 0}, "indexing.shard_size = 0: "),
        ("indexing", {"cache": "sometimes"}, "indexing.cache = 'sometimes': "),
    ],
)
def test_nonsense_is_refused(refusal, block, params, said):
    assert said in refusal(**{block: params})


@pytest.mark.parametrize(("freq", "season"), [("h", 24), ("30min", 48), ("D", 7)])
def test_the_naive_backbone_repeats_the_season_of_the_frequency(freq, season):
    params = BackboneParams(name="seasonal_naive")
    options = backbone_options(params, {"freq": freq})
    assert options == {"kind": None, "season": season, "quantile_levels": list(LEVELS)}
    assert load_configured_backbone(params, {"freq": freq}).season == season


def test_other_backbones_get_what_is_configured():
    options = {
        "kind": "timesfm",
        "revision": "v2",
        "device": "cuda:1",
        "dtype": "float32",
        "batch_size": 7,
        "rollout": "quantile",
        "quantile_levels": [0.25, 0.5, 0.75],
    }
    params = BackboneParams(name="some/model", **options)
    assert backbone_options(params, {"freq": "h"}) == options


def test_levels_may_be_given_on_the_command_line():
    assert BackboneParams(quantile_levels="0.1 0.5 0.9").quantile_levels == (0.1, 0.5, 0.9)


def test_impossible_searches_are_refused_before_anything_is_embedded() -> None:
    names = [node.short_name for node in register_pipelines()["__default__"].nodes]
    long_steps = [name for name in names if name.startswith(("forecast_", "index_"))]
    assert names.index("count_neighbour_pools") < min(names.index(name) for name in long_steps)


def test_more_points_than_a_context_has_are_refused() -> None:
    index = pd.DataFrame({"split": ["datastore"] * 3, "row": [0, 0, 0]})
    series = series_of([np.zeros(9)])
    assert count_neighbour_pools(index, series, IndexingParams(), 3, 16, 16) == {"x": 3}
    with pytest.raises(ValueError, match=r"teacher\.shift_length = 17 .*context_length = 16"):
        count_neighbour_pools(index, series, IndexingParams(), 3, 17, 16)
    for key in ({"key_kind": "tail"}, {"statistics_weight": 0.5}):
        params = IndexingParams(tail_length=17, **key)
        with pytest.raises(ValueError, match=r"indexing\.tail_length = 17 .*context_length = 16"):
            count_neighbour_pools(index, series, params, 3, 16, 16)


def test_pools_are_those_that_may_be_searched_together() -> None:
    index = pd.DataFrame({"split": ["datastore"] * 4 + ["train"], "row": [0, 0, 1, 1, 1]})
    series = series_of([np.zeros(9), np.zeros(9)], channels=["x", "y"])
    assert count_neighbour_pools(index, series, IndexingParams(), 2, 4, 8) == {"x": 2, "y": 2}
    across = IndexingParams(same_channel=False)
    assert count_neighbour_pools(index, series, across, 4, 4, 8) == {"all": 4}
    with pytest.raises(ValueError, match=r"teacher\.k = 3 .* at most 2 stored"):
        count_neighbour_pools(index, series, IndexingParams(), 3, 4, 8)
