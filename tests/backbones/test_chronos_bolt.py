import json
import shutil

import numpy as np
import pytest
import torch
from chronos import BaseChronosPipeline

from builders import LEVELS
from tsmemory.backbones import BackboneError, load_backbone
from tsmemory.backbones.registry import BUNDLED


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


def test_a_model_without_reg_token_is_keyed_by_its_last_patch(plain_bolt, contexts):
    backbone = load_backbone(plain_bolt)
    tokens = backbone._model.encode(torch.from_numpy(contexts))[0]
    assert tokens.shape[1] == 32 // 8
    np.testing.assert_allclose(backbone.embed(contexts), tokens[:, -1].detach().numpy(), atol=1e-6)


def test_a_model_without_a_median_is_refused(tiny_bolt, tmp_path):
    copied = shutil.copytree(tiny_bolt, tmp_path / "copy")
    settings = json.loads((copied / "config.json").read_text())
    settings["chronos_config"]["quantiles"] = [0.1, 0.9]
    (copied / "config.json").write_text(json.dumps(settings))
    with pytest.raises(BackboneError, match="without a median"):
        load_backbone(copied)
