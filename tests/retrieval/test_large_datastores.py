"""What only large datastores need: parts of keys, lists that are looked into, mapped files."""

import pickle

import numpy as np
import pytest

from builders import series_of, windows_over
from tsmemory.retrieval import nearest
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.keys import KeyConfig, KeyPart, KeyScaler, ScaledKeys
from tsmemory.retrieval.matrix import stored_keys
from tsmemory.scaleout.payload import pack, unpack


@pytest.fixture
def series():
    return series_of([np.zeros(700), np.zeros(600)], calendar=[0, 30])


@pytest.fixture
def windows(series):
    return windows_over(series, 12, 4)


@pytest.fixture
def keys(windows):
    """A few places with many keys around each, so that lists mean something."""
    rng = np.random.default_rng(0)
    place = rng.normal(size=(30, 8))[rng.integers(0, 30, len(windows))]
    return (place + rng.normal(0, 0.2, place.shape)).astype(np.float32)


def build(keys, windows, series, kind):
    return Datastore.build(
        keys, windows, series, key=KeyConfig("window"), index_kind=kind, same_channel=True
    )


def search(store, keys, windows, series):
    return store.search(keys, windows, series, k=9, embargo="overlap")


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_keys_are_added_part_by_part(kind, keys, windows, series, monkeypatch):
    whole = build(keys, windows, series, kind)
    monkeypatch.setattr(nearest, "_PART", 100)
    parts = build(keys, windows, series, kind)
    for one, other in zip(whole.indexes, parts.indexes, strict=True):
        np.testing.assert_array_equal(stored_keys(one), stored_keys(other))
    assert whole.recall == parts.recall


def test_scaled_keys_are_those_of_the_group(keys):
    scaler = KeyScaler.fit(keys, (KeyPart(8, 1.0),))
    order = np.arange(len(keys))[::-3]
    scaled = ScaledKeys(keys, order, scaler)
    assert scaled.shape == (len(order), 8)
    np.testing.assert_array_equal(scaled[5:9], scaler(keys[order[5:9]]))
    np.testing.assert_array_equal(scaled[np.array([2, 0])], scaler(keys[order[[2, 0]]]))


def test_as_many_lists_are_looked_into_as_recall_needs(keys, windows, series, monkeypatch):
    monkeypatch.setattr(nearest, "_FEWEST_PROBES", 1)
    store = build(keys, windows, series, "ivf")
    assert store.recall >= nearest._RECALL_AIM
    assert 1 < store.indexes[0].nprobe < store.indexes[0].nlist
    exact = build(keys, windows, series, "flat")
    expected, _ = search(exact, keys, windows, series)
    found, _ = search(store, keys, windows, series)
    pairs = zip(expected, found, strict=True)
    assert np.mean([len(np.intersect1d(a, b)) / 9 for a, b in pairs]) > 0.98


def test_a_sample_is_always_the_same():
    sample = nearest._sample(1000, 50)
    np.testing.assert_array_equal(sample, nearest._sample(1000, 50))
    assert len(np.unique(sample)) == 50
    assert sample.max() > 900
    np.testing.assert_array_equal(nearest._sample(9, 50), np.arange(9))


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_a_mapped_datastore_says_the_same(kind, keys, windows, series, tmp_path):
    store = build(keys, windows, series, kind)
    store.save_pretrained(tmp_path / "store")
    mapped = Datastore.from_pretrained(tmp_path / "store", mapped=True)
    assert mapped.folder == tmp_path / "store"
    for ours, theirs in zip(
        search(mapped, keys, windows, series), search(store, keys, windows, series), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_processes_share_the_files_of_a_datastore(kind, keys, windows, series, tmp_path):
    store = build(keys, windows, series, kind)
    shared = unpack(pack(store, same_machine=True, folder=tmp_path))
    assert shared.folder == tmp_path / "part_001"
    again = unpack(pack(shared, same_machine=True, folder=tmp_path))
    assert again.folder == shared.folder  # it lies there already
    for found in (shared, again, pickle.loads(pickle.dumps(store))):
        for ours, theirs in zip(
            search(found, keys, windows, series), search(store, keys, windows, series), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
