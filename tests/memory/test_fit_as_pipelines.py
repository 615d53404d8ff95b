"""What ``fit`` makes is what the pipelines make of the same data, bit for bit."""

from pathlib import Path

import pytest
import yaml
from fits import QUICK, H, L, fit, make_table

from tsmemory.memory.config import PaperSizes
from tsmemory.memory.fit_config import FitConfig
from tsmemory.pipelines.distillation import nodes as distillation
from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.indexing import nodes as indexing
from tsmemory.pipelines.indexing.params import BackboneParams, IndexingParams
from tsmemory.pipelines.ingestion import nodes as ingestion
from tsmemory.pipelines.ingestion.params import IngestionParams
from tsmemory.pipelines.teacher import nodes as teaching
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.windowing import nodes as windowing_nodes
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.scaleout.content_cache import ContentCache
from tsmemory.scaleout.shards import ShardCache
from tsmemory.series.reading import RawTable

STEPS, TRAIN, TEST = 1000, 0.72, 0.1  # of 900 steps before the test, 0.8 train


def plain(settings):
    """Settings as parameters are written."""
    if hasattr(settings, "__dataclass_fields__"):
        return {name: plain(value) for name, value in vars(settings).items()}
    return list(settings) if isinstance(settings, tuple) else settings


def run_pipelines(table, folder):
    """The nodes of the pipelines, one after another."""
    config = QUICK
    params = IngestionParams(
        path="table.csv", train_share=TRAIN, test_share=TEST, target_columns=("load", "heat")
    )
    windowing = WindowingParams(
        context_length=L,
        horizons=(H,),
        strides={**without(plain(config.strides), "enough"), "test": 3},
    )
    backbone, stored = BackboneParams(name="seasonal_naive"), IndexingParams()
    teacher = TeacherParams(**plain(config.teacher))
    distilled = DistillationParams(
        ridge=plain(config.ridge),
        adapter=config.adapter,
        paper_adapter=PaperSizes(),
        objective=plain(config.objective),
        training=plain(config.training),
        fusion=config.fusion,
        seeds=(0,),
    )
    work, answers = ShardCache(folder / "work"), ContentCache(folder / "answers")
    raw = RawTable(Path("table.csv"), "0" * 64, table)
    panel, about = ingestion.read_panel(raw, params)
    borders, scaler, _ = ingestion.split_and_scale(panel, params, windowing)
    series = windowing_nodes.scale_series(panel, about, scaler)
    index, _ = windowing_nodes.list_windows(series, borders, windowing)
    asked = (series, index, about, work, answers)
    chosen = (windowing, backbone, stored)
    train = indexing.forecast_training_windows(*asked, *chosen)
    validation = indexing.forecast_validation_windows(*asked, *chosen)
    store = indexing.index_training_windows(*asked, train, *chosen)
    search = (store, train, series, index, work, windowing, teacher)
    neighbours = teaching.search_neighbours(*search)
    spread = teaching.calibrate_teacher(
        store, neighbours, series, index, train, windowing, teacher, 0
    )
    form = distillation.fit_linear_skip(series, index, train, windowing, distilled)
    adapter, _ = distillation.distil_adapter(
        series,
        index,
        train,
        validation,
        store,
        neighbours,
        spread,
        form,
        windowing,
        teacher,
        distilled,
    )
    fusion = distillation.fuse_and_guard(
        series, index, validation, adapter, form, windowing, distilled, 0
    )
    return distillation.export_forecaster(
        adapter, fusion, series, index, about, windowing, backbone, "table"
    )


def test_fit_makes_what_the_pipelines_make(tmp_path):
    table = make_table(STEPS)
    theirs = run_pipelines(table, tmp_path)
    before_test = table.groupby("item_id").head(round((1 - TEST) * STEPS))
    ours = fit(before_test, target=["load", "heat"])
    assert not theirs.fusion.is_idle
    assert ours.fusion.to_json() == theirs.fusion.to_json()
    assert ours.series.to_json() == theirs.series.to_json()
    for name, tensor in theirs.adapter.state_dict().items():
        assert tensor.equal(ours.adapter.state_dict()[name]), name
    assert ours.backbone.fingerprint == theirs.backbone.fingerprint


def read(repository, name):
    return yaml.safe_load((repository / f"conf/base/parameters_{name}.yml").read_text())


def without(values, *names):
    return {name: value for name, value in values.items() if name not in names}


@pytest.fixture
def defaults():
    return plain(FitConfig())


def test_defaults_are_those_of_the_configuration(repository, defaults):
    windowing = read(repository, "windowing")["windowing"]
    assert without(defaults["strides"], "enough") == without(windowing["strides"], "test")
    assert defaults["max_missing_share"] == windowing["max_missing_share"]
    stored = read(repository, "indexing")["indexing"]
    assert defaults["shard_size"] == stored["shard_size"]
    store = defaults["store"]
    assert {"key_kind": store["key"].pop("kind"), **store.pop("key"), **store} == without(
        stored, "shard_size", "cache"
    )
    teacher = read(repository, "teacher")["teacher"]
    assert defaults["teacher"] == without(teacher, "shard_size", "diagnosis_queries")


def test_so_are_those_of_distillation(repository, defaults):
    given = DistillationParams(**read(repository, "distillation")["distillation"])
    assert plain(given.ridge.model_dump()) == {
        "penalties": tuple(defaults["ridge"]["penalties"]),
        "folds": defaults["ridge"]["folds"],
    }
    config = FitConfig()
    assert given.adapter == config.adapter
    assert given.objective == config.objective
    assert given.training == config.training
    assert given.fusion == config.fusion
