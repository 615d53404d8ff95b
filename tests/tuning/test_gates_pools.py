from dataclasses import replace

import numpy as np
import pytest

from domains import small_domain
from tsmemory.retrieval.keys import make_keys
from tsmemory.teacher.neighbours import find_neighbours
from tsmemory.tuning.gates.pools import Pool, key_kinds, largest_pool, with_keys, without_index
from tsmemory.tuning.gates.settings import TeacherSettings


@pytest.fixture(scope="module")
def domain():
    return small_domain()


def searched(domain, store, teacher, k, temperature):
    """The slow way: search anew for exactly these neighbours."""
    return find_neighbours(
        store,
        domain.train.forecasts.keys,
        domain.train_windows,
        domain.series,
        k=k,
        k_min=teacher.k_min,
        temperature=temperature,
        embargo=teacher.embargo,
        shard_size=50,
        rerank=teacher.rerank,
        confidence=teacher.confidence,
    )


@pytest.mark.parametrize("kind", ["window", "tail"])
@pytest.mark.parametrize(
    "teacher",
    [
        TeacherSettings(k_min=3),
        TeacherSettings(k_min=3, embargo="causal", confidence="distance"),
        TeacherSettings(k_min=2, rerank_pool=20, shift_length=8, alignment="affine"),
    ],
)
def test_cutting_the_largest_search_equals_searching(domain, kind, teacher):
    store = with_keys(domain.store, kind, domain.series)
    keys = domain.train.forecasts.keys
    pool = Pool.search(store, keys, domain.train_windows, domain.series, k=20, teacher=teacher)
    for k, temperature in ((3, 0.05), (7, 0.12), (20, 1.0)):
        found = pool.cut(
            k,
            temperature,
            datastore=without_index(domain.store),
            windows=domain.train_windows,
            series=domain.series,
            teacher=teacher,
        )
        wanted = searched(domain, store, teacher, k, temperature)
        np.testing.assert_array_equal(found.position, wanted.position)
        np.testing.assert_array_equal(found.weight, wanted.weight)
        np.testing.assert_array_equal(found.nearest, wanted.nearest)
        np.testing.assert_array_equal(found.own_nearest, wanted.own_nearest)
        np.testing.assert_array_equal(found.confidence, wanted.confidence)


def test_every_key_kind_stores_the_same_windows_in_the_same_order(domain):
    store = with_keys(domain.store, "tail", domain.series)
    assert store.key == replace(domain.store.key, kind="tail")
    for name in ("row", "start", "calendar", "group_edges"):
        np.testing.assert_array_equal(getattr(store, name), getattr(domain.store, name))
    assert with_keys(domain.store, "window", domain.series) is domain.store


def test_windows_of_all_channels_stay_together(domain):
    together = replace(
        with_keys(domain.store, "tail", domain.series), group_names=("all",)
    )  # as if it had been built so
    again = with_keys(replace(together, key=domain.store.key), "tail", domain.series)
    assert again.group_names == ("all",)
    assert largest_pool(again) == len(domain.train_windows)


def test_the_datastores_own_kind_comes_first(domain):
    assert key_kinds(domain.store) == ("window", "tail")
    embedded = replace(domain.store, key=replace(domain.store.key, kind="embedding"))
    assert key_kinds(embedded) == ("embedding", "window", "tail")


def test_no_neighbour_in_a_pool_overlaps_its_query(domain):
    windows, series = domain.train_windows, domain.series
    store = with_keys(domain.store, "tail", series)
    pool = Pool.search(
        store, domain.train.forecasts.keys, windows, series, k=20, teacher=TeacherSettings()
    )
    there = pool.position >= 0
    apart = np.abs(store.calendar[pool.position] - windows.calendar(series)[:, None])
    assert (apart[there] >= windows.context_length + windows.horizon).all()


def test_keys_look_at_contexts_alone(domain):
    """Another future of a query moves none of the kinds that are tried."""
    windows = domain.validation_windows.take(slice(0, 1))
    flat = domain.series.flat.copy()
    flat[int(domain.series.offset[windows.row[0]] + windows.origin[0]) :] += 9
    other = replace(domain.series, flat=flat)
    for kind in ("window", "tail"):
        key = replace(domain.store.key, kind=kind)
        np.testing.assert_array_equal(
            make_keys(key, None, windows, domain.series), make_keys(key, None, windows, other)
        )
