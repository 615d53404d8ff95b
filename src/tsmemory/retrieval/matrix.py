"""Exact nearest keys by matrix products with top-k in torch: on a GPU, or as a reference."""

from collections.abc import Iterable, Iterator
from weakref import WeakKeyDictionary

import faiss
import numpy as np
import torch
from faiss.contrib.inspect_tools import get_invlist
from numpy.typing import NDArray

from tsmemory.retrieval.keys import Float

Positions = NDArray[np.int64]
_KEYS_AT_ONCE = 1 << 16
_QUERIES_AT_ONCE = 512
_SURPLUS = 8  # more than asked for, since products round more than differences do

_on_device: "WeakKeyDictionary[faiss.Index, dict[str, torch.Tensor]]" = WeakKeyDictionary()


def search_on_device(
    index: faiss.Index, keys: Float, low: Positions, high: Positions, k: int, device: str
) -> tuple[Positions, Float]:
    """The ``k`` nearest of each query outside the stretch ``[low, high)`` that is hidden from it.

    Exact whatever the kind of the index, whose keys are copied to the device once.

    Args:
        index: A faiss index, whose keys are searched.
        keys: Scaled keys of the queries. Shape ``(B, d)``.
        low: First hidden position of each query. Shape ``(B,)``.
        high: The position after the last hidden one. Shape ``(B,)``.
        k: Neighbours asked for.
        device: Torch device.

    Returns:
        Positions, ``-1`` where fewer than ``k`` are admissible, and squared distances, ``inf``
        there. Both of shape ``(B, k)``, nearest first.
    """
    position = np.full((len(keys), k), -1, np.int64)
    square = np.full((len(keys), k), np.inf, np.float32)
    if not index.ntotal:
        return position, square
    stored = _keys_on(index, device)
    for first in range(0, len(keys), _QUERIES_AT_ONCE):
        part = slice(first, first + _QUERIES_AT_ONCE)
        queries = torch.from_numpy(np.ascontiguousarray(keys[part])).to(device)
        first_hidden, end = (torch.from_numpy(np.asarray(edge[part])) for edge in (low, high))
        found = nearest_in_blocks(_blocks(stored), queries, first_hidden, end, k + _SURPLUS)
        chosen, apart = _measured(stored, queries, found, k)
        position[part], square[part] = chosen.cpu().numpy(), apart.cpu().numpy()
    return position, square


@torch.inference_mode()
def nearest_in_blocks(
    blocks: Iterable[tuple[int, torch.Tensor]],
    queries: torch.Tensor,
    low: torch.Tensor,
    high: torch.Tensor,
    k: int,
) -> torch.Tensor:
    """Positions of the nearest admissible keys, by the product form of the distance.

    Args:
        blocks: All keys: the position of each block's first one, and the block, ``(n, d)``.
        queries: Scaled keys of the queries, on the blocks' device. Shape ``(B, d)``.
        low: First hidden position of each query. Shape ``(B,)``.
        high: The position after the last hidden one. Shape ``(B,)``.
        k: How many.

    Returns:
        Positions, nearest first, ``-1`` where fewer are admissible. Shape ``(B, k)``.
    """
    device, shape = queries.device, (len(queries), k)
    best = torch.full(shape, torch.inf, device=device)
    position = torch.full(shape, -1, dtype=torch.int64, device=device)
    low, high = low.to(device)[:, None], high.to(device)[:, None]
    for first, keys in blocks:
        place = torch.arange(first, first + len(keys), device=device)
        # The query's own square is the same for all keys: it does not change their order.
        apart = torch.addmm(keys.square().sum(1), queries, keys.T, alpha=-2)
        apart.masked_fill_((place >= low) & (place < high), torch.inf)
        nearest, where = apart.topk(min(k, len(keys)), dim=1, largest=False)
        both = torch.cat([best, nearest], dim=1)
        places = torch.cat([position, place[where]], dim=1)
        best, chosen = both.topk(k, dim=1, largest=False)
        position = places.gather(1, chosen)
    return torch.where(torch.isfinite(best), position, -1)


@torch.inference_mode()
def _measured(
    stored: torch.Tensor, queries: torch.Tensor, position: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared distances by differences, and the ``k`` nearest by them."""
    squares = []
    for own, places in zip(torch.split(queries, 64), torch.split(position, 64), strict=True):
        squares.append((stored[places.clamp_min(0)] - own[:, None]).square().sum(2))
    square = torch.cat(squares) if squares else queries.new_empty((0, position.shape[1]))
    square = torch.where(position >= 0, square, torch.inf)
    square, order = square.sort(dim=1, stable=True)
    return position.gather(1, order)[:, :k], square[:, :k]


def _blocks(keys: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Keys a block at a time, with the position of the first."""
    for first in range(0, len(keys), _KEYS_AT_ONCE):
        yield first, keys[first : first + _KEYS_AT_ONCE]


def _keys_on(index: faiss.Index, device: str) -> torch.Tensor:
    """The keys of an index, in the order of their positions, as long as the index lives."""
    known = _on_device.setdefault(index, {})
    if device not in known:
        known[device] = torch.from_numpy(stored_keys(index)).to(device)
    return known[device]


def stored_keys(index: faiss.Index) -> Float:
    """The keys in a faiss index, in the order of their positions. Shape ``(n, d)``."""
    if isinstance(index, faiss.IndexHNSW):
        index = faiss.downcast_index(index.storage)
    if not isinstance(index, faiss.IndexIVF):
        found: Float = index.reconstruct_n(0, index.ntotal)
        return found
    keys = np.empty((index.ntotal, index.d), np.float32)
    for number in range(index.nlist):
        place, codes = get_invlist(index.invlists, number)
        keys[place] = codes.view(np.float32)
    return keys
