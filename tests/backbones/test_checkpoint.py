"""What a folder in transformers' format says of itself, and what is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from builders import save_tiny_bolt
from tsmemory.backbones import BackboneError, PretrainingData, load_backbone
from tsmemory.backbones.checkpoint import find_checkpoint, kind_of
from tsmemory.backbones.weights import weights_fingerprint


@pytest.fixture
def copied(tiny_bolt, tmp_path):
    return shutil.copytree(tiny_bolt, tmp_path / "copy")


def change_settings(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_fingerprint_follows_weights_and_settings(copied, tiny_bolt, tmp_path):
    first = find_checkpoint(tiny_bolt).fingerprint
    assert load_backbone(tiny_bolt).fingerprint == first == weights_fingerprint(tiny_bolt)
    assert find_checkpoint(copied).fingerprint == first
    other = save_tiny_bolt(tmp_path / "other", seed=1)
    assert find_checkpoint(other).fingerprint != first
    change_settings(copied, tsmemory={"name": "renamed"})
    assert find_checkpoint(copied).fingerprint != first


def test_a_model_introduces_itself(copied):
    change_settings(
        copied,
        tsmemory={
            "name": "ours",
            "licence": "MIT",
            "pretraining_data": "waves",
            "pretraining_datasets": ["ETTh1"],
        },
    )
    backbone = load_backbone(copied)
    assert (backbone.name, backbone.licence) == ("ours", "MIT")
    assert backbone.pretraining_data == PretrainingData("waves", frozenset({"etth1"}))
    change_settings(copied, tsmemory={"pretraining_data": "waves"})
    assert load_backbone(copied).pretraining_data == PretrainingData("waves", None)
    change_settings(copied, tsmemory={"pretraining_datasets": []})
    assert load_backbone(copied).pretraining_data.datasets == frozenset()


def test_origins_are_not_made_up(tiny_bolt):
    assert "synthetic" in load_backbone("bundled").pretraining_data.description
    local = find_checkpoint(tiny_bolt)
    assert local.name == "tiny"
    assert "card" in local.licence
    assert local.pretraining_data == PretrainingData("not stated in the model's config.json", None)


def test_published_weights_are_known_by_their_id(copied, tmp_path, monkeypatch):
    monkeypatch.setattr("tsmemory.backbones.checkpoint.find_weights", lambda *_: copied)
    hub = find_checkpoint("amazon/chronos-bolt-tiny")
    assert (hub.name, hub.licence) == ("amazon/chronos-bolt-tiny", "Apache-2.0")
    assert "m4_hourly" in hub.pretraining_data.datasets
    other = find_checkpoint("somebody/chronos-bolt-tiny")
    assert "card" in other.licence
    assert other.pretraining_data.datasets is None
    monkeypatch.undo()
    placed = shutil.copytree(copied, tmp_path / "chronos-bolt-tiny")
    local = find_checkpoint(placed)
    assert local.pretraining_data == hub.pretraining_data
    assert "card" in local.licence  # a folder's name is no proof


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"chronos_pipeline_class": "ChronosBoltPipeline"}, "chronos_bolt"),
        ({"architectures": ["ChronosBoltModelForForecasting"]}, "chronos_bolt"),
        ({"chronos_pipeline_class": "Chronos2Pipeline", "model_type": "t5"}, "chronos2"),
        ({"architectures": ["Chronos2Model"]}, "chronos2"),
        ({"model_type": "timesfm2_5"}, "timesfm"),
        ({"architectures": ["TimesFm2_5ModelForPrediction"]}, "timesfm"),
    ],
)
def test_kinds_are_told_from_the_configuration(settings, kind, tmp_path):
    assert kind_of(settings, tmp_path) == kind


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"architectures": None, "model_type": "timesfm"},
        {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"},
        {
            "chronos_pipeline_class": "ChronosPipeline",
            "architectures": ["ChronosBoltModelForForecasting"],
        },
    ],
)
def test_other_models_are_refused_with_the_kinds_known(copied, settings):
    (copied / "config.json").write_text(json.dumps(settings))
    with pytest.raises(BackboneError, match="chronos2, chronos_bolt, timesfm"):
        load_backbone(copied)


@pytest.mark.parametrize("text", ['{"architectures": [', "[]"])
def test_a_broken_configuration_is_refused(copied, text):
    (copied / "config.json").write_text(text)
    with pytest.raises(BackboneError, match=r"config\.json (is not JSON|does not describe)"):
        load_backbone(copied)


@pytest.mark.parametrize("kind", ["tiny_bolt", "tiny_chronos2", "tiny_timesfm"])
class TestWeights:
    """Weights that are not those of the configuration, in every format."""

    @pytest.fixture
    def broken(self, kind, request, tmp_path):
        return shutil.copytree(request.getfixturevalue(kind), tmp_path / "broken")

    def test_truncated_weights_are_refused(self, broken):
        weights = broken / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-500])
        with pytest.raises(BackboneError, match="cannot be read"):
            load_backbone(broken)

    def test_weights_that_lack_tensors_are_refused(self, broken):
        """The libraries would draw them at random and say little or nothing."""
        tensors = load_file(broken / "model.safetensors")
        output = ("output_patch_embedding", "output_projection_quantiles")
        kept = {n: t for n, t in tensors.items() if not n.startswith(output)}
        lost = len(tensors) - len(kept)
        assert lost > 2
        save_file(kept, broken / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(BackboneError, match=f"{lost} tensors are missing, output_p"):
            load_backbone(broken)

    def test_weights_of_another_size_are_refused(self, broken):
        tensors = load_file(broken / "model.safetensors")
        name = max(tensors, key=lambda name: tensors[name].ndim)
        tensors[name] = torch.zeros(3, 3)
        save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(BackboneError, match="cannot be read"):
            load_backbone(broken)
