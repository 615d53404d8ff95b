from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from builders import LEVELS, series_of, windows_over
from domains import H, L
from tsmemory.evaluation.methods import Fused, OnlineKnn, PointWithSpread, frozen
from tsmemory.memory.config import FusionConfig
from tsmemory.memory.forecasts import BackboneForecasts
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.split import Split
from tsmemory.metrics import last_value, seasonal_naive
from tsmemory.teacher.neighbours import find_neighbours
from tsmemory.teacher.rerank import Rerank

BLOCK, MEDIAN = 4, LEVELS.index(0.5)
OPEN = Fusion(BLOCK, (0.7, 0.2, 0.0), (1.0, 0.5, 0.0), (1.3, 0.8, 1.0))
naive = partial(seasonal_naive, horizon=H, season=8)


def bare_split(rows, **names):
    """Windows of rows without a backbone; methods that need none score them."""
    series = series_of(rows, **names)
    windows = windows_over(series, L, H)
    shape = (len(windows), len(LEVELS), H)
    forecasts = BackboneForecasts(
        np.zeros((len(windows), 2), np.float32), np.zeros(shape, np.float32), LEVELS, "none"
    )
    return Split(series, windows, forecasts)


@pytest.fixture(scope="module")
def online(domain):
    return OnlineKnn(domain.store, domain.teacher, 6, 0.3, "overlap")


def test_frozen_is_the_backbone_as_it_is(halves):
    _, test = halves
    found = frozen(test)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, test.forecasts.quantiles)
    assert np.ptp(found) > 1


def test_the_point_stays_the_median_and_levels_ascend(halves):
    validation, test = halves
    for point in (naive, partial(last_value, horizon=H)):
        quantiles = PointWithSpread.fit(point, validation, BLOCK)(test)
        assert quantiles.shape == (len(test.windows), len(LEVELS), H)
        expected = point(test.windows.contexts(test.series))
        np.testing.assert_array_equal(quantiles[:, MEDIAN], expected)
        assert (np.diff(quantiles, axis=1) >= 0).all()
        assert (quantiles[:, -1] > quantiles[:, 0]).all()


def test_offsets_are_the_quantiles_of_scaled_errors_by_channel_and_block():
    rng = np.random.default_rng(1)
    rows = [rng.standard_t(2, 300), rng.normal(5, 1, 300), rng.uniform(-1, 1, 300)]
    rows[1][100:120] = np.nan
    split = bare_split(rows, channels=["b", "a", "b"])
    spread = PointWithSpread.fit(naive, split, BLOCK)
    assert spread.channels.tolist() == ["a", "b"]
    assert spread.offsets.shape == (2, 3, len(LEVELS))
    contexts = split.windows.contexts(split.series)
    error = split.windows.targets(split.series) - naive(contexts)
    error = error / np.nanstd(contexts, axis=1, keepdims=True)
    for channel, members in enumerate(([1], [0, 2])):
        part = error[np.isin(split.windows.row, members)]
        for block, steps in enumerate((slice(0, 4), slice(4, 8), slice(8, 10))):
            expected = np.nanquantile(part[:, steps], LEVELS)
            expected[MEDIAN] = 0
            expected[:MEDIAN] = np.minimum(expected[:MEDIAN], 0)
            expected[MEDIAN + 1 :] = np.maximum(expected[MEDIAN + 1 :], 0)
            np.testing.assert_allclose(spread.offsets[channel, block], expected, rtol=1e-4)


def test_each_window_takes_the_offsets_of_its_channel_block_and_scale():
    rng = np.random.default_rng(5)
    split = bare_split([rng.normal(0, size, 60) for size in (1, 4, 9)], channels=["b", "a", "b"])
    offsets = rng.normal(size=(2, 3, len(LEVELS))).astype(np.float32)
    spread = PointWithSpread(naive, offsets, np.array(["a", "b"]), BLOCK)
    quantiles = spread(split)
    contexts = split.windows.contexts(split.series)
    for window, row in enumerate(split.windows.row):
        for step in (0, 3, 4, 7, 8, 9):
            band = offsets["ab".index("bab"[row]), step // BLOCK] * contexts[window].std()
            expected = naive(contexts[window : window + 1])[0, step] + band
            np.testing.assert_allclose(quantiles[window, :, step], expected, rtol=1e-3, atol=1e-4)


def test_a_biased_point_gets_no_level_on_the_wrong_side_of_it():
    split = bare_split([np.random.default_rng(2).normal(size=200)])
    far_below = PointWithSpread.fit(lambda contexts: naive(contexts) - 50, split, BLOCK)
    assert (far_below.offsets[..., : MEDIAN + 1] == 0).all()
    assert (far_below.offsets[..., MEDIAN + 1 :] > 10).all()


def test_only_validation_windows_are_looked_at(halves, with_values):
    validation, _ = halves
    fitted = PointWithSpread.fit(naive, validation, BLOCK).offsets
    flat = validation.series.flat.copy()
    windows = validation.windows
    last = int(windows.origin.max()) + H
    for offset, length in zip(validation.series.offset, validation.series.length, strict=True):
        flat[offset + last : offset + length] = 1e3
        flat[offset : offset + int(windows.start.min())] = -1e3
    assert (flat != validation.series.flat).mean() > 0.5
    other = PointWithSpread.fit(naive, with_values(validation, flat), BLOCK).offsets
    np.testing.assert_array_equal(other, fitted)
    flat[last - 20 : last] += 5
    other = PointWithSpread.fit(naive, with_values(validation, flat), BLOCK).offsets
    assert (other != fitted).any()


def test_targets_beyond_the_split_are_not_fitted_on(halves, with_values):
    validation, _ = halves
    windows = replace(validation.windows, limit=np.full(len(validation.windows), 320))
    cut = Split(validation.series, windows.take(windows.origin < 320), validation.forecasts)
    fitted = PointWithSpread.fit(naive, cut, BLOCK).offsets
    flat = validation.series.flat.copy().reshape(2, -1)
    flat[:, 320:] = 1e3
    other = PointWithSpread.fit(naive, with_values(cut, flat.ravel()), BLOCK).offsets
    np.testing.assert_array_equal(other, fitted)


def test_a_constant_context_has_no_spread_and_teaches_none():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=300).astype(np.float32)
    noise[100:200] = 2.0
    split = bare_split([noise])
    spread = PointWithSpread.fit(naive, split, BLOCK)
    assert np.isfinite(spread.offsets).all()
    flat = np.ptp(split.windows.contexts(split.series), axis=1) == 0
    assert 0 < flat.sum() < len(flat)
    quantiles = spread(split)
    np.testing.assert_array_equal(quantiles[flat], 2.0)
    assert (np.ptp(quantiles[~flat], axis=1) > 0).all()
    alone = PointWithSpread.fit(naive, split.take(np.flatnonzero(flat)), BLOCK)
    assert (alone.offsets == 0).all()


def test_bands_cover_as_much_as_they_say():
    rng = np.random.default_rng(4)
    fitted, unseen = (
        bare_split([rng.exponential(1, 4000), rng.normal(0, 10, 4000)], channels=["a", "b"])
        for _ in range(2)
    )
    spread = PointWithSpread.fit(lambda contexts: np.zeros((len(contexts), H)), fitted, BLOCK)
    quantiles = spread(unseen)
    target = unseen.windows.targets(unseen.series)
    for row in (0, 1):
        mine = unseen.windows.row == row
        for level in LEVELS[MEDIAN + 1 :]:
            share = (target[mine] <= quantiles[mine, LEVELS.index(level)]).mean()
            assert share == pytest.approx(level, abs=0.03)


def test_fused_is_the_adapter_behind_the_fusion(halves, adapters):
    _, test = halves
    contexts, _, quantiles, keys = test.tensors()
    with torch.no_grad():
        memory = adapters[3](contexts, quantiles, keys)
        expected = OPEN.apply(quantiles, memory, MEDIAN).numpy()
    found = Fused(adapters[3], OPEN)(test)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.abs(found - test.forecasts.quantiles)[:, :, :8].max() > 0.1
    np.testing.assert_array_equal(found[:, :, 8:], test.forecasts.quantiles[:, :, 8:])


def test_online_knn_fuses_what_it_retrieves(domain, halves, online):
    validation, test = halves
    config = FusionConfig(block=BLOCK, shrinkage=0.4)
    fitted = online.fit(validation, config)

    def retrieve(split):
        neighbours = find_neighbours(
            domain.store,
            split.forecasts.keys,
            split.windows,
            split.series,
            k=6,
            k_min=1,
            temperature=0.3,
            embargo="overlap",
            shard_size=50,
        )
        return domain.teacher.quantiles(split.windows, neighbours, H)

    step = (retrieve(validation) - validation.forecasts.quantiles)[:, MEDIAN].astype(float)
    gap = validation.windows.targets(validation.series) - validation.forecasts.quantiles[:, MEDIAN]
    numerator, denominator = (
        np.array([part[:, first : first + BLOCK].sum() for first in (0, 4, 8)])
        for part in (gap * step, step**2)
    )
    overall = numerator.sum() / denominator.sum()
    weight = np.clip(0.6 * numerator / denominator + 0.4 * overall, 0, 1)
    assert fitted.location == pytest.approx(weight, rel=1e-4)
    assert fitted.block == BLOCK
    assert min(weight) > 0.05

    backbone, retrieved = test.forecasts.quantiles, retrieve(test)
    by_step = np.repeat(weight, BLOCK)[:H]
    expected = backbone + by_step * (retrieved - backbone)
    assert np.abs(expected - backbone).max() > 0.1
    np.testing.assert_allclose(fitted(test), expected, atol=1e-4)


def test_online_knn_fits_on_validation_only(halves, online, with_values):
    validation, _ = halves
    config = FusionConfig(block=BLOCK)
    flat = validation.series.flat.copy().reshape(2, -1)
    flat[:, 340:] = 1e3
    fitted = online.fit(validation, config).location
    assert online.fit(with_values(validation, flat.ravel()), config).location == fitted


def test_without_neighbours_the_backbone_stands(domain, halves, online):
    _, test = halves
    # Before the calendar began no stored window lies in the past.
    series = replace(test.series, calendar=np.array([-10_000, 0]))
    early = Split(series, test.windows, test.forecasts)
    first = test.windows.row == 0
    causal = replace(online, embargo="causal", location=(0.5, 0.5, 0.5), block=BLOCK)
    retrieved = causal.retrieved(early)
    np.testing.assert_array_equal(retrieved[first], test.forecasts.quantiles[first])
    assert np.abs(retrieved[~first] - test.forecasts.quantiles[~first]).max() > 0.1
    found = causal(early)
    np.testing.assert_allclose(found[first], test.forecasts.quantiles[first], atol=1e-6)
    assert np.isfinite(found).all()


def test_what_is_retrieved_online_is_re_ranked_as_for_the_teacher(domain, online):
    split = domain.validation.take(np.arange(20))
    chosen = replace(online, rerank=Rerank(40, 8))
    windows = split.windows
    neighbours = find_neighbours(
        domain.store,
        split.forecasts.keys,
        windows,
        split.series,
        k=6,
        k_min=1,
        temperature=0.3,
        embargo="overlap",
        shard_size=20,
        rerank=Rerank(40, 8),
    )
    expected = domain.teacher.quantiles(windows, neighbours, H)
    np.testing.assert_array_equal(chosen.retrieved(split), expected)
    assert not np.array_equal(online.retrieved(split), expected)
