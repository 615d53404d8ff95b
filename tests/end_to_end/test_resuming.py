"""Runs go on where they were, reuse what is current, and refuse what is stale."""

import shutil

import numpy as np
import pytest

from tsmemory.backbones.registry import BUNDLED
from tsmemory.runs.errors import StaleArtefactError

BEFORE_TEACHER = {
    "read_panel",
    "split_and_scale",
    "scale_series",
    "list_windows",
    "list_forecast_origins",
    "index_training_windows",
    "forecast_training_windows",
    "forecast_validation_windows",
    "forecast_test_windows",
    "fit_linear_skip",
    "describe_backbone",
}


def all_steps():
    from tsmemory.pipeline_registry import register_pipelines

    return {node.short_name for node in register_pipelines()["__default__"].nodes}


def test_a_second_run_reuses_all_steps(grown):
    before = grown.digests()
    assert grown.run() == []
    assert grown.digests() == before
    assert grown.run(pipelines=["evaluation"]) == []


def test_a_changed_teacher_reruns_only_what_follows(grown):
    neighbours, curve = grown.digests("neighbours"), grown.digests("loss_curve")
    assert set(grown.run({"teacher.k": 7})) == all_steps() - BEFORE_TEACHER
    assert grown.digests("neighbours") != neighbours
    assert grown.digests("loss_curve") != curve  # its adapter may be undone, so alike
    # The first version is still there, and is taken again.
    assert "search_neighbours" not in grown.run()
    assert grown.digests("neighbours") == neighbours
    assert grown.digests("loss_curve") == curve


def test_a_damaged_artefact_is_made_again(grown):
    made = grown.digests("closed_form", "adapter")
    weights = grown.artefact("closed_form") / "ridge.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert grown.run(pipelines=["distillation"])[0] == "fit_linear_skip"
    assert grown.digests("closed_form", "adapter") == made


def test_an_interrupted_run_goes_on_at_the_shard_it_was_at(fresh, base, monkeypatch):
    """Killed within the forecasts of training windows: whole shards are not made again."""
    from tsmemory.backbones.chronos_bolt import ChronosBolt

    sizes = {"indexing.shard_size": 128}  # the base run's batches, so that all stays the same
    whole = ChronosBolt.encode_and_predict
    windows = {"before": 0, "after": 0}

    def break_down(self, contexts, horizon):
        if windows["before"] >= 400:
            raise RuntimeError("the lights went out")
        windows["before"] += len(contexts)
        return whole(self, contexts, horizon)

    def count(self, contexts, horizon):
        windows["after"] += len(contexts)
        return whole(self, contexts, horizon)

    with monkeypatch.context() as patch:
        patch.setattr(ChronosBolt, "encode_and_predict", break_down)
        with pytest.raises(RuntimeError, match="lights went out"):
            fresh.run(sizes, pipelines=["ingestion", "windowing", "indexing"])
    assert fresh.report("manifest.json")["status"] == "failed"
    assert "the lights went out" in fresh.report("manifest.json")["error"]
    with monkeypatch.context() as patch:
        patch.setattr(ChronosBolt, "encode_and_predict", count)
        steps = fresh.run(sizes, pipelines=["ingestion", "windowing", "indexing"])
    assert "read_panel" not in steps
    train, validation = (
        len(np.load(base.artefact(f"{split}_forecasts") / "keys.npy"))
        for split in ("train", "validation")
    )
    assert windows["before"] + windows["after"] == train + validation
    names = ("datastore", "train_forecasts", "validation_forecasts")
    assert fresh.digests(*names) == base.digests(*names)
    assert "workspace" not in [path.name for path in (fresh.folder / "data").rglob("*")]


def test_an_interrupted_distillation_goes_on_from_there(grown, monkeypatch):
    changed = {"distillation.training.learning_rate": 0.001}

    def break_down(*_, **__):
        raise RuntimeError("the lights went out")

    with monkeypatch.context() as patch:
        patch.setattr("tsmemory.memory.fusion_fit.fit_fusion", break_down)
        with pytest.raises(RuntimeError, match="lights went out"):
            grown.run(changed)
    assert "distil_adapter" in grown.steps()
    steps = grown.run(changed)
    assert steps[0] == "fuse_and_guard"
    assert "export_forecaster" in steps
    assert "distil_adapter" not in steps


def test_a_stale_part_is_refused_by_name(grown):
    before = grown.digests()
    with pytest.raises(StaleArtefactError) as error:
        grown.run({"distillation.training.epochs": 1}, pipelines=["evaluation"])
    message = error.value.message
    assert "adapter: distillation.training.epochs: 2 -> 1" in message
    assert "kedro run --pipelines distillation" in message
    assert grown.digests() == before


def test_a_part_without_its_inputs_is_refused(fresh):
    with pytest.raises(StaleArtefactError) as error:
        fresh.run(pipelines=["teacher"])
    assert "datastore: no recorded run has made it yet" in error.value.message
    assert "kedro run --pipelines ingestion,windowing,indexing" in error.value.message
    assert not fresh.has_artefacts()


def test_a_moved_file_and_settings_without_effect_rerun_nothing(grown):
    moved = grown.folder / "elsewhere/tmy_weather.parquet"
    moved.parent.mkdir()
    (grown.folder / "data/01_raw/tmy_weather.parquet").rename(moved)
    changed = {
        "ingestion.path": "elsewhere/tmy_weather.parquet",
        "ingestion.download": True,
        "domain": "test",
        "indexing.shard_size": 77,
        "teacher.shard_size": 77,
    }
    assert grown.run(changed) == []


def test_other_weights_of_the_same_size_rerun_what_uses_them(grown, monkeypatch):
    swapped = grown.folder / "weights"
    shutil.copytree(BUNDLED, swapped)
    weights = swapped / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    monkeypatch.setattr("tsmemory.backbones.registry.BUNDLED", swapped)
    steps = grown.run(pipelines=["indexing"])
    assert {"index_training_windows", "forecast_training_windows"} <= set(steps)
    assert "count_neighbour_pools" not in steps


def test_an_interrupt_from_the_keyboard_does_not_lock_the_domain(grown, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tsmemory.memory.fusion_fit.fit_fusion", interrupt)
        with pytest.raises(KeyboardInterrupt):
            grown.run({"distillation.training.learning_rate": 0.001})
    assert not list(grown.folder.rglob("run.lock*"))
    # Only the card of the run, which does not wait for the fusion, had been written anew.
    assert grown.run() == ["describe_run"]
