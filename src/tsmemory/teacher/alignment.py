"""Bringing a neighbour's future to the query's level and scale (METHOD 1.4, step 1)."""

from typing import Literal

import numpy as np

from tsmemory.series.series_set import Float

Alignment = Literal["shift", "affine"]
LARGEST_RATIO = 2.0  # affine alignment stretches or shrinks by no more


def align_futures(futures: Float, tails: Float, query_tail: Float, ratio: Float | None) -> Float:
    """Shift futures to the query's level, after rescaling them around their own.

    With ``level = mean(query_tail)`` and ``own = mean(tail)``, a future becomes
    ``level + ratio * (future - own)``. Where either tail has no observed point there is nothing to
    agree on, and the future stays as it is.

    Args:
        futures: Futures of the neighbours. Shape ``(B, K, H)``.
        tails: The last ``m`` points of their contexts, NaN where missing. Shape ``(B, K, m)``.
        query_tail: The last ``m`` points of the queries' contexts. Shape ``(B, m)``.
        ratio: Scale of the query over the neighbour's. Shape ``(B, K)``; ``None`` only shifts.

    Returns:
        Shape ``(B, K, H)``.
    """
    level, own = _mean(query_tail)[:, None], _mean(tails)
    if ratio is None:
        shift = np.nan_to_num(level - own)
        return np.asarray(futures + shift[:, :, None], dtype=np.float32)
    agreed = ~np.isnan(level - own)
    stretch = np.where(agreed, ratio, 1)
    shift = np.where(agreed, level - stretch * own, 0)
    return np.asarray(stretch[:, :, None] * futures + shift[:, :, None], dtype=np.float32)


def scale_ratio(query: Float, stored: Float) -> Float:
    """Scale of queries over that of neighbours, kept within ``LARGEST_RATIO`` of 1.

    Args:
        query: Standard deviation of the queries' contexts. Shape ``(B, 1)``.
        stored: Standard deviation of the neighbours' contexts. Shape ``(B, K)``.

    Returns:
        Shape ``(B, K)``; 1 where either is 0 or unknown, since a constant tells no scale.
    """
    known = (query > 0) & (stored > 0)
    ratio = np.divide(query, stored, out=np.ones_like(stored), where=known)
    return np.asarray(np.clip(ratio, 1 / LARGEST_RATIO, LARGEST_RATIO), dtype=np.float32)


def window_std(contexts: Float) -> Float:
    """Population standard deviation of the observed values, 0 where none is. Shape ``(N,)``."""
    seen = ~np.isnan(contexts)
    count = np.maximum(seen.sum(axis=1), 1)
    mean = np.where(seen, contexts, 0).sum(axis=1, dtype=np.float64) / count
    centred = np.where(seen, contexts - mean[:, None], 0)
    return np.asarray(np.sqrt((centred**2).sum(axis=1) / count), dtype=np.float32)


def _mean(values: Float) -> Float:
    """Mean over the last axis of the observed values, NaN where none is."""
    seen = ~np.isnan(values)
    total, count = np.where(seen, values, 0).sum(axis=-1, dtype=np.float64), seen.sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
