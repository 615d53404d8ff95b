import json

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import TimesFm2_5ModelForPrediction

from builders import LEVELS
from tiny_models import save_tiny_timesfm
from tsmemory.backbones import BackboneError, load_backbone
from tsmemory.backbones.timesfm import fill_gaps


@pytest.fixture
def contexts():
    return np.random.default_rng(1).normal(3, 2, size=(4, 64)).astype(np.float32)


def test_it_is_as_its_configuration_says(tiny_timesfm):
    backbone = load_backbone(tiny_timesfm)
    assert backbone.quantile_levels == LEVELS
    assert (backbone.context_length, backbone.native_horizon) == (64, 16)


@pytest.mark.parametrize("flip", [True, False])
def test_it_equals_the_model_of_transformers(tmp_path, contexts, flip):
    folder = save_tiny_timesfm(tmp_path, force_flip_invariance=flip)
    model = TimesFm2_5ModelForPrediction.from_pretrained(folder).eval()
    with torch.inference_mode():
        said = model(list(torch.from_numpy(contexts)), truncate_negative=False)
    expected = np.sort(said.full_predictions[:, :, 1:].numpy().transpose(0, 2, 1), axis=1)
    backbone = load_backbone(folder)
    np.testing.assert_allclose(backbone.predict_quantiles(contexts, 16), expected, atol=1e-4)
    expected = said.last_hidden_state[:, -1].numpy()
    np.testing.assert_allclose(backbone.embed(contexts), expected, atol=1e-5)


def test_forecasts_are_not_clipped_at_zero(tiny_timesfm, contexts):
    """transformers would clip all rows, or none, by the least value of the batch."""
    positive = contexts - contexts.min() + 0.1
    assert load_backbone(tiny_timesfm).predict_quantiles(positive, 16).min() < 0


def test_gaps_are_interpolated_as_numpy_does(contexts):
    rng = np.random.default_rng(3)
    contexts[rng.random(contexts.shape) < 0.4] = np.nan
    contexts[1, :7] = np.nan
    contexts[2, -6:] = np.nan
    filled, start = fill_gaps(torch.from_numpy(contexts))
    for row, found, first in zip(contexts, filled.numpy(), start.tolist(), strict=True):
        expected = pd.Series(row).interpolate().to_numpy()
        assert first == np.flatnonzero(~np.isnan(row))[0]
        np.testing.assert_allclose(found[first:], expected[first:], rtol=1e-5, atol=1e-6)


def test_a_context_without_values_counts_as_zeros():
    filled, start = fill_gaps(torch.full((1, 5), torch.nan))
    assert (filled == 0).all()
    assert start.tolist() == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantiles": [0.1, 0.9]}, "without a median"),
        ({"decode_index": 3}, "does not point at the median"),
    ],
)
def test_a_median_elsewhere_is_refused(tmp_path, change, message):
    folder = save_tiny_timesfm(tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, **change}))
    with pytest.raises(BackboneError, match=message):
        load_backbone(folder)
