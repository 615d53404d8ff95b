"""Matrix products with top-k against the faiss indexes that they stand in for."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import series_of, windows_over
from tsmemory.retrieval import matrix
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.keys import KeyConfig
from tsmemory.retrieval.matrix import search_on_device, stored_keys
from tsmemory.retrieval.nearest import make_index, search_admissible

search = partial(search_on_device, device="cpu")


def drawn(rng, count, dimension=6):
    return rng.normal(size=(count, dimension)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    count=st.integers(1, 300),
    asked=st.integers(1, 40),
    k=st.integers(1, 25),
)
def test_equals_faiss_under_any_embargo(seed, count, asked, k):
    rng = np.random.default_rng(seed)
    index, queries = make_index(drawn(rng, count), "flat"), drawn(rng, asked)
    low = np.sort(rng.integers(0, count + 1, asked))
    high = np.maximum(low, np.sort(rng.integers(0, count + 1, asked)))
    position, square = search(index, queries, low, high, k)
    hidden = (position >= low[:, None]) & (position < high[:, None])
    assert not hidden[position >= 0].any()
    for number in range(asked):
        one = slice(number, number + 1)
        expected, apart = search_admissible(index, queries[one], low[one], high[one], k)
        np.testing.assert_array_equal(position[number], expected[0])
        np.testing.assert_allclose(square[number], apart[0], atol=1e-5)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_is_exact_whatever_the_index(kind, monkeypatch):
    monkeypatch.setattr(matrix, "_KEYS_AT_ONCE", 70)
    monkeypatch.setattr(matrix, "_QUERIES_AT_ONCE", 16)
    rng = np.random.default_rng(0)
    keys, queries = drawn(rng, 500), drawn(rng, 50)
    index = make_index(keys, kind)
    np.testing.assert_array_equal(stored_keys(index), keys)
    nothing = np.zeros(50, np.int64)
    position, square = search(index, queries, nothing, nothing, 9)
    apart = ((queries[:, None].astype(np.float64) - keys[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(position, np.argsort(apart, axis=1)[:, :9])
    np.testing.assert_allclose(square, np.sort(apart, axis=1)[:, :9], rtol=1e-5)


def test_equal_keys_are_not_apart():
    """Products alone would leave a distance of what they round away."""
    keys = drawn(np.random.default_rng(0), 40, 256) + 100
    nothing = np.zeros(40, np.int64)
    position, square = search(make_index(keys, "flat"), keys, nothing, nothing, 1)
    np.testing.assert_array_equal(position[:, 0], np.arange(40))
    assert (square == 0).all()


def test_no_query_is_no_neighbour():
    index, none = make_index(drawn(np.random.default_rng(0), 9), "flat"), np.zeros(0, np.int64)
    position, square = search(index, np.empty((0, 6), np.float32), none, none, 3)
    assert position.shape == square.shape == (0, 3)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_an_empty_group_has_no_neighbour(kind):
    rng = np.random.default_rng(0)
    index, queries, nothing = make_index(drawn(rng, 0), kind), drawn(rng, 4), np.zeros(4, np.int64)
    found = search(index, queries, nothing, nothing, 3)
    expected = search_admissible(index, queries, nothing, nothing, 3)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("embargo", ["overlap", "causal", "self"])
def test_a_gpu_finds_what_faiss_finds(embargo):
    rng = np.random.default_rng(0)
    series = series_of([rng.normal(size=n) for n in (400, 300)], channels=["a", "b"])
    windows = windows_over(series, 12, 4)
    keys = drawn(rng, len(windows))
    store = Datastore.build(
        keys, windows, series, key=KeyConfig("window"), index_kind="flat", same_channel=True
    )
    expected, apart = store.search(keys, windows, series, k=7, embargo=embargo)
    found, distance = store.search(keys, windows, series, k=7, embargo=embargo, device="cuda")
    np.testing.assert_allclose(distance, apart, atol=1e-4)
    assert (found == expected).mean() > 0.999
