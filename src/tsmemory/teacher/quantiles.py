"""Weighted empirical quantiles of the neighbours' futures (TS-Memory, METHOD 1.4)."""

from collections.abc import Sequence
from typing import Literal

import torch

QuantileMethod = Literal["midpoint", "published"]
_ROUNDING = 1e-6  # cumulated float32 weights may fall short of a level by this much


def weighted_quantiles(
    values: torch.Tensor,
    weights: torch.Tensor,
    levels: Sequence[float],
    method: QuantileMethod = "midpoint",
) -> torch.Tensor:
    """Weighted quantiles over the neighbours, step by step.

    With values sorted and weights cumulated to ``S_m``, ``published`` takes the first value with
    ``S_m >= q``; ``midpoint`` interpolates linearly between the mid-point masses ``S_m - w_m / 2``,
    which does not collapse adjacent levels onto one neighbour.

    Args:
        values: Futures of the neighbours, NaN where missing. Shape ``(B, K, H)``.
        weights: Their weights, 0 for absent neighbours. Shape ``(B, K)``.
        levels: Quantile levels in (0, 1), ascending.
        method: Which definition.

    Returns:
        Quantiles, ascending over levels, NaN at steps that no neighbour covers. ``(B, Q, H)``.
    """
    present = ~torch.isnan(values) & (weights > 0)[:, :, None]
    mass = torch.where(present, weights[:, :, None], 0.0)
    total = mass.sum(dim=1, keepdim=True)
    mass = mass / torch.where(total > 0, total, 1.0)
    # Stable, since the order of tied values decides where between their neighbours they lie.
    ordered, order = torch.where(present, values, torch.inf).sort(dim=1, stable=True)
    mass = mass.gather(1, order)
    cumulated = mass.cumsum(dim=1)
    last = (present.sum(dim=1, keepdim=True) - 1).clamp_min(0)
    quantile = _step if method == "published" else _midpoint
    result = torch.cat([quantile(ordered, mass, cumulated, last, q) for q in levels], dim=1)
    return torch.where(total > 0, result, torch.nan)


def _step(
    ordered: torch.Tensor,
    mass: torch.Tensor,
    cumulated: torch.Tensor,
    last: torch.Tensor,
    level: float,
) -> torch.Tensor:
    first = (cumulated < level - _ROUNDING).sum(dim=1, keepdim=True)
    return ordered.gather(1, torch.minimum(first, last))


def _midpoint(
    ordered: torch.Tensor,
    mass: torch.Tensor,
    cumulated: torch.Tensor,
    last: torch.Tensor,
    level: float,
) -> torch.Tensor:
    middle = cumulated - mass / 2
    above = (middle <= level).sum(dim=1, keepdim=True)
    upper = torch.minimum(above, last)
    lower = torch.minimum((above - 1).clamp_min(0), last)
    left, right = middle.gather(1, lower), middle.gather(1, upper)
    share = ((level - left) / (right - left).clamp_min(1e-12)).clamp(0, 1)
    low, high = ordered.gather(1, lower), ordered.gather(1, upper)
    return torch.where(upper == lower, low, low + share * (high - low))
