import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import seasonal_rows, series_of, windows_over
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.keys import KeyConfig, make_keys
from tsmemory.scaleout.shards import ShardCache
from tsmemory.teacher import rerank
from tsmemory.teacher.neighbours import find_neighbours, softmax_weights
from tsmemory.teacher.rerank import Rerank

L, H, M = 24, 8, 6


def difference(query, stored, alignment):
    """Mean absolute difference of aligned contexts, step by step; inf if no step is common."""
    tails = query[-M:], stored[-M:]
    ratio = 1.0
    agreed = not any(np.isnan(tail).all() for tail in tails)
    if alignment == "affine" and agreed:
        ratio = np.clip(np.nanstd(query) / np.nanstd(stored), 0.5, 2)
    level, own = (np.nanmean(tail) for tail in tails) if agreed else (0.0, 0.0)
    apart = np.abs(level + ratio * (stored - own) - query)
    return np.nanmean(apart) if (~np.isnan(apart)).any() else np.inf


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99),
    k=st.integers(1, 6),
    more=st.integers(0, 40),
    missing=st.sampled_from([0.0, 0.3, 0.9]),
    alignment=st.sampled_from(["shift", "affine"]),
    embargo=st.sampled_from(["overlap", "causal"]),
)
def test_against_brute_force(seed, k, more, missing, alignment, embargo):
    rng = np.random.default_rng(seed)
    rows = seasonal_rows(rng, [80, 60])
    for row in rows:
        row[rng.random(len(row)) < missing] = np.nan
    series = series_of(rows, calendar=[0, 20])
    windows = windows_over(series, L, H)
    keys = make_keys(KeyConfig("window"), None, windows, series)
    store = Datastore.build(
        keys, windows, series, key=KeyConfig("window"), index_kind="flat", same_channel=True
    )
    pool = k + more
    position, distance = store.search(keys, windows, series, k=pool, embargo=embargo)
    chosen = Rerank(pool, M, alignment)
    found, away = chosen.select(store, windows, series, position, distance, k)
    assert found.shape == away.shape == (len(windows), k)
    contexts = windows.contexts(series)
    stored = series.gather(store.row, store.start, L)
    for query in range(len(windows)):
        there = position[query][position[query] >= 0]
        kept = found[query][found[query] >= 0]
        assert len(kept) == len(set(kept)) == min(k, len(there))
        assert set(kept) <= set(there)
        values = {p: difference(contexts[query], stored[p], alignment) for p in there}
        left = [values[p] for p in there if p not in kept]
        if left:
            worst = max(values[p] for p in kept)
            assert worst <= min(left) + 1e-4 or np.isinf(worst)
        own = dict(zip(position[query], distance[query], strict=True))
        assert [own[p] for p in kept] == away[query][: len(kept)].tolist()
        assert np.isinf(away[query][len(kept) :]).all()
        assert (np.diff(away[query][: len(kept)]) >= 0).all()


@pytest.fixture
def embeddings(windows):
    return np.zeros((len(windows), 1), np.float32)


def options(**changed):
    settings = {"k": 6, "k_min": 3, "temperature": 0.12, "embargo": "overlap", "shard_size": 50}
    return settings | changed


def test_a_pool_of_k_changes_nothing(series, windows, build_store, embeddings):
    store = build_store(series, windows)
    plain = find_neighbours(store, embeddings, windows, series, **options())
    found = find_neighbours(store, embeddings, windows, series, **options(rerank=Rerank(6, M)))
    np.testing.assert_array_equal(found.position, plain.position)
    np.testing.assert_array_equal(found.weight, plain.weight)


def test_weights_are_those_of_the_keys(series, windows, build_store, embeddings):
    store, chosen = build_store(series, windows), Rerank(40, M)
    found = find_neighbours(store, embeddings, windows, series, **options(rerank=chosen))
    keys = make_keys(store.key, None, windows, series)
    position, distance = store.search(keys, windows, series, k=40, embargo="overlap")
    expected, away = chosen.select(store, windows, series, position, distance, 6)
    np.testing.assert_array_equal(found.position, expected)
    np.testing.assert_allclose(found.weight, softmax_weights(away, 0.12), atol=1e-6)
    assert (found.position != position[:, :6]).any()


def test_shards_of_another_pool_are_never_reused(
    series, windows, build_store, embeddings, tmp_path
):
    store, cache = build_store(series, windows), ShardCache(tmp_path)
    for chosen in (None, Rerank(20, M), Rerank(40, M), Rerank(40, M, "affine")):
        before = {path.name for path in tmp_path.iterdir()}
        settings = options(rerank=chosen)
        found = find_neighbours(store, embeddings, windows, series, **settings, cache=cache)
        fresh = find_neighbours(store, embeddings, windows, series, **settings)
        np.testing.assert_array_equal(found.position, fresh.position)
        assert not before & {path.name for path in tmp_path.iterdir()}


def test_batches_do_not_matter(series, windows, build_store, embeddings, monkeypatch):
    store, settings = build_store(series, windows), options(rerank=Rerank(30, M))
    expected = find_neighbours(store, embeddings, windows, series, **settings)
    monkeypatch.setattr(rerank, "_VALUES", 30 * L * 7)
    found = find_neighbours(store, embeddings, windows, series, **settings)
    np.testing.assert_array_equal(found.position, expected.position)
