import pytest

from tsmemory.pipelines.indexing import create_pipeline
from tsmemory.pipelines.indexing.params import BackboneParams, IndexingParams
from tsmemory.pipelines.loading import backbone_options, load_configured_backbone


def test_wiring():
    pipeline = create_pipeline()
    assert {node.name: node.outputs for node in pipeline.nodes} == {
        "index_training_windows": ["datastore"],
        "forecast_training_windows": ["train_forecasts"],
        "forecast_validation_windows": ["validation_forecasts"],
    }
    assert pipeline.inputs() == {
        "series_set",
        "window_index",
        "panel_summary",
        "indexing_workspace",
        "params:windowing",
        "params:backbone",
        "params:indexing",
    }


def test_defaults_are_those_of_the_models(defaults):
    assert BackboneParams(**defaults["backbone"]) == BackboneParams()
    assert IndexingParams(**defaults["indexing"]) == IndexingParams()


@pytest.mark.parametrize(
    ("block", "params", "said"),
    [
        ("backbone", {"name": ""}, "backbone.name = '': "),
        ("backbone", {"batch_size": 0}, "backbone.batch_size = 0: "),
        ("backbone", {"batchsize": 1}, "did you mean backbone.batch_size?"),
        ("indexing", {"key_kind": "shape"}, "indexing.key_kind = 'shape': "),
        ("indexing", {"index_kind": "pq"}, "indexing.index_kind = 'pq': "),
        ("indexing", {"same_channel": "perhaps"}, "indexing.same_channel = 'perhaps': "),
        ("indexing", {"shard_size": 0}, "indexing.shard_size = 0: "),
    ],
)
def test_nonsense_is_refused(refusal, block, params, said):
    assert said in refusal(**{block: params})


@pytest.mark.parametrize(("freq", "season"), [("h", 24), ("30min", 48), ("D", 7)])
def test_the_naive_backbone_repeats_the_season_of_the_frequency(freq, season):
    params = BackboneParams(name="seasonal_naive")
    assert backbone_options(params, {"freq": freq}) == {"season": season}
    assert load_configured_backbone(params, {"freq": freq}).season == season


def test_other_backbones_get_what_is_configured():
    params = BackboneParams(name="some/model", revision="v2", device="meta", batch_size=7)
    options = {"revision": "v2", "device": "meta", "batch_size": 7}
    assert backbone_options(params, {"freq": "h"}) == options
