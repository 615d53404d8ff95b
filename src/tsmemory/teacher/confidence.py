"""How far a teacher may be trusted, from its neighbours alone (METHOD 1.4, step 5)."""

from typing import Literal

import numpy as np

from tsmemory.series.series_set import Float

ConfidenceKind = Literal["max_weight", "effective", "entropy", "distance"]
_PERCENTILES = 101


def confidence_of(kind: ConfidenceKind, weight: Float, nearest: Float, own_nearest: Float) -> Float:
    """Confidence of each query.

    - ``max_weight``: the largest weight (TS-Memory, section 4.2).
    - ``effective``: effective neighbours ``1 / sum w^2`` as a share of the K asked for.
    - ``entropy``: 1 minus the weights' entropy over ``log K``.
    - ``distance``: share of the datastore's own windows whose nearest neighbour is at least as far
      as the query's.

    ``max_weight`` and ``entropy`` are high where one neighbour stands out, ``effective`` where many
    agree, ``distance`` where the datastore knows the like.

    Args:
        kind: Which of them.
        weight: Weights, each row summing to 1, or to 0 without neighbours. Shape ``(M, K)``.
        nearest: Distance of the nearest neighbour, ``inf`` without one. Shape ``(M,)``.
        own_nearest: What :func:`percentiles` made of the datastore's own nearest distances.

    Returns:
        Values in [0, 1]; 0 without neighbours. Shape ``(M,)``.
    """
    there = weight.sum(axis=1) > 0
    if kind == "max_weight":
        value = weight.max(axis=1, initial=0)
    elif kind == "effective":
        value = effective_neighbours(weight) / weight.shape[1]
    elif kind == "entropy":
        value = 1 - _entropy(weight) / np.log(max(weight.shape[1], 2))
    else:
        nearer = np.searchsorted(own_nearest, nearest, side="left")
        value = 1 - nearer / max(len(own_nearest), 1)
    return np.where(there, np.clip(value, 0, 1), 0).astype(np.float32)


def effective_neighbours(weight: Float) -> Float:
    """``1 / sum w^2``, 0 without neighbours. Shape ``(M,)``."""
    square = (weight**2).sum(axis=1)
    return np.asarray(np.divide(1, square, out=np.zeros_like(square), where=square > 0))


def percentiles(nearest: Float) -> Float:
    """A hundred steps through nearest-neighbour distances, in ascending order.

    Args:
        nearest: Distances, ``inf`` for queries without neighbours. Shape ``(M,)``.

    Returns:
        Shape ``(101,)``, or ``(0,)`` where no query has a neighbour.
    """
    known = nearest[np.isfinite(nearest)]
    if not len(known):
        return np.empty(0, np.float32)
    return np.quantile(known, np.linspace(0, 1, _PERCENTILES)).astype(np.float32)


def _entropy(weight: Float) -> Float:
    """Entropy of each row in nats. Shape ``(M,)``."""
    logarithm = np.log(weight, out=np.zeros_like(weight), where=weight > 0)
    return np.asarray(-(weight * logarithm).sum(axis=1))
