import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tsmemory.retrieval import nearest
from tsmemory.retrieval.nearest import make_index, query_blocks, recall


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), max_size=600),
)
def test_blocks_cover_the_queries_and_bound_the_excess(pairs):
    low = np.sort(np.array([a for a, _ in pairs], dtype=np.int64))
    high = np.maximum(low, np.sort(np.array([b for _, b in pairs], dtype=np.int64)))
    blocks = list(query_blocks(low, high))
    covered = np.concatenate([np.arange(len(low))[block] for block in blocks] or [[]])
    assert covered.tolist() == list(range(len(low)))
    for block in blocks:
        size = len(low[block])
        shared = max(int(high[block].min() - low[block].max()), 0)
        excess = int((high[block] - low[block]).max()) - shared
        assert 0 < size <= 256
        assert size == 1 or excess <= nearest._EXCESS


def test_alike_queries_share_a_block():
    low = np.arange(600)
    sizes = [len(low[block]) for block in query_blocks(low, low + 2000)]
    assert sizes == [256, 256, 88]


def test_recall_of_an_exact_index_is_one():
    keys = np.random.default_rng(0).normal(size=(700, 4)).astype(np.float32)
    place = np.arange(700)
    low, high = np.maximum(place - 30, 0), np.minimum(place + 31, 700)
    shares = recall(make_index(keys, "flat"), keys, low, high)
    assert len(shares) == 350
    assert min(shares) == 1


def test_recall_where_everything_is_hidden_hides_only_the_key_itself():
    keys = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    nothing, all_ = np.zeros(40, np.int64), np.full(40, 40)
    assert recall(make_index(keys, "hnsw"), keys, nothing, all_) == [1.0] * 40
    assert recall(make_index(keys[:1], "hnsw"), keys[:1], nothing[:1], all_[:1] * 0 + 1) == []
