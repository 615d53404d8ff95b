"""The spread of the fused forecast: where its widths come from (METHOD 1.5).

Each source of widths is first calibrated by a factor for each horizon block; then the sources are
mixed. The mixture is judged on stretches of time that its factors were not fitted on, and what is
stable over these stretches is preferred to what wins on their mean.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_windows import Parts, by_block
from tsmemory.memory.objective import pinball
from tsmemory.series.series_set import Int

FACTORS = tuple(float(f) for f in np.geomspace(0.4, 4.0, 13))  # 21 % apart
FOLDS = 4

_BATCH = 512
# Shares of backbone, memory and residuals; the first stands unless another is better and stable.
_MIXES = (
    (0.0, 0.5, 0.5),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
    (0.5, 0.5, 0.0),
    (0.5, 0.0, 0.5),
    (1.0, 0.0, 0.0),
)
_MIXES_WITHOUT_RESIDUALS = ((0.0, 1.0, 0.0), (0.5, 0.5, 0.0), (1.0, 0.0, 0.0))

Sums = NDArray[np.float64]


class Widths(NamedTuple):
    """Windows with a fused median and what may surround it.

    Attributes:
        error: Target less the fused median, NaN where unknown. Shape ``(N, H)``.
        offsets: Offsets of the levels from the median by source, not yet calibrated; the
            backbone's, the memory's and, where there are some, the residuals'. ``(N, Q, H)`` each.
        fold: Stretch of time that each window belongs to. Shape ``(N,)``.
    """

    error: torch.Tensor
    offsets: tuple[torch.Tensor, ...]
    fold: Int


class WidthWeights(NamedTuple):
    """Shares and calibration of the sources.

    Attributes:
        share: Shares of memory and residuals, the rest is the backbone's. Shape ``(2, blocks)``.
        factor: Calibration of memory and residuals. Shape ``(2, blocks)``.
    """

    share: Sums
    factor: Sums


def fit_factor(
    parts: Parts,
    location: tuple[float, ...],
    *,
    block: int,
    levels: tuple[float, ...],
    median: int,
    shrinkage: float,
) -> tuple[float, ...]:
    """Factors on the memory's spread with the least pinball loss, shrunk towards the global one."""
    loss = np.zeros((len(FACTORS), len(location)))
    level = torch.tensor(levels)
    ones = (1.0,) * len(location)
    for part in parts():
        for number, factor in enumerate(FACTORS):
            fusion = Fusion(block, location, ones, (factor,) * len(location))
            fused = fusion.apply(part.backbone, part.memory, median)
            loss[number] += by_block(pinball(part.target, fused, level).sum(0).double(), block)
    return tuple(float(f) for f in best_factors(loss, shrinkage))


def best_factors(loss: Sums, shrinkage: float) -> Sums:
    """Factors with the least loss, between the points of the grid by a parabola.

    Args:
        loss: Loss of each factor on the grid. Shape ``(factors, blocks)``.
        shrinkage: 0 keeps each block's own factor, 1 gives all the global one.

    Returns:
        Shape ``(blocks,)``. A block without a known target, or without width, prefers no factor
        and takes the global one.
    """
    telling = loss.max(axis=0) > loss.min(axis=0)
    overall = _least(loss.sum(axis=1, keepdims=True))[0] if telling.any() else 0.0
    own = np.where(telling, _least(loss), overall)
    return np.asarray(np.exp((1 - shrinkage) * own + shrinkage * overall))


def fit_widths(
    widths: Widths, *, block: int, levels: tuple[float, ...], shrinkage: float
) -> WidthWeights:
    """Calibrate and mix the sources of widths.

    Args:
        widths: A sample of validation windows.
        block: Steps in a horizon block.
        levels: Quantile levels.
        shrinkage: Towards the factors and shares for all blocks.

    Returns:
        Shares and factors by block.
    """
    sources = range(1, len(widths.offsets))  # the backbone's own stay as they are
    grid = np.stack([_grid_losses(widths, source, block, levels) for source in sources])
    whole = np.stack([best_factors(loss.sum(axis=1), shrinkage) for loss in grid])
    others = grid.sum(axis=2, keepdims=True) - grid  # of all stretches but one
    held_out = np.stack(
        [
            [best_factors(loss[:, fold], shrinkage) for fold in range(loss.shape[1])]
            for loss in others
        ]
    )
    mixes = _MIXES if len(widths.offsets) == 3 else _MIXES_WITHOUT_RESIDUALS
    losses = np.stack([_mix_losses(widths, mix, held_out, block, levels) for mix in mixes])
    overall = _stable(losses.sum(axis=2, keepdims=True))[0]
    chosen = np.array(mixes)
    own = chosen[_stable(losses)].T
    share = (1 - shrinkage) * own + shrinkage * chosen[overall][:, None]
    factor = np.ones((2, share.shape[1]))
    factor[: len(whole)] = whole
    return WidthWeights(share[1:], factor)


def stretches(origin_time: Int, count: int = FOLDS) -> Int:
    """Consecutive stretches of time with as many origins each. Shape ``(N,)``."""
    order = np.unique(origin_time)
    rank = np.searchsorted(order, origin_time)
    return np.asarray(rank * count // max(len(order), 1), dtype=np.int64)


def _least(loss: Sums) -> Sums:
    """Logarithm of the factor with the least loss, for each column."""
    grid = np.log(np.array(FACTORS))
    best = loss.argmin(axis=0)
    middle = best.clip(1, len(grid) - 2)
    column = np.arange(loss.shape[1])
    below, at, above = (loss[middle + shift, column] for shift in (-1, 0, 1))
    curvature = below - 2 * at + above
    bent = (best == middle) & (curvature > 0)
    shift = np.where(bent, 0.5 * (below - above) / np.where(bent, curvature, 1.0), 0.0)
    return np.asarray(grid[best] + (grid[1] - grid[0]) * shift.clip(-1, 1))


def _grid_losses(widths: Widths, source: int, block: int, levels: tuple[float, ...]) -> Sums:
    """Loss of one source with each factor. Shape ``(factors, folds, blocks)``."""
    blocks = -(-widths.error.shape[1] // block)
    total = np.zeros((len(FACTORS), FOLDS, blocks))
    level = torch.tensor(levels)
    for first in range(0, len(widths.error), _BATCH):
        part = slice(first, first + _BATCH)
        error, offsets = widths.error[part], widths.offsets[source][part]
        for number, factor in enumerate(FACTORS):
            loss = by_block(pinball(error, factor * offsets, level).double(), block)
            np.add.at(total[number], widths.fold[part], loss)
    return total


def _mix_losses(
    widths: Widths,
    mix: tuple[float, ...],
    factors: Sums,
    block: int,
    levels: tuple[float, ...],
) -> Sums:
    """Loss of one mixture, its factors fitted on the other stretches. Shape ``(folds, blocks)``.

    ``factors`` has the shape ``(sources, folds, blocks)``.
    """
    horizon = widths.error.shape[1]
    total = np.zeros(factors.shape[1:])
    level = torch.tensor(levels)
    for first in range(0, len(widths.error), _BATCH):
        part = slice(first, first + _BATCH)
        fold = widths.fold[part]
        offsets = mix[0] * widths.offsets[0][part]
        for number, source in enumerate(widths.offsets[1:]):
            if mix[number + 1] == 0:
                continue
            by_fold = torch.from_numpy(factors[number][fold]).float()
            scale = by_fold.repeat_interleave(block, dim=1)[:, :horizon]
            offsets = offsets + mix[number + 1] * scale[:, None] * source[part]
        loss = by_block(pinball(widths.error[part], offsets, level).double(), block)
        np.add.at(total, fold, loss)
    return total


def _stable(losses: Sums) -> NDArray[np.int64]:
    """The mixture to prefer: the first, unless another is better on the mean and by its error.

    Args:
        losses: Shape ``(mixes, folds, blocks)``.

    Returns:
        Position of the mixture for each block. Shape ``(blocks,)``.
    """
    first = losses[:1]
    gain = np.where(first > 0, losses / np.where(first > 0, first, 1.0) - 1.0, 0.0)
    error = gain.std(axis=1, ddof=1) / np.sqrt(gain.shape[1])
    score = gain.mean(axis=1) + error
    return np.asarray(score.argmin(axis=0))
