"""Horizons beyond the native one: the model is asked again with its own forecast as context."""

from collections.abc import Callable
from typing import Literal

import torch
from chronos.utils import weighted_quantile

Rollout = Literal["median", "quantile"]
ROLLOUTS: tuple[Rollout, ...] = ("median", "quantile")
# Quantiles ``(B, Q, native horizon)`` of contexts ``(B, L)``.
Predict = Callable[[torch.Tensor], torch.Tensor]

_DECILES = tuple(level / 10 for level in range(1, 10))


def roll_out(
    predict: Predict,
    contexts: torch.Tensor,
    first: torch.Tensor,
    horizon: int,
    *,
    levels: tuple[float, ...],
    context_length: int,
    rollout: Rollout,
) -> torch.Tensor:
    """Extend a first forecast to a horizon (METHOD 1.8).

    ``median`` appends the median to the context: one pass for each native horizon, bands too narrow
    far out. ``quantile`` appends every decile, one path each, and takes the empirical quantiles of
    what the model says along all paths, as chronos-forecasting does: about nine times the cost.

    Args:
        predict: One pass of the model.
        contexts: Contexts, NaN where missing. Shape ``(B, L)``.
        first: The first pass's quantiles as the model gave them. Shape ``(B, Q, native horizon)``.
        horizon: H, steps asked for.
        levels: Levels of the quantiles, ascending, the median among them.
        context_length: The most steps of context that the model reads.
        rollout: How.

    Returns:
        Quantiles, ascending over levels. Shape ``(B, Q, H)``.
    """
    native = first.shape[2]
    extend = _along_the_median if rollout == "median" else _along_quantiles
    parts = [first, *extend(predict, contexts, first, levels, context_length, horizon - native)]
    return torch.cat(parts, dim=2)[:, :, :horizon].sort(dim=1).values


def _along_the_median(
    predict: Predict,
    contexts: torch.Tensor,
    latest: torch.Tensor,
    levels: tuple[float, ...],
    context_length: int,
    steps: int,
) -> list[torch.Tensor]:
    """Forecasts after the first one until ``steps`` are covered, each ``(B, Q, native)``."""
    median, native, parts = levels.index(0.5), latest.shape[2], []
    for _ in range(0, steps, native):
        contexts = torch.cat([contexts, latest[:, median]], dim=1)[:, -context_length:]
        latest = predict(contexts)
        parts.append(latest)
    return parts


def _along_quantiles(
    predict: Predict,
    contexts: torch.Tensor,
    latest: torch.Tensor,
    levels: tuple[float, ...],
    context_length: int,
    steps: int,
) -> list[torch.Tensor]:
    """As :func:`_along_the_median`, with one path for each decile."""
    followed = _DECILES if set(_DECILES) <= set(levels) else levels
    rows = [levels.index(level) for level in followed]
    weights = torch.outer(_masses(followed), _masses(levels)).flatten()
    native, parts = latest.shape[2], []
    paths = contexts[:, None].expand(-1, len(rows), -1) if steps > 0 else contexts
    for _ in range(0, steps, native):
        paths = torch.cat([paths, latest[:, rows]], dim=2)[:, :, -context_length:]
        said = predict(paths.flatten(0, 1))
        samples = said.reshape(len(latest), len(weights), native)
        latest = _quantiles_of(samples, weights, levels)
        parts.append(latest)
    return parts


def _masses(levels: tuple[float, ...]) -> torch.Tensor:
    """Share of the probability that each level stands for: half the way to both neighbours."""
    edges = torch.tensor([0.0, *levels, 1.0])
    mass = (edges[2:] - edges[:-2]) / 2
    return mass / mass.sum()


def _quantiles_of(
    samples: torch.Tensor, weights: torch.Tensor, levels: tuple[float, ...]
) -> torch.Tensor:
    """Empirical quantiles ``(B, Q, T)`` of weighted samples ``(B, N, T)``.

    The two cases interpolate as the pipelines of Chronos-Bolt (equal weights) and of Chronos-2
    do, so that forecasts are theirs.
    """
    if torch.allclose(weights, weights[0]):
        asked = torch.tensor(levels, device=samples.device)
        return torch.quantile(samples, asked, dim=1).transpose(0, 1)
    found: torch.Tensor = weighted_quantile(list(levels), weights, samples.transpose(1, 2))
    return found.transpose(1, 2)
