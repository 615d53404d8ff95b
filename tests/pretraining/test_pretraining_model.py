import json

import numpy as np
import pytest
import torch
from chronos import BaseChronosPipeline
from safetensors.torch import load_file

from tsmemory.backbones import load_backbone
from tsmemory.pretraining.config import ModelConfig
from tsmemory.pretraining.errors import PretrainingError
from tsmemory.pretraining.model import (
    LEVELS,
    as_stored,
    build_model,
    clarity,
    count_parameters,
    forecast,
    normal_quantiles,
    pinball,
    save_model,
    step_weights,
)

ABOUT = {"name": "tiny", "licence": "Apache-2.0", "pretraining_data": "synthetic series only"}


@pytest.fixture
def model(recipe):
    """With weights everywhere, the output's too."""
    torch.manual_seed(0)
    made = build_model(recipe.model).eval()
    with torch.no_grad():
        for weight in made.output_patch_embedding.parameters():
            weight.normal_(0, 0.3)
    return made


@pytest.fixture
def contexts():
    made = np.random.default_rng(2).normal(5, 3, size=(6, 64)).astype(np.float32)
    made[1, :20] = np.nan
    return made


def test_a_new_model_forecasts_the_mean_of_its_context(recipe, contexts):
    found = forecast(build_model(recipe.model).eval(), contexts, 16)
    expected = np.nanmean(contexts, axis=1)[:, None, None]
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-4)


def test_sizes(recipe):
    config = build_model(recipe.model).config
    assert (config.d_model, config.d_ff, config.num_heads) == (16, 24, 2)
    assert (config.num_layers, config.num_decoder_layers) == (1, 1)
    assert config.dropout_rate == 0
    assert count_parameters(build_model(ModelConfig())) == 9_678_880


def test_pinball_by_hand():
    targets = torch.tensor([[1.0, float("nan")], [0.0, 0.0]])
    quantiles = torch.zeros(2, 9, 2)
    quantiles[0, :5, 0] = 2.0  # levels .1 to .5 one above, the others one below
    weights = torch.tensor([0.75, 0.25])
    above = sum(1 - level for level in LEVELS[:5])
    below = sum(LEVELS[5:])
    expected = 2 * 0.75 * (above + below) / 9
    assert pinball(quantiles, targets, weights).tolist() == pytest.approx([expected, 0])


def test_windows_weigh_by_how_clear_they_are():
    weights = torch.tensor([0.75, 0.25])
    quantiles = torch.zeros(3, 9, 2, requires_grad=True)
    with torch.no_grad():
        quantiles[0, -1] = torch.tensor([1.0, 3.0])  # a band of 1.5 on average
        quantiles[1, 0] = torch.tensor([0.4, 0.4])  # crossed, 0.4 wide
    found = clarity(quantiles, weights, 0.1)
    assert not found.requires_grad
    expected = np.array([1 / 1.6, 1 / 0.5, 1 / 0.1])
    assert found.tolist() == pytest.approx(expected.tolist())


def test_step_weights():
    weights = step_weights(4, 0.5)
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights[0] / weights[3]) == pytest.approx(2)
    assert step_weights(3, 0).tolist() == pytest.approx([1 / 3] * 3)


def test_forecasts_are_the_loss_s_quantiles_in_the_contexts_units(model, contexts):
    with torch.no_grad():
        normal = normal_quantiles(model, torch.from_numpy(contexts)).numpy()
    mean, std = np.nanmean(contexts, axis=1), np.nanstd(contexts, axis=1)
    expected = np.sort(normal * std[:, None, None] + mean[:, None, None], axis=1)
    np.testing.assert_allclose(forecast(model, contexts, 16), expected, atol=1e-3)


def test_forecasts_do_not_depend_on_batches_and_read_the_last_steps(model, contexts):
    whole = forecast(model, contexts, 10)
    assert whole.shape == (6, 9, 10)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(forecast(model, contexts, 10, batch_size=4), whole, atol=1e-5)
    longer = np.concatenate([np.full((6, 9), 1e6, np.float32), contexts], axis=1)
    np.testing.assert_allclose(forecast(model, longer, 10), whole, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "size", "tolerance"),
    [("float32", 4, 1e-6), ("float16", 2, 0.01), ("bfloat16", 2, 0.06)],
)
def test_saved_models_load_as_float32(dtype, size, tolerance, model, contexts, tmp_path):
    expected = forecast(model, contexts, 16)
    save_model(model, tmp_path, ABOUT, dtype)
    stored = load_file(tmp_path / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {getattr(torch, dtype)}
    assert sum(w.numel() for w in stored.values()) == count_parameters(model)
    weights = (tmp_path / "model.safetensors").stat().st_size
    assert weights < size * count_parameters(model) + 8192
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float32"

    backbone = load_backbone(tmp_path)
    assert backbone.name == "tiny"
    found = backbone.predict_quantiles(contexts, 16)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, atol=tolerance * np.nanstd(contexts))
    if dtype != "float32":
        assert np.abs(found - expected).max() > 0

    theirs = BaseChronosPipeline.from_pretrained(str(tmp_path), device_map="cpu")
    assert theirs.model.dtype == torch.float32
    quantiles, _ = theirs.predict_quantiles(
        torch.from_numpy(contexts), prediction_length=16, quantile_levels=list(LEVELS)
    )
    np.testing.assert_allclose(
        np.sort(quantiles.numpy().transpose(0, 2, 1), axis=1), found, atol=1e-4
    )
    # Saving leaves the model as it was; rounding it gives what was stored.
    np.testing.assert_array_equal(forecast(model, contexts, 16), expected)
    as_stored(model, dtype)
    np.testing.assert_allclose(forecast(model, contexts, 16), found, atol=1e-4)


def test_weights_too_large_for_their_type_are_refused(model, tmp_path):
    with torch.no_grad():
        model.output_patch_embedding.output_layer.bias[0] = 1e5
    with pytest.raises(PretrainingError, match="not finite in float16: choose float32 or bfloat16"):
        save_model(model, tmp_path, ABOUT, "float16")
    assert not list(tmp_path.iterdir())
    save_model(model, tmp_path, ABOUT, "bfloat16")
