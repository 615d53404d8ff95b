"""What adapted backbones are trained and selected on, in train z units."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor


def horizon_weights(horizons: Sequence[int]) -> Tensor:
    """Weight of each step in the mean over horizons of a table's errors.

    One model serves all horizons and the shorter ones are slices of the longest, so that near steps
    count in several of them.

    Args:
        horizons: Horizons in steps.

    Returns:
        ``w_t = mean over h of 1[t < h] / h``, summing to 1. Shape ``(max(horizons),)``.
    """
    step = torch.arange(max(horizons))
    return torch.stack([(step < h).float() / h for h in horizons]).mean(dim=0)


def row_losses(
    quantiles: Tensor,
    targets: Tensor,
    *,
    levels: Sequence[float],
    weights: Tensor,
    loss: Literal["quantile", "squared"],
) -> Tensor:
    """Loss of each window; missing steps count as forecast without error.

    ``quantile`` is twice the mean pinball loss (the CRPS up to the grid of levels). ``squared`` is
    the squared error of the median plus the same of the distances to the median, which then moves
    by the squared error alone.

    Args:
        quantiles: In train z units. Shape ``(B, Q, T)``.
        targets: The same, NaN where missing. Shape ``(B, T)``.
        levels: Quantile levels, the median among them. Length Q.
        weights: Weight of each step. Shape ``(T,)``.
        loss: Which.

    Returns:
        Shape ``(B,)``.
    """
    known = ~targets.isnan()
    targets = torch.where(known, targets, 0.0)
    counted = known * weights
    median = quantiles[:, list(levels).index(0.5)]
    if loss == "squared":
        quantiles = quantiles - (median - median.detach())[:, None]
    level = torch.tensor(levels, dtype=quantiles.dtype, device=quantiles.device)[None, :, None]
    difference = targets[:, None] - quantiles
    pinball = torch.maximum(level * difference, (level - 1) * difference).mean(dim=1)
    total = 2 * (pinball * counted).sum(dim=1)
    if loss == "squared":
        total = total + ((median - targets).square() * counted).sum(dim=1)
    return total


def known_weight(targets: Tensor, weights: Tensor) -> Tensor:
    """Weight of the known steps of each window, 1 for a whole target. Shape ``(B,)``."""
    return ((~targets.isnan()) * weights).sum(dim=1)
