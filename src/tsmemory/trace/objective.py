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


def step_losses(
    quantiles: Tensor,
    targets: Tensor,
    *,
    levels: Sequence[float],
    loss: Literal["quantile", "squared"],
) -> Tensor:
    """Parts of the loss of each window and step; missing steps count as forecast without error.

    ``quantile`` has one part, twice the mean pinball loss (the CRPS up to the grid of levels).
    ``squared`` has two: the squared error of the median, and the former for the distances to the
    median, which then moves by the squared error alone.

    Args:
        quantiles: In train z units. Shape ``(B, Q, T)``.
        targets: The same, NaN where missing. Shape ``(B, T)``.
        levels: Quantile levels, the median among them. Length Q.
        loss: Which.

    Returns:
        P parts. Shape ``(P, B, T)``.
    """
    known = ~targets.isnan()
    targets = torch.where(known, targets, 0.0)
    median = quantiles[:, list(levels).index(0.5)]
    if loss == "squared":
        quantiles = quantiles - (median - median.detach())[:, None]
    level = torch.tensor(levels, dtype=quantiles.dtype, device=quantiles.device)[None, :, None]
    difference = targets[:, None] - quantiles
    pinball = 2 * torch.maximum(level * difference, (level - 1) * difference).mean(dim=1)
    parts = [pinball] if loss == "quantile" else [(median - targets).square(), pinball]
    return torch.stack(parts) * known


def row_losses(
    quantiles: Tensor,
    targets: Tensor,
    *,
    levels: Sequence[float],
    weights: Tensor,
    loss: Literal["quantile", "squared"],
) -> Tensor:
    """Loss of each window: :func:`step_losses` with all parts and steps summed up.

    Args:
        quantiles: In train z units. Shape ``(B, Q, T)``.
        targets: The same, NaN where missing. Shape ``(B, T)``.
        levels: Quantile levels, the median among them. Length Q.
        weights: Weight of each step. Shape ``(T,)``.
        loss: Which.

    Returns:
        Shape ``(B,)``.
    """
    parts = step_losses(quantiles, targets, levels=levels, loss=loss)
    return (parts * weights).sum(dim=(0, 2))


def known_weight(targets: Tensor, weights: Tensor) -> Tensor:
    """Weight of the known steps of each window, 1 for a whole target. Shape ``(B,)``."""
    return ((~targets.isnan()) * weights).sum(dim=1)
