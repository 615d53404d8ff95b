"""Nearest keys in faiss, exact or approximate, with a stretch of positions hidden per query."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.retrieval.keys import Float
from tsmemory.retrieval.matrix import nearest_in_blocks

Positions = NDArray[np.int64]

_RECALL_QUERIES = 256
_RECALL_K = 20
_RECALL_AIM = 0.995  # on the sample, so that others find .99 as well
_BLOCK = 256  # queries that share one selector
_FEWEST_PROBES = 8  # an embargo hides most of the lists beside a query
_POINTS_A_LIST = 64  # that its centre is found from; faiss asks for 39 at least
_PART = 1 << 16  # keys that are scaled and added at once
_EXCESS = 1024  # positions that may be fetched in excess because a block's stretches differ
_faiss: Any = faiss  # its type stubs do not know keyword arguments nor every class


class Keys(Protocol):
    """Scaled keys, ``(n, d)``: an array, or what makes parts of one when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, d)``."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, which: Any, /) -> Any: ...


def make_index(keys: Keys, kind: str) -> Any:
    """A faiss index over the keys, positions being their order.

    Args:
        keys: Scaled keys. Shape ``(n, d)``.
        kind: ``flat``, ``ivf`` or ``hnsw``.

    Returns:
        The index, under squared Euclidean distance.
    """
    size, dimension = keys.shape
    if kind == "hnsw" and size:
        index = _faiss.IndexHNSWFlat(dimension, 32)
        index.hnsw.efSearch = 128
        with _one_thread():  # or the graph would depend on which thread came first
            index.add(keys[:])
        return index
    if kind == "ivf" and size:
        lists = max(1, min(int(4 * np.sqrt(size)), size // 39))
        index = _faiss.index_factory(dimension, f"IVF{lists},Flat")
        index.train(keys[_sample(size, lists * _POINTS_A_LIST)])
        index.nprobe = min(lists, _FEWEST_PROBES)
    else:
        index = _faiss.IndexFlatL2(dimension)
    for part in _parts(size):
        index.add(keys[part])
    return index


def write_index(index: Any, path: Path) -> None:
    """Write an index as faiss does."""
    _faiss.write_index(index, str(path))


def read_index(path: Path, *, mapped: bool = False) -> Any:
    """Read what :func:`write_index` wrote.

    Args:
        path: The file.
        mapped: Leave keys in the file, which must stay as it is: several processes then share the
            memory that it takes.
    """
    if not mapped:
        return _faiss.read_index(str(path))
    try:
        return _faiss.read_index(str(path), _faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError:  # a kind that faiss cannot map in this way
        return _faiss.read_index(str(path))


def search_admissible(
    index: Any, keys: Float, low: Positions, high: Positions, k: int
) -> tuple[Positions, Float]:
    """The ``k`` nearest of each query outside the stretch ``[low, high)`` that is hidden from it.

    An approximate index that stops looking before it has left the stretch behind is searched again
    to its end, so that ``k`` neighbours remain wherever they exist (METHOD 1.3).

    Args:
        index: Where to search.
        keys: Scaled keys of the queries, best of similar stretches. Shape ``(B, d)``.
        low: First hidden position of each query. Shape ``(B,)``.
        high: The position after the last hidden one. Shape ``(B,)``.
        k: Neighbours asked for.

    Returns:
        Positions, ``-1`` where fewer than ``k`` are admissible, and squared distances, ``inf``
        there. Both of shape ``(B, k)``, nearest first.
    """
    position, square = _search(index, keys, low, high, k, exhaustive=False)
    there = np.minimum(k, index.ntotal - (high - low))
    short = np.flatnonzero((position >= 0).sum(axis=1) < there)
    if len(short):
        again = _search(index, keys[short], low[short], high[short], k, exhaustive=True)
        position[short], square[short] = again
    return position, square


def query_blocks(low: Positions, high: Positions) -> Iterator[slice]:
    """Consecutive queries whose hidden stretches differ little, so that they are searched at once.

    Args:
        low: First hidden position of each query, ascending. Shape ``(B,)``.
        high: The position after the last hidden one, ascending. Shape ``(B,)``.

    Yields:
        Slices that cover the queries in order. What has to be fetched in excess for a block, and
        with it memory, is bounded however many windows share a stretch of the calendar.
    """
    first = 0
    while first < len(low):
        most = slice(first, first + _BLOCK)
        shared = np.maximum(high[first] - low[most], 0)
        excess = np.maximum.accumulate(high[most] - low[most]) - shared
        fitting = int(np.argmax(excess > _EXCESS)) if (excess > _EXCESS).any() else len(excess)
        yield slice(first, first + max(fitting, 1))
        first += max(fitting, 1)


def recall(index: Any, keys: Keys, low: Positions, high: Positions) -> list[float]:
    """Share of the exact nearest neighbours that an index finds, for a sample of its own keys.

    An index of lists looks into as many of them from then on as the sample needs.

    Args:
        index: The index.
        keys: The scaled keys in it. Shape ``(n, d)``.
        low: First position that is hidden from each key, ascending. Shape ``(n,)``.
        high: The position after the last one. Shape ``(n,)``.

    Returns:
        The share for each key of the sample that may see others. Where an embargo hides all keys
        from each other, each is hidden only from itself.
    """
    own = np.arange(0, len(keys), max(1, len(keys) // _RECALL_QUERIES))
    low, high = low[own], high[own]
    if (high - low >= len(keys)).all():
        low, high = own, own + 1
    queries = np.ascontiguousarray(keys[own])
    exact = _exact(keys, queries, low, high)
    shares = _shares(index, queries, low, high, exact)
    if not isinstance(index, _faiss.IndexIVF):
        return shares
    while shares and np.mean(shares) < _RECALL_AIM and index.nprobe < index.nlist:
        index.nprobe = min(index.nlist, index.nprobe + max(1, index.nprobe // 2))
        shares = _shares(index, queries, low, high, exact)
    return shares


def _exact(keys: Keys, queries: Float, low: Positions, high: Positions) -> Positions:
    """Positions of the exact nearest neighbours, ``-1`` where there are fewer. ``(B, 20)``."""
    found = nearest_in_blocks(
        ((part.start, torch.from_numpy(keys[part])) for part in _parts(len(keys))),
        torch.from_numpy(queries),
        torch.from_numpy(low),
        torch.from_numpy(high),
        _RECALL_K,
    )
    exact: Positions = found.numpy()
    return exact


def _shares(
    index: Any, queries: Float, low: Positions, high: Positions, exact: Positions
) -> list[float]:
    """Share of the exact neighbours that are found, for each query that has any."""
    shares = []
    for block in query_blocks(low, high):
        found, _ = search_admissible(index, queries[block], low[block], high[block], _RECALL_K)
        for wanted, got in zip(exact[block], found, strict=True):
            wanted = wanted[wanted >= 0]
            shares += [len(np.intersect1d(wanted, got)) / len(wanted)] if len(wanted) else []
    return shares


def _sample(size: int, count: int) -> Positions:
    """Positions of at most so many keys, drawn evenly and always alike, ascending."""
    if count >= size:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, count, replace=False))


def _parts(size: int) -> Iterator[slice]:
    """Keys that are held at once, so that memory does not grow with their number."""
    for first in range(0, size, _PART):
        yield slice(first, min(first + _PART, size))


def _search(
    index: Any, keys: Float, low: Positions, high: Positions, k: int, *, exhaustive: bool
) -> tuple[Positions, Float]:
    """One pass over the index.

    What is hidden from all queries is hidden from faiss by one selector; what is hidden from some
    is fetched in excess and dropped.
    """
    shared_low, shared_high = int(low.max()), int(high.min())
    shared = max(shared_high - shared_low, 0)
    excess = int((high - low).max()) - shared
    fetch = min(k + excess, index.ntotal - shared)
    position = np.full((len(keys), k), -1, dtype=np.int64)
    square = np.full((len(keys), k), np.inf, dtype=np.float32)
    if fetch <= 0:
        return position, square
    searched = _whole(index) if exhaustive else index
    settings = _settings(searched, shared_low, shared_low + shared, exhaustive=exhaustive)
    found_square, found = searched.search(keys, fetch, params=settings)
    hidden = (found >= low[:, None]) & (found < high[:, None]) | (found < 0)
    order = np.argsort(hidden, axis=1, kind="stable")[:, :k]
    width = order.shape[1]
    kept = ~np.take_along_axis(hidden, order, axis=1)
    position[:, :width] = np.where(kept, np.take_along_axis(found, order, axis=1), -1)
    square[:, :width] = np.where(kept, np.take_along_axis(found_square, order, axis=1), np.inf)
    return position, square


def _settings(index: Any, low: int, high: int, *, exhaustive: bool) -> Any:
    """Search parameters that hide positions ``[low, high)``; an empty stretch hides nothing."""
    options: dict[str, Any] = {}
    if high > low:
        options["sel"] = _faiss.IDSelectorNot(_faiss.IDSelectorRange(low, high))
    if isinstance(index, _faiss.IndexIVF):
        probes = index.nlist if exhaustive else index.nprobe
        return _faiss.SearchParametersIVF(nprobe=probes, **options)
    if isinstance(index, _faiss.IndexHNSW):
        return _faiss.SearchParametersHNSW(efSearch=index.hnsw.efSearch, **options)
    return _faiss.SearchParameters(**options)


def _whole(index: Any) -> Any:
    """What finds every key: of a graph, parts of which no path may lead to, the keys beneath it."""
    if isinstance(index, _faiss.IndexHNSW):
        return _faiss.downcast_index(index.storage)
    return index


@contextmanager
def _one_thread() -> Iterator[None]:
    """Hold faiss to one thread."""
    threads = _faiss.omp_get_max_threads()
    _faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        _faiss.omp_set_num_threads(threads)
