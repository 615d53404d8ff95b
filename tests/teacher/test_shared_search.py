"""Embeddings, forecasts and neighbours that workers make are those of one process, to the bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import save_tiny_bolt, seasonal_rows, series_of, windows_over
from tsmemory.backbones import BackboneError, load_backbone
from tsmemory.memory.forecasts import forecast_windows
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.embeddings import embed_windows
from tsmemory.retrieval.keys import KeyConfig
from tsmemory.scaleout.config import ShardsConfig
from tsmemory.scaleout.content_cache import ContentCache
from tsmemory.scaleout.shards import ShardCache
from tsmemory.teacher.neighbours import find_neighbours
from tsmemory.teacher.rerank import Rerank
from tsmemory.teacher.synthesis import Teacher

L, H = 32, 8
PROCESSES = ShardsConfig("processes", workers=2)
SETTINGS = {"k": 6, "k_min": 1, "temperature": 0.2, "embargo": "overlap"}


@pytest.fixture(scope="module")
def series():
    rows = seasonal_rows(np.random.default_rng(0), [260, 200, 240])
    return series_of(rows, calendar=[0, 20, 5], channels=["a", "b", "a"])


@pytest.fixture(scope="module")
def windows(series):
    return windows_over(series, L, H)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return load_backbone(save_tiny_bolt(tmp_path_factory.mktemp("bolt")))


@pytest.fixture(scope="module")
def keys(backbone, windows, series):
    return embed_windows(backbone, windows, series, config=KeyConfig(), shard_size=100)


@pytest.fixture(scope="module")
def store(keys, windows, series):
    return Datastore.build(
        keys, windows, series, key=KeyConfig(), index_kind="flat", same_channel=True
    )


def test_embeddings(backbone, keys, windows, series, tmp_path):
    found = embed_windows(
        backbone,
        windows,
        series,
        config=KeyConfig(),
        shard_size=100,
        cache=ShardCache(tmp_path / "shards"),
        answers=ContentCache(tmp_path / "answers"),
        sharing=PROCESSES,
    )
    np.testing.assert_array_equal(found, keys)
    assert isinstance(found, np.memmap)


@pytest.mark.parametrize("cached", [True, False])
def test_forecasts(windows, series, tmp_path, cached):
    backbone = load_backbone("seasonal_naive", season=8)
    expected = forecast_windows(backbone, windows, series, shard_size=100)
    cache = ShardCache(tmp_path) if cached else None
    found = forecast_windows(
        backbone, windows, series, shard_size=100, cache=cache, sharing=PROCESSES
    )
    np.testing.assert_array_equal(found.quantiles, expected.quantiles)
    np.testing.assert_array_equal(found.keys, expected.keys)


@pytest.mark.parametrize("rerank", [None, Rerank(20, 5)])
def test_neighbours(store, keys, windows, series, tmp_path, rerank):
    options = {**SETTINGS, "shard_size": 150, "rerank": rerank}
    expected = find_neighbours(store, keys, windows, series, **options)
    found = find_neighbours(
        store, keys, windows, series, **options, cache=ShardCache(tmp_path), sharing=PROCESSES
    )
    for name in ("position", "weight", "nearest", "own_nearest"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_shards_along_the_calendar_change_nothing(store, keys, windows, series):
    expected = find_neighbours(store, keys, windows, series, **SETTINGS, shard_size=10_000)
    shuffled = np.random.default_rng(1).permutation(len(windows))
    found = find_neighbours(
        store, keys[shuffled], windows.take(shuffled), series, **SETTINGS, shard_size=37
    )
    np.testing.assert_array_equal(found.position, expected.position[shuffled])
    np.testing.assert_allclose(found.weight, expected.weight[shuffled], atol=1e-5)


def test_a_missing_device_is_refused_before_the_search(store, keys, windows, series, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackboneError, match="'cuda' was asked for, but there is no CUDA device"):
        find_neighbours(store, keys, windows, series, **SETTINGS, shard_size=99, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_teaches_nearly_what_the_cpu_teaches(store, keys, windows, series):
    expected = find_neighbours(store, keys, windows, series, **SETTINGS, shard_size=99)
    found = find_neighbours(store, keys, windows, series, **SETTINGS, shard_size=99, device="cuda")
    assert (found.position == expected.position).mean() > 0.999
    np.testing.assert_allclose(found.nearest, expected.nearest, atol=1e-3)
    teacher = Teacher(store, series, (0.1, 0.5, 0.9), 5, "midpoint")
    here = teacher.quantiles(windows, expected, H)
    there = replace(teacher, device="cuda").quantiles(windows, expected, H)
    np.testing.assert_allclose(there, here, atol=1e-5)
