"""Horizons beyond the native one, held against the libraries' own pipelines."""

import numpy as np
import pytest
import torch
from chronos import BaseChronosPipeline

from builders import LEVELS, save_tiny_bolt
from tiny_models import CHRONOS2_LEVELS
from tsmemory.backbones import load_backbone
from tsmemory.backbones.rollout import roll_out

pytestmark = pytest.mark.filterwarnings("ignore:We recommend keeping prediction length")


@pytest.fixture
def contexts():
    values = np.random.default_rng(1).normal(size=(4, 32)).astype(np.float32)
    values[1, :9] = np.nan
    values[2, 20:23] = np.nan
    return values


@pytest.mark.parametrize("horizon", [5, 8, 9, 16, 30])
def test_quantile_is_what_chronos_forecasting_does_for_bolt(tiny_bolt, contexts, horizon):
    theirs = BaseChronosPipeline.from_pretrained(str(tiny_bolt), device_map="cpu")
    expected, _ = theirs.predict_quantiles(
        torch.from_numpy(contexts), prediction_length=horizon, quantile_levels=list(LEVELS)
    )
    expected = np.sort(expected.numpy().transpose(0, 2, 1), axis=1)
    actual = load_backbone(tiny_bolt, rollout="quantile").predict_quantiles(contexts, horizon)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("horizon", [16, 48])
def test_quantile_is_what_chronos_forecasting_does_for_chronos2(tiny_chronos2, contexts, horizon):
    """At multiples of the native horizon, where its pipeline asks for as many patches as we do."""
    theirs = BaseChronosPipeline.from_pretrained(str(tiny_chronos2), device_map="cpu")
    expected, _ = theirs.predict_quantiles(
        torch.from_numpy(contexts)[:, None],
        prediction_length=horizon,
        quantile_levels=list(CHRONOS2_LEVELS),
    )
    expected = np.sort(torch.cat(expected).numpy().transpose(0, 2, 1), axis=1)
    actual = load_backbone(tiny_chronos2, rollout="quantile").predict_quantiles(contexts, horizon)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_median_appends_the_median(tiny_bolt, contexts):
    backbone = load_backbone(tiny_bolt)
    model, native = backbone._model, backbone.native_horizon
    with torch.inference_mode():
        first = model(torch.from_numpy(contexts)).quantile_preds
        extended = torch.cat([torch.from_numpy(contexts), first[:, 4]], dim=1)[:, -32:]
        second = model(extended).quantile_preds
    expected = torch.cat([first, second], dim=2).sort(dim=1).values[:, :, : native + 5].numpy()
    actual = backbone.predict_quantiles(contexts, native + 5)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_the_ways_differ_beyond_the_native_horizon_alone(tmp_path, contexts):
    folder = save_tiny_bolt(tmp_path, horizon=8)
    median = load_backbone(folder).predict_quantiles(contexts, 20)
    quantile = load_backbone(folder, rollout="quantile").predict_quantiles(contexts, 20)
    np.testing.assert_array_equal(median[:, :, :8], quantile[:, :, :8])
    assert (np.abs(median - quantile)[:, :, 8:].max(axis=(1, 2)) > 1e-4).all()


def walk(levels, spread=0.1):
    """A model that steps to ``last value + spread * standardised level`` and stays there."""
    offset = spread * (torch.tensor(levels) - 0.5)
    asked = []

    def predict(contexts):
        asked.append(tuple(contexts.shape))
        return (contexts[:, -1:, None] + offset[None, :, None]).expand(-1, -1, 4)

    return predict, asked


def test_quantile_bands_are_wider_further_out_and_median_bands_are_not():
    predict, asked = walk(LEVELS)
    contexts = torch.zeros(2, 6)
    sizes = {}
    for rollout in ("median", "quantile"):
        asked.clear()
        result = roll_out(
            predict,
            contexts,
            predict(contexts),
            12,
            levels=LEVELS,
            context_length=6,
            rollout=rollout,
        )
        assert result.shape == (2, 9, 12)
        torch.testing.assert_close(result[:, 4], torch.zeros(2, 12))
        sizes[rollout] = (result[0, 8] - result[0, 0])[[0, 4, 8]]
        assert asked == [(2, 6), *[(2 if rollout == "median" else 18, 6)] * 2]
    torch.testing.assert_close(sizes["median"], torch.full((3,), 0.08))
    assert (sizes["quantile"][1:] > sizes["median"][1:] + 0.01).all()


def test_levels_that_lack_a_decile_are_all_followed():
    levels = (0.25, 0.5, 0.75)
    predict, asked = walk(levels)
    contexts = torch.zeros(1, 6)
    settings = {"levels": levels, "context_length": 6, "rollout": "quantile"}
    result = roll_out(predict, contexts, predict(contexts), 8, **settings)
    assert asked[-1] == (3, 6)
    torch.testing.assert_close(result[0, 1], torch.zeros(8))
    assert (result.diff(dim=1) >= 0).all()
