import json
import shutil

import numpy as np
import pytest
import torch
from chronos import BaseChronosPipeline
from safetensors.torch import load_file, save_file

from builders import LEVELS, save_tiny_bolt
from tsmemory.backbones import BackboneError, load_backbone
from tsmemory.backbones.registry import BUNDLED


@pytest.fixture
def copied(tiny_bolt, tmp_path):
    return shutil.copytree(tiny_bolt, tmp_path / "copy")


@pytest.fixture
def contexts():
    return np.random.default_rng(1).normal(size=(4, 32)).astype(np.float32)


@pytest.mark.parametrize("which", ["bundled", "tiny"])
def test_it_equals_the_pipeline_of_chronos_forecasting(which, tiny_bolt, contexts):
    folder = BUNDLED if which == "bundled" else tiny_bolt
    ours = load_backbone(folder)
    theirs = BaseChronosPipeline.from_pretrained(str(folder), device_map="cpu")
    contexts[1, :9] = np.nan
    tensor = torch.from_numpy(contexts)
    expected, _ = theirs.predict_quantiles(
        tensor, prediction_length=ours.native_horizon, quantile_levels=list(LEVELS)
    )
    expected = np.sort(expected.numpy().transpose(0, 2, 1), axis=1)
    actual = ours.predict_quantiles(contexts, ours.native_horizon)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    embedding, _ = theirs.embed(tensor)
    np.testing.assert_allclose(ours.embed(contexts), embedding[:, -1].numpy(), atol=1e-5)


def test_longer_horizons_are_rolled_out_on_the_median(tiny_bolt, contexts):
    backbone = load_backbone(tiny_bolt)
    model, native = backbone._model, backbone.native_horizon
    with torch.inference_mode():
        first = model(torch.from_numpy(contexts)).quantile_preds
        extended = torch.cat([torch.from_numpy(contexts), first[:, 4]], dim=1)[:, -32:]
        second = model(extended).quantile_preds
    expected = torch.cat([first, second], dim=2).sort(dim=1).values[:, :, : native + 5].numpy()
    actual = backbone.predict_quantiles(contexts, native + 5)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_the_size_of_its_own_batches_does_not_matter(tiny_bolt, contexts):
    small = load_backbone(tiny_bolt, batch_size=3).encode_and_predict(contexts, 11)
    large = load_backbone(tiny_bolt, batch_size=64).encode_and_predict(contexts, 11)
    np.testing.assert_allclose(small.keys, large.keys, atol=1e-5)
    np.testing.assert_allclose(small.quantiles, large.quantiles, atol=1e-5)


def test_steps_before_the_context_length_are_ignored(tiny_bolt, contexts):
    backbone = load_backbone(tiny_bolt)
    longer = np.concatenate([100 * contexts[:, :5], contexts], axis=1)
    np.testing.assert_array_equal(
        backbone.predict_quantiles(longer, 8), backbone.predict_quantiles(contexts, 8)
    )


def test_a_model_without_reg_token_is_keyed_by_its_last_patch(tmp_path, contexts):
    backbone = load_backbone(save_tiny_bolt(tmp_path / "plain", reg=False))
    tokens = backbone._model.encode(torch.from_numpy(contexts))[0]
    assert tokens.shape[1] == 32 // 8
    np.testing.assert_allclose(backbone.embed(contexts), tokens[:, -1].detach().numpy(), atol=1e-6)


def test_the_model_is_frozen(tiny_bolt):
    model = load_backbone(tiny_bolt)._model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_fingerprint_follows_weights_and_settings(copied, tiny_bolt, tmp_path):
    first = load_backbone(tiny_bolt).fingerprint
    assert load_backbone(copied).fingerprint == first
    other = save_tiny_bolt(tmp_path / "other", seed=1)
    assert load_backbone(other).fingerprint != first
    settings = json.loads((copied / "config.json").read_text())
    settings["tsmemory"] = {"name": "renamed", "licence": "MIT", "pretraining_data": "mine"}
    (copied / "config.json").write_text(json.dumps(settings))
    named = load_backbone(copied)
    assert named.fingerprint != first
    assert (named.name, named.licence, named.pretraining_data) == ("renamed", "MIT", "mine")


def test_origins_are_not_made_up(tiny_bolt):
    assert "synthetic" in load_backbone("bundled").pretraining_data
    local = load_backbone(tiny_bolt)
    assert local.name == "tiny"
    assert "not stated" in local.pretraining_data


def test_truncated_weights_are_refused(copied):
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-500])
    with pytest.raises(BackboneError, match="cannot be read"):
        load_backbone(copied)


def test_weights_that_lack_tensors_are_refused(copied):
    """The library would draw them at random and say nothing."""
    tensors = load_file(copied / "model.safetensors")
    kept = {name: t for name, t in tensors.items() if "output_patch_embedding" not in name}
    save_file(kept, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match="6 tensors are missing"):
        load_backbone(copied)


def test_weights_of_another_size_are_refused(copied, tmp_path):
    other = save_tiny_bolt(tmp_path / "other", horizon=16)
    shutil.copy(other / "model.safetensors", copied / "model.safetensors")
    with pytest.raises(BackboneError, match="cannot be read"):
        load_backbone(copied)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chronos_pipeline_class": "ChronosPipeline"}, "does not describe a Chronos-Bolt"),
        ({"chronos_config": {"quantiles": [0.1, 0.9]}}, "without a median"),
    ],
)
def test_other_models_are_refused(copied, change, message):
    settings = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**settings, **change}))
    with pytest.raises(BackboneError, match=message):
        load_backbone(copied)


def test_a_truncated_configuration_is_refused(copied):
    path = copied / "config.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(BackboneError, match="is not JSON"):
        load_backbone(copied)
