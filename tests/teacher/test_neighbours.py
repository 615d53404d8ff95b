from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from builders import neighbours_of
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.keys import KeyConfig, window_keys
from tsmemory.scaleout.shards import ShardCache
from tsmemory.teacher.confidence import confidence_of
from tsmemory.teacher.neighbours import (
    Neighbours,
    find_neighbours,
    query_batches,
    softmax_weights,
)

SETTINGS = {"k": 6, "k_min": 3, "temperature": 0.12, "embargo": "overlap", "shard_size": 50}


@given(
    arrays(np.float32, (4, 5), elements=st.floats(0, 30, width=32) | st.just(np.inf)),
    st.floats(0.05, 10),
)
def test_weights_are_a_softmax_of_distances(distance, temperature):
    weights = softmax_weights(distance, temperature)
    for line, ours in zip(distance.astype(np.float64), weights, strict=True):
        if np.isinf(line).all():
            assert (ours == 0).all()
            continue
        mass = np.exp(-(line - line.min()) / temperature)
        np.testing.assert_allclose(ours, mass / mass.sum(), atol=1e-5)
        assert ours.sum() == pytest.approx(1, abs=1e-5)
        assert (ours[np.isinf(line)] == 0).all()


def test_confidence_is_the_largest_weight_unless_neighbours_are_too_few():
    position = [[1, 2, 3], [4, -1, -1], [-1, -1, -1], [4, 5, -1]]
    weight = [[0.5, 0.3, 0.2], [1, 0, 0], [0, 0, 0], [0.6, 0.4, 0]]
    confidence = neighbours_of(position, weight, k_min=2).confidence
    np.testing.assert_allclose(confidence, [0.5, 0, 0, 0.6])
    assert confidence.dtype == np.float32


@pytest.mark.parametrize("kind", ["max_weight", "effective", "entropy", "distance"])
def test_the_confidence_is_of_the_kind_asked_for(kind):
    position, weight = [[1, 2], [4, 5], [6, -1]], [[0.5, 0.5], [0.9, 0.1], [1, 0]]
    found = neighbours_of(position, weight, 2, nearest=[0.2, 0.4, 0.1], kind=kind)
    expected = confidence_of(kind, found.weight, found.nearest, found.own_nearest)
    np.testing.assert_array_equal(found.confidence, [*expected[:2], 0])
    assert found.summary()["confidence"] == kind
    taken = found.take(np.array([1]))  # ranked among all windows, not among those taken
    np.testing.assert_array_equal(taken.confidence, expected[[1]])


def test_nearest_distances_are_kept_and_ranked_among_their_own(series, windows, build_store):
    store, keys = build_store(series, windows), window_keys(windows.contexts(series))
    embeddings = np.zeros((len(windows), 1), np.float32)
    settings = {**SETTINGS, "confidence": "distance"}
    found = find_neighbours(store, embeddings, windows, series, **settings)
    _, distance = store.search(keys, windows, series, k=1, embargo="overlap")
    np.testing.assert_allclose(found.nearest, distance[:, 0], rtol=1e-5)
    order = np.argsort(found.nearest)
    assert found.confidence[order[0]] > 0.98
    assert found.confidence[order[-1]] < 0.02
    few = windows.take(order[:3])
    compared = find_neighbours(
        store, embeddings[:3], few, series, **settings, own_nearest=found.own_nearest
    )
    np.testing.assert_allclose(compared.confidence, found.confidence[order[:3]], atol=0.011)


def test_summary_counts():
    summary = neighbours_of([[1, 2], [4, -1]], [[0.5, 0.5], [1, 0]], k_min=2).summary()
    assert summary["queries"] == 2
    assert summary["queries_below_k_min"] == 1
    assert summary["mean_confidence"] == pytest.approx(0.25)
    assert summary["mean_effective_neighbours"] == pytest.approx(1.5)


def test_a_query_without_neighbours_has_no_effective_ones():
    summary = neighbours_of([[1, 2], [-1, -1]], [[0.5, 0.5], [0, 0]], k_min=2).summary()
    assert summary["mean_effective_neighbours"] == pytest.approx(1.0)


def test_neighbours_are_those_of_the_datastore(series, windows, build_store):
    store = build_store(series, windows)
    keys = window_keys(windows.contexts(series))
    found = find_neighbours(store, np.zeros((len(windows), 1)), windows, series, **SETTINGS)
    position, distance = store.search(keys, windows, series, k=6, embargo="overlap")
    np.testing.assert_array_equal(found.position, position)
    np.testing.assert_allclose(found.weight, softmax_weights(distance, 0.12), atol=1e-6)
    assert found.position.dtype == np.int32
    assert found.k_min == 3
    assert len(found) == len(windows)


def test_embeddings_are_the_keys_of_an_embedding_datastore(series, windows):
    embeddings = np.random.default_rng(1).normal(size=(len(windows), 4)).astype(np.float32)
    store = Datastore.build(
        embeddings,
        windows,
        series,
        key=KeyConfig("embedding"),
        index_kind="flat",
        same_channel=True,
    )
    found = find_neighbours(store, embeddings, windows, series, **SETTINGS)
    expected, _ = store.search(embeddings, windows, series, k=6, embargo="overlap")
    np.testing.assert_array_equal(found.position, expected)


def test_more_neighbours_than_there_are_is_an_error(series, windows, build_store):
    store = build_store(series, windows)
    with pytest.raises(ValueError, match=r"k = 900 .* holds at most \d+ windows"):
        find_neighbours(
            store, np.zeros((len(windows), 1)), windows, series, **{**SETTINGS, "k": 900}
        )


class BrokenError(RuntimeError):
    pass


def test_a_killed_search_resumes_to_the_same_answer(
    series, windows, build_store, tmp_path, monkeypatch
):
    store, cache = build_store(series, windows), ShardCache(tmp_path)
    embeddings = np.zeros((len(windows), 1), np.float32)
    expected = find_neighbours(store, embeddings, windows, series, **SETTINGS)
    plain, calls = Datastore.search, []

    def search(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise BrokenError
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(Datastore, "search", search)

    def run():
        return find_neighbours(store, embeddings, windows, series, **SETTINGS, cache=cache)

    with pytest.raises(BrokenError):
        run()
    resumed = run()
    assert len(calls) == 3 + -(-len(windows) // 50) - 2
    np.testing.assert_array_equal(resumed.position, expected.position)
    np.testing.assert_array_equal(resumed.weight, expected.weight)


@pytest.mark.parametrize(
    "change",
    [
        "k",
        "temperature",
        "embargo",
        "index",
        "channels",
        "calendar",
        "embeddings",
        "stored",
        "scale",
        "horizon",
    ],
)
def test_shards_of_other_settings_are_never_reused(change, series, windows, build_store, tmp_path):
    cache, chosen = ShardCache(tmp_path), dict(SETTINGS)
    embeddings = np.zeros((len(windows), 1), np.float32)
    store = build_store(series, windows)
    find_neighbours(store, embeddings, windows, series, **chosen, cache=cache)
    before = {p.name for p in tmp_path.iterdir()}
    if change in ("k", "temperature", "embargo"):
        chosen |= {"k": 5} if change == "k" else {}
        chosen |= {"temperature": 0.5} if change == "temperature" else {}
        chosen |= {"embargo": "causal"} if change == "embargo" else {}
    elif change == "index":
        store = build_store(series, windows, index_kind="hnsw")
    elif change == "channels":
        store = build_store(series, windows, same_channel=False)
    elif change == "calendar":
        series = replace(series, calendar=series.calendar + np.array([0, 7]))
        store = build_store(series, windows)
    elif change == "horizon":
        windows = replace(windows, horizon=windows.horizon - 1)
    elif change == "stored":
        store = replace(store, calendar=store.calendar + 1)
    elif change == "scale":
        store = replace(store, scaler=replace(store.scaler, scale=2 * store.scaler.scale))
    else:
        embeddings = embeddings + 1
    resumed = find_neighbours(store, embeddings, windows, series, **chosen, cache=cache)
    assert not before & {p.name for p in tmp_path.iterdir()}
    fresh = find_neighbours(store, embeddings, windows, series, **chosen)
    np.testing.assert_array_equal(resumed.position, fresh.position)


def test_queries_of_another_channel_are_searched_again(series, windows, build_store, tmp_path):
    series = replace(series, channel=np.array(["a", "b"], dtype=object))
    store, cache = build_store(series, windows), ShardCache(tmp_path)
    embeddings = np.zeros((len(windows), 1), np.float32)
    find_neighbours(store, embeddings, windows, series, **SETTINGS, cache=cache)
    other = replace(series, channel=series.channel[::-1].copy())
    found = find_neighbours(store, embeddings, windows, other, **SETTINGS, cache=cache)
    fresh = find_neighbours(store, embeddings, windows, other, **SETTINGS)
    np.testing.assert_array_equal(found.position, fresh.position)


def test_no_query_is_no_neighbour(series, windows, build_store):
    none = windows.take(slice(0, 0))
    found = find_neighbours(
        build_store(series, windows), np.zeros((0, 1), np.float32), none, series, **SETTINGS
    )
    assert found.position.shape == (0, 6)
    assert found.summary()["mean_confidence"] == 0.0


def test_take_and_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    found = neighbours_of(
        rng.integers(-1, 9, (7, 4)), rng.random((7, 4)), 2, nearest=rng.random(7), kind="distance"
    )
    found.save_pretrained(tmp_path / "found")
    loaded = Neighbours.from_pretrained(tmp_path / "found")
    np.testing.assert_array_equal(loaded.position, found.position)
    np.testing.assert_array_equal(loaded.weight, found.weight)
    np.testing.assert_array_equal(loaded.nearest, found.nearest)
    np.testing.assert_array_equal(loaded.confidence, found.confidence)
    assert (loaded.k_min, loaded.confidence_kind) == (2, "distance")
    taken = loaded.take(np.array([5, 1]))
    np.testing.assert_array_equal(taken.position, found.position[[5, 1]])


def test_few_bytes_a_window(tmp_path):
    count, k = 2000, 20
    found = neighbours_of(np.zeros((count, k)), np.full((count, k), 1 / k), 5)
    found.save_pretrained(tmp_path / "found")
    size = sum(file.stat().st_size for file in (tmp_path / "found").iterdir())
    assert 160 * count < size <= 170 * count


def test_query_batches_cover_everything_once():
    slices = list(query_batches(10, 4))
    assert [(s.start, s.stop) for s in slices] == [(0, 4), (4, 8), (8, 10)]
