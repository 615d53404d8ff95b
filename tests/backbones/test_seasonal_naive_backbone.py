import warnings
from statistics import NormalDist

import numpy as np
import pytest

from tsmemory.backbones.seasonal_naive import SeasonalNaive
from tsmemory.metrics import last_value, seasonal_naive


@pytest.fixture
def contexts():
    return np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)


def test_median_is_the_seasonal_naive_forecast(contexts):
    quantiles = SeasonalNaive(season=6).predict_quantiles(contexts, 15)
    np.testing.assert_allclose(quantiles[:, 4], seasonal_naive(contexts, 15, 6), atol=1e-6)


def test_bands_grow_with_the_seasons_ahead(contexts):
    quantiles = SeasonalNaive(season=6).predict_quantiles(contexts, 15)
    spread = np.sqrt(((contexts[:, 6:] - contexts[:, :-6]) ** 2).mean(axis=1))
    z = NormalDist().inv_cdf(0.9)
    for step, seasons in ((0, 1), (5, 1), (6, 2), (14, 3)):
        band = quantiles[:, 8, step] - quantiles[:, 4, step]
        np.testing.assert_allclose(band, z * spread * np.sqrt(seasons), rtol=1e-5)


def test_less_than_a_season_of_history_repeats_the_last_value_with_its_own_band(contexts):
    contexts[0, :-4] = np.nan
    quantiles = SeasonalNaive(season=6).predict_quantiles(contexts, 3)
    np.testing.assert_allclose(quantiles[:1, 4], last_value(contexts[:1], 3))
    spread = np.sqrt((np.diff(contexts[0, -4:]) ** 2).mean())
    expected = NormalDist().inv_cdf(0.9) * spread * np.sqrt([1, 2, 3])
    np.testing.assert_allclose(quantiles[0, 8] - quantiles[0, 4], expected, rtol=1e-5)


def test_keys_do_not_warn_about_unobserved_contexts(contexts):
    contexts[0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keys = SeasonalNaive(season=6).embed(contexts)
    assert keys.shape == (5, 40)
    assert (keys[0] == 0).all()
    normal = (contexts[1] - contexts[1].mean()) / contexts[1].std()
    np.testing.assert_allclose(keys[1], normal, atol=1e-5)


def test_long_contexts_are_averaged_down():
    context = np.repeat(np.arange(64, dtype=np.float32), 3)[None]
    expected = (np.arange(64) - 31.5) / np.arange(64).std()
    np.testing.assert_allclose(SeasonalNaive(season=6).embed(context)[0], expected, atol=1e-5)


def test_the_season_is_part_of_the_fingerprint():
    assert SeasonalNaive(season=6).fingerprint != SeasonalNaive(season=7).fingerprint
