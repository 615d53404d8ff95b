import json

import numpy as np
import pytest
import torch
from chronos import BaseChronosPipeline

from tiny_models import CHRONOS2_LEVELS, save_tiny_chronos2
from tsmemory.backbones import BackboneError, load_backbone


@pytest.fixture
def contexts():
    values = np.random.default_rng(1).normal(size=(4, 32)).astype(np.float32)
    values[1, :9] = np.nan
    values[2, -5:] = np.nan
    return values


def test_it_is_as_its_configuration_says(tiny_chronos2):
    backbone = load_backbone(tiny_chronos2)
    assert backbone.quantile_levels == CHRONOS2_LEVELS
    assert (backbone.context_length, backbone.native_horizon) == (32, 16)


def test_the_key_is_the_reg_token_of_the_native_pass(tiny_chronos2, contexts):
    pipeline = BaseChronosPipeline.from_pretrained(str(tiny_chronos2), device_map="cpu")
    with torch.inference_mode():
        encoded, *_, patches = pipeline.model.encode(
            torch.from_numpy(contexts), num_output_patches=2
        )
    expected = encoded[0][:, patches].numpy()
    np.testing.assert_allclose(load_backbone(tiny_chronos2).embed(contexts), expected, atol=1e-6)


def test_rows_never_attend_to_each_other(tiny_chronos2, contexts):
    backbone = load_backbone(tiny_chronos2)
    alone = backbone.predict_quantiles(contexts[:1], 16)
    among = backbone.predict_quantiles(np.concatenate([contexts[:1], 1e3 * contexts[1:]]), 16)
    np.testing.assert_allclose(among[:1], alone, atol=1e-6)


def test_a_model_without_reg_token_is_refused(tmp_path):
    folder = save_tiny_chronos2(tmp_path, use_reg_token=False)
    with pytest.raises(BackboneError, match="without REG token"):
        load_backbone(folder)


def test_a_model_without_median_is_refused(tmp_path):
    folder = save_tiny_chronos2(tmp_path, quantiles=[0.1, 0.9])
    with pytest.raises(BackboneError, match="without a median"):
        load_backbone(folder)


def test_levels_that_do_not_ascend_are_refused(tmp_path):
    folder = save_tiny_chronos2(tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    settings["chronos_config"]["quantiles"] = [0.5, 0.1, 0.9]
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(BackboneError, match="do not ascend"):
        load_backbone(folder)
