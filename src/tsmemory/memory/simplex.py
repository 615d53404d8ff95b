"""Least squares for weights of a convex mixture: none negative, their sum at most one."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

_RIDGE = 1e-9  # of the mean square: keeps candidates that are alike apart
_ROUNDING = 1e-9

Sums = NDArray[np.float64]


def simplex_weights(gram: Sums, moment: Sums) -> Sums:
    """Minimise ``w' G w - 2 g' w`` over ``w >= 0``, ``sum(w) <= 1``, exactly.

    The few candidates allow to try every set of weights that may be positive, with the sum free or
    tied to one.

    Args:
        gram: G, sums of products of the candidates' steps away from the backbone. ``(K, K)``.
        moment: g, sums of their products with the backbone's error. Shape ``(K,)``.

    Returns:
        The weights. Shape ``(K,)``.
    """
    count = len(moment)
    best, least = np.zeros(count), 0.0
    active = [k for k in range(count) if gram[k, k] > 0]
    gram = gram + _RIDGE * max(float(np.trace(gram)), 1e-300) * np.eye(count)
    for size in range(1, len(active) + 1):
        for chosen in combinations(active, size):
            for tied in (False, True):
                found = _solve(gram[np.ix_(chosen, chosen)], moment[list(chosen)], tied)
                if found.min() < -_ROUNDING or found.sum() > 1 + _ROUNDING:
                    continue
                weights = np.zeros(count)
                weights[list(chosen)] = found.clip(0, 1)
                value = float(weights @ gram @ weights - 2 * moment @ weights)
                if value < least:
                    best, least = weights, value
    return np.asarray(best / max(1.0, best.sum()))


def shrunk_weights(gram: Sums, moment: Sums, shrinkage: float) -> Sums:
    """Weights by horizon block, shrunk towards the one for all blocks.

    Args:
        gram: Sums of each block. Shape ``(K, K, blocks)``.
        moment: Sums of each block. Shape ``(K, blocks)``.
        shrinkage: 0 keeps each block's own weights, 1 gives all the global ones.

    Returns:
        Weights of each block; a block that tells nothing takes the global ones. ``(K, blocks)``.
    """
    overall = simplex_weights(gram.sum(axis=2), moment.sum(axis=1))
    columns = []
    for number in range(moment.shape[1]):
        telling = np.trace(gram[:, :, number]) > 0
        own = simplex_weights(gram[:, :, number], moment[:, number]) if telling else overall
        columns.append((1 - shrinkage) * own + shrinkage * overall)
    return np.stack(columns, axis=1)


def _solve(gram: Sums, moment: Sums, tied: bool) -> Sums:
    """Unconstrained weights, or those with a sum of one (by a Lagrange multiplier)."""
    if not tied:
        return np.asarray(np.linalg.solve(gram, moment))
    ones = np.ones((len(moment), 1))
    bordered = np.block([[gram, ones * gram[0, 0]], [ones.T * gram[0, 0], np.zeros((1, 1))]])
    target = np.append(moment, gram[0, 0])
    return np.asarray(np.linalg.solve(bordered, target)[:-1])
