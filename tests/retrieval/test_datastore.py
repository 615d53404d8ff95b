from dataclasses import replace

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import series_of, windows_over
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.keys import KeyConfig, KeyPart, KeyScaler, make_keys
from tsmemory.series.windows import Windows

L, H = 12, 4
SPAN = L + H
MODES = ("overlap", "causal", "self")


def three_sites(lengths=(120, 90, 150), calendar=(0, 40, 15), channels=("t", "t", "w")):
    rows = [np.zeros(n) for n in lengths]
    return series_of(rows, channels=list(channels), calendar=list(calendar))


def keys_of(windows, seed=0, dimension=3):
    """Keys that drift slowly with the window, as those of overlapping windows do."""
    rng = np.random.default_rng(seed)
    phase = windows.start[:, None] / rng.uniform(8, 40, dimension) + windows.row[:, None]
    noise = rng.normal(0, 0.05, (len(windows), dimension))
    return (np.sin(phase) + noise).astype(np.float32)


def build(series, windows, keys, *, same_channel=True, kind="flat"):
    return Datastore.build(
        keys, windows, series, key=KeyConfig("window"), index_kind=kind, same_channel=same_channel
    )


def admissible(store, windows, series, embargo, same_channel):
    """Mask ``(B, n)`` written from METHOD 1.3."""
    calendar, stored = windows.calendar(series)[:, None], store.calendar[None]
    if embargo == "overlap":
        mask = np.abs(stored - calendar) >= SPAN
    elif embargo == "causal":
        mask = stored + SPAN <= calendar + L
    else:
        mask = stored != calendar
    if same_channel:
        mask &= series.channel[windows.row][:, None] == series.channel[store.row][None]
    return mask


def brute_force(store_keys, query_keys, mask, k):
    square = ((query_keys[:, None].astype(np.float64) - store_keys[None]) ** 2).sum(axis=2)
    square = np.where(mask, square, np.inf)
    nearest = np.sort(square, axis=1)[:, :k]
    missing = np.full((len(square), max(k - square.shape[1], 0)), np.inf)
    return np.sqrt(np.concatenate([nearest, missing], axis=1)), np.sqrt(square)


def check_against_brute_force(store, series, keys, queries, query_keys, *, k, embargo, same):
    position, distance = store.search(query_keys, queries, series, k=k, embargo=embargo)
    mask = admissible(store, queries, series, embargo, same)
    expected, every = brute_force(store.scaler(keys), store.scaler(query_keys), mask, k)
    np.testing.assert_allclose(distance, expected, atol=2e-3)
    found = position >= 0
    np.testing.assert_array_equal(found, np.isfinite(expected))
    line = np.broadcast_to(np.arange(len(queries))[:, None], position.shape)
    assert mask[line[found], position[found]].all()
    np.testing.assert_allclose(every[line[found], position[found]], expected[found], atol=2e-3)
    for chosen, there in zip(position, found, strict=True):
        assert len(set(chosen[there])) == there.sum()
    return position


def in_stored_order(store, windows, keys):
    """The keys of the windows in the order in which the datastore keeps them."""
    place = {(r, s): i for i, (r, s) in enumerate(zip(windows.row, windows.start, strict=True))}
    return keys[[place[r, s] for r, s in zip(store.row, store.start, strict=True)]]


@pytest.mark.parametrize("embargo", MODES)
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("k", [1, 7, 400])
def test_exact_search_against_brute_force(embargo, same, k):
    series = three_sites()
    windows = windows_over(series, L, H)
    keys = keys_of(windows)
    store = build(series, windows, keys, same_channel=same)
    assert len(windows) > 256  # more than one block of queries
    stored = in_stored_order(store, windows, keys)
    shuffled = np.random.default_rng(1).permutation(len(windows))
    queries = windows.take(shuffled)
    position = check_against_brute_force(
        store, series, stored, queries, keys[shuffled], k=k, embargo=embargo, same=same
    )
    assert (k == 400) == (position == -1).any() or embargo == "causal"


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(SPAN, 60), min_size=1, max_size=4),
    offsets=st.lists(st.integers(0, 80), min_size=4, max_size=4),
    stride=st.integers(1, 9),
    k=st.integers(1, 12),
    embargo=st.sampled_from(MODES),
    same=st.booleans(),
    seed=st.integers(0, 5),
)
def test_search_of_any_layout_against_brute_force(lengths, offsets, stride, k, embargo, same, seed):
    channels = ("t", "w", "t", "all")[: len(lengths)]
    series = three_sites(lengths, offsets[: len(lengths)], channels)
    windows = windows_over(series, L, H, stride=stride)
    keys = keys_of(windows, seed)
    store = build(series, windows, keys, same_channel=same)
    queries = windows_over(series, L, H)
    check_against_brute_force(
        store,
        series,
        in_stored_order(store, windows, keys),
        queries,
        keys_of(queries, seed + 1),
        k=k,
        embargo=embargo,
        same=same,
    )


@pytest.mark.parametrize("same", [True, False])
def test_no_neighbour_knows_a_step_of_the_query(same):
    """An invariant of METHOD 1.3, on every series' own calendar."""
    series = three_sites()
    windows = windows_over(series, L, H)
    keys = keys_of(windows)
    store = build(series, windows, keys, same_channel=same)
    position, _ = store.search(keys, windows, series, k=10, embargo="overlap")
    row, start = store.neighbour_windows(position)
    begin = series.calendar[row] + start
    query = windows.calendar(series)[:, None]
    apart = (begin + SPAN <= query) | (query + SPAN <= begin)
    assert apart[position >= 0].all()
    assert (position >= 0).sum() > 0.9 * position.size


def test_causal_neighbours_are_over_at_the_origin():
    series = three_sites()
    windows = windows_over(series, L, H)
    keys = keys_of(windows)
    store = build(series, windows, keys, same_channel=False)
    position, _ = store.search(keys, windows, series, k=5, embargo="causal")
    row, start = store.neighbour_windows(position)
    over = series.calendar[row] + start + SPAN <= (windows.calendar(series) + L)[:, None]
    assert over[position >= 0].all()
    first = windows.calendar(series) < SPAN - L
    assert (position[first] == -1).all()


def test_queries_of_an_unknown_channel_find_nothing():
    series = three_sites()
    windows = windows_over(series, L, H)
    keys = keys_of(windows)
    store = build(series, windows, keys)
    strange = three_sites(channels=("other", "t", "w"))
    position, distance = store.search(keys, windows, strange, k=3, embargo="overlap")
    assert (position[windows.row == 0] == -1).all()
    assert np.isinf(distance[windows.row == 0]).all()
    assert (position[windows.row > 0] >= 0).all()


def test_a_channel_without_stored_windows_is_an_empty_group():
    series = three_sites()
    windows = windows_over(series, L, H)
    some = windows.take(np.flatnonzero(windows.row < 2))
    store = build(series, some, keys_of(some))
    assert store.summary()["groups"] == {"t": len(some), "w": 0}
    position, _ = store.search(keys_of(windows), windows, series, k=3, embargo="self")
    assert (position[windows.row == 2] == -1).all()


def test_queries_after_all_stored_windows_see_everything():
    series = three_sites()
    windows = windows_over(series, L, H)
    keys = keys_of(windows)
    early = windows.take(np.flatnonzero(windows.start < 30))
    store = build(series, early, keys[windows.start < 30])
    late = windows.take(np.flatnonzero(windows.start > 90))
    found = [
        store.search(keys[windows.start > 90], late, series, k=5, embargo=mode)[0] for mode in MODES
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_approximate_indexes_record_their_recall_and_keep_k_neighbours(kind):
    series = three_sites((900, 700, 400), (0, 100, 50))
    windows = windows_over(series, L, H)
    keys = keys_of(windows)
    store = build(series, windows, keys, kind=kind)
    exact = build(series, windows, keys)
    assert exact.recall == 1.0
    assert 0.5 < store.recall <= 1.0
    found, distance = store.search(keys, windows, series, k=20, embargo="overlap")
    expected, best = exact.search(keys, windows, series, k=20, embargo="overlap")
    assert ((found >= 0) == (expected >= 0)).all()
    row, start = store.neighbour_windows(found)
    query = windows.calendar(series)[:, None]
    assert (np.abs(series.calendar[row] + start - query) >= SPAN)[found >= 0].all()
    share = np.mean([len(np.intersect1d(a, b)) / 20 for a, b in zip(found, expected, strict=True)])
    assert share > 0.4
    assert (distance >= best - 2e-3).all()


def test_auto_is_exact_up_to_a_limit(monkeypatch):
    series = three_sites()
    windows = windows_over(series, L, H)
    keys = keys_of(windows)
    assert build(series, windows, keys, kind="auto").index_kind == "flat"
    monkeypatch.setattr("tsmemory.retrieval.datastore.FLAT_LIMIT", 100)
    assert build(series, windows, keys, kind="auto").index_kind == "ivf"


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_it_survives_a_round_trip(kind, tmp_path):
    series = three_sites((400, 300, 200))
    windows = windows_over(series, L, H)
    keys = keys_of(windows)
    store = build(series, windows, keys, kind=kind)
    store.save_pretrained(tmp_path / "store")
    loaded = Datastore.from_pretrained(tmp_path / "store")
    assert loaded.summary() == store.summary()
    np.testing.assert_array_equal(loaded.scaler.scale, store.scaler.scale)
    assert loaded.key == store.key
    before = store.search(keys, windows, series, k=9, embargo="overlap")
    after = loaded.search(keys, windows, series, k=9, embargo="overlap")
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1], before[1])


def test_keys_are_scaled_by_the_stored_ones():
    series = three_sites()
    windows = windows_over(series, L, H)
    keys = 100 * keys_of(windows) + 7
    store = build(series, windows, keys)
    scaler = KeyScaler.fit(keys, (KeyPart(3, 1.0),))
    np.testing.assert_array_equal(store.scaler.mean, scaler.mean)
    plain = build(series, windows, keys_of(windows))
    found = store.search(keys, windows, series, k=4, embargo="overlap")
    expected = plain.search(keys_of(windows), windows, series, k=4, embargo="overlap")
    np.testing.assert_allclose(found[1], expected[1], atol=2e-3)


def test_the_order_of_windows_is_group_calendar_row():
    series = three_sites()
    windows = windows_over(series, L, H)
    store = build(series, windows, keys_of(windows))
    code = np.unique(series.channel.astype(str), return_inverse=True)[1][store.row]
    order = np.lexsort((store.row, store.calendar, code))
    np.testing.assert_array_equal(order, np.arange(len(store)))
    assert store.group_names == ("t", "w")


def test_an_empty_batch_of_queries():
    series = three_sites()
    windows = windows_over(series, L, H)
    store = build(series, windows, keys_of(windows))
    none: Windows = windows.take(slice(0, 0))
    position, distance = store.search(
        np.empty((0, 3), np.float32), none, series, k=3, embargo="overlap"
    )
    assert position.shape == distance.shape == (0, 3)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(SPAN, 90), min_size=1, max_size=3),
    offsets=st.lists(st.integers(0, 60), min_size=3, max_size=3),
    stride=st.integers(1, 4),
    k=st.integers(1, 60),
    embargo=st.sampled_from(MODES),
    same=st.booleans(),
    kind=st.sampled_from(["ivf", "hnsw"]),
)
def test_approximate_search_loses_no_admissible_window(
    lengths, offsets, stride, k, embargo, same, kind
):
    """As many as there are up to K, none twice, all admissible and at their true distance."""
    channels = ("t", "w", "t")[: len(lengths)]
    series = three_sites(lengths, offsets[: len(lengths)], channels)
    windows = windows_over(series, L, H, stride=stride)
    keys = keys_of(windows)
    store = build(series, windows, keys, same_channel=same, kind=kind)
    assert 0 <= store.recall <= 1
    queries = windows_over(series, L, H)
    asked = keys_of(queries, 3)
    position, distance = store.search(asked, queries, series, k=k, embargo=embargo)
    mask = admissible(store, queries, series, embargo, same)
    scaled = store.scaler(in_stored_order(store, windows, keys))
    best, every = brute_force(scaled, store.scaler(asked), mask, k)
    for number, (chosen, away) in enumerate(zip(position, distance, strict=True)):
        there = chosen[chosen >= 0]
        assert len(set(there)) == len(there) == min(k, mask[number].sum())
        assert mask[number, there].all()
        np.testing.assert_allclose(away[chosen >= 0], every[number, there], atol=2e-3)
        assert np.isinf(away[chosen < 0]).all()
        if mask[number].sum() <= k:  # all there are, as the exact search finds them
            np.testing.assert_allclose(away, best[number], atol=2e-3)


def test_a_graph_that_leads_nowhere_still_finds_what_is_there():
    """Two far clusters: the one that is admissible need not be reached from the other."""
    series = three_sites((900,), (0,), ("t",))
    windows = windows_over(series, L, H)
    rng = np.random.default_rng(0)
    keys = rng.normal(0, 0.01, (len(windows), 3)).astype(np.float32)
    keys[windows.start < 20] += 100
    store = build(series, windows, keys, kind="hnsw")
    late = windows.take(np.flatnonzero(windows.start >= 800))
    position, _ = store.search(keys[windows.start >= 800], late, series, k=500, embargo="causal")
    assert (position >= 0).all()


def test_recall_is_that_under_the_embargo():
    """The nearest keys are those beside a query in time; an index may find them and little else."""
    series = three_sites((900, 700, 400), (0, 100, 50))
    windows = windows_over(series, L, H)
    keys = keys_of(windows)
    for kind in ("ivf", "hnsw"):
        store = build(series, windows, keys, kind=kind)
        exact = build(series, windows, keys)
        options = {"k": 20, "embargo": "overlap"}
        found, _ = store.search(keys, windows, series, **options)
        expected, _ = exact.search(keys, windows, series, **options)
        pairs = zip(found, expected, strict=True)
        shares = [len(np.intersect1d(a, b)) / 20 for a, b in pairs]
        assert store.recall == pytest.approx(np.mean(shares), abs=0.05)
        assert store.summary()["recall_at_20"] == store.recall


def test_series_between_each_others_steps_are_kept_a_step_further_apart():
    series = three_sites((200, 200), (0, 1), ("t", "t"))
    half = np.array([0, 30]) * np.timedelta64(1, "m")
    series = replace(series, begin=series.begin[0] + half)  # places on the calendar are rounded up
    windows = windows_over(series, L, H)
    keys = keys_of(windows)
    store = build(series, windows, keys, same_channel=False)
    hour = np.timedelta64(1, "h")
    begin = series.timestamps(windows.row, windows.start)
    for embargo in ("overlap", "causal"):
        position, _ = store.search(keys, windows, series, k=300, embargo=embargo)
        stored = series.timestamps(*(a.ravel() for a in store.neighbour_windows(position)))
        stored = stored.reshape(position.shape)
        over = stored + SPAN * hour <= begin[:, None] + (L if embargo == "causal" else 0) * hour
        apart = over if embargo == "causal" else over | (begin[:, None] + SPAN * hour <= stored)
        assert apart[position >= 0].all()
        assert (position >= 0).any()


@pytest.mark.parametrize("kind", ["window", "tail"])
def test_keys_with_features_are_searched_across_items_of_different_length(kind):
    series = three_sites((120, 60, 90), (0, 40, 15))
    series = replace(series, flat=np.random.default_rng(0).normal(size=270).astype(np.float32))
    windows = windows_over(series, L, H)
    config = KeyConfig(kind, tail_length=5, phase_weight=0.4, statistics_weight=0.7)
    keys = make_keys(config, None, windows, series)
    store = Datastore.build(
        keys, windows, series, key=config, index_kind="flat", same_channel=False
    )
    stored = in_stored_order(store, windows, keys)
    check_against_brute_force(
        store, series, stored, windows, keys, k=9, embargo="overlap", same=False
    )


def test_the_graph_does_not_depend_on_threads(tmp_path):
    series = three_sites((900, 700, 400))
    windows = windows_over(series, L, H)
    keys = keys_of(windows)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        for name in ("one", "other"):
            build(series, windows, keys, kind="hnsw").save_pretrained(tmp_path / name)
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(threads)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "other" / file.name).read_bytes()
