"""Naive forecasts as candidates for the fused median: at inference they cost next to nothing."""

import torch

from tsmemory.memory.instance_norm import Normalised
from tsmemory.metrics import last_value, seasonal_naive

FARTHEST = 3.0  # standard deviations: a series farther away has moved for good


def last_values(contexts: torch.Tensor) -> torch.Tensor:
    """The last observed value, 0 where there is none.

    Args:
        contexts: NaN where missing. Shape ``(B, L)``.

    Returns:
        Shape ``(B, 1)``.
    """
    last = contexts[:, -1:]
    if bool(torch.isnan(last).any()):
        return torch.from_numpy(last_value(contexts.cpu().numpy(), 1)).to(contexts.device)
    return last


def seasonal_values(contexts: torch.Tensor, season: int, horizon: int) -> torch.Tensor:
    """The last season, repeated; see :func:`tsmemory.metrics.seasonal_naive`.

    Args:
        contexts: NaN where missing. Shape ``(B, L)``.
        season: Season in steps.
        horizon: H, steps to forecast.

    Returns:
        Shape ``(B, H)``.
    """
    last = contexts[:, -season:]
    if last.shape[1] < season or bool(torch.isnan(last).any()):
        found = seasonal_naive(contexts.cpu().numpy(), horizon, season)
        return torch.from_numpy(found).to(contexts.device)
    if horizon <= season:
        return last[:, :horizon]
    return last.repeat(1, -(-horizon // season))[:, :horizon]


def way_home(normal: Normalised) -> torch.Tensor:
    """How far the context's mean lies below the long-run level of its series.

    The backbone sees a context and no more: that its level is unusual for the series, and that
    series come back, is what only the domain's own history tells. Contexts are in train z units, so
    that the long-run level, the training mean, is 0.

    Args:
        normal: The contexts, normalised.

    Returns:
        What takes a forecast to the long-run level, at most :data:`FARTHEST`. Shape ``(B, 1)``.
    """
    return -normal.loc.clamp(-FARTHEST, FARTHEST)
