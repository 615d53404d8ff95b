"""Nearest keys in faiss, exact or approximate, with a stretch of positions hidden per query."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from tsmemory.retrieval.keys import Float

Positions = NDArray[np.int64]

_RECALL_QUERIES = 256
_RECALL_K = 20
_faiss: Any = faiss  # its type stubs do not know keyword arguments nor every class


def make_index(keys: Float, kind: str) -> Any:
    """A faiss index over the keys, positions being their order.

    Args:
        keys: Scaled keys. Shape ``(n, d)``.
        kind: ``flat``, ``ivf`` or ``hnsw``.

    Returns:
        The index, under squared Euclidean distance.
    """
    size, dimension = keys.shape
    if kind == "flat" or size == 0:
        index = _faiss.IndexFlatL2(dimension)
    elif kind == "hnsw":
        index = _faiss.IndexHNSWFlat(dimension, 32)
        index.hnsw.efSearch = 128
    else:
        lists = max(1, min(int(4 * np.sqrt(size)), size // 39))
        index = _faiss.index_factory(dimension, f"IVF{lists},Flat")
        index.train(keys)
        index.nprobe = max(1, lists // 16)
    index.add(keys)
    return index


def write_index(index: Any, path: Path) -> None:
    """Write an index as faiss does."""
    _faiss.write_index(index, str(path))


def read_index(path: Path) -> Any:
    """Read what :func:`write_index` wrote."""
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


def recall(indexes: tuple[Any, ...], parts: list[Float]) -> float:
    """Share of the exact nearest neighbours that approximate indexes find, on a sample of keys.

    Each key of the sample is hidden from its own search, or it would find itself for nothing.
    """
    shares = []
    for index, keys in zip(indexes, parts, strict=True):
        k = min(_RECALL_K, len(keys) - 1)
        if k < 1:
            continue
        own = np.arange(0, len(keys), max(1, len(keys) // _RECALL_QUERIES))
        exact, found = (
            _search(searched, keys[own], own, own + 1, k, exhaustive=False)[0]
            for searched in (make_index(keys, "flat"), index)
        )
        shares += [len(np.intersect1d(a, b)) / k for a, b in zip(exact, found, strict=True)]
    return float(np.mean(shares)) if shares else 1.0


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
    settings = _settings(index, shared_low, shared_low + shared, exhaustive=exhaustive)
    found_square, found = index.search(keys, fetch, params=settings)
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
        breadth = index.ntotal if exhaustive else index.hnsw.efSearch
        return _faiss.SearchParametersHNSW(efSearch=breadth, **options)
    return _faiss.SearchParameters(**options)
