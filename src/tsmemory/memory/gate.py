"""The input-dependent gate: at which steps of which forecasts the fusion is used (METHOD 1.7)."""

from typing import NamedTuple

import torch

from tsmemory.memory.config import GateConfig
from tsmemory.memory.instance_norm import instance_normalise


class Signals(NamedTuple):
    """What is known of a forecast when it is made, without a unit.

    Attributes:
        spread: The backbone's outer width in standard deviations of the context. ``(B, H)``.
        disagreement: Distance of the memory's median from the backbone's, in outer widths of the
            backbone. ``(B, H)``.
        volatility: Standard deviation of the context's changes over its own. ``(B, 1)``.
    """

    spread: torch.Tensor
    disagreement: torch.Tensor
    volatility: torch.Tensor


def read_signals(
    backbone: torch.Tensor, memory: torch.Tensor, contexts: torch.Tensor, median: int
) -> Signals:
    """Signals of each step, which depend on nothing but the forecast of that step and the context.

    Args:
        backbone: Qb. Shape ``(B, Q, H)``.
        memory: Qm. Shape ``(B, Q, H)``.
        contexts: NaN where missing. Shape ``(B, L)``.
        median: Index of the median level.

    Returns:
        The signals. What is divided by a width or a scale of zero is infinite, or zero if it is
        zero itself; a constant context has no volatility.
    """
    normal = instance_normalise(contexts)
    width = backbone[:, -1] - backbone[:, 0]
    gap = (memory[:, median] - backbone[:, median]).abs()
    changes = normal.values.diff(dim=1)
    return Signals(
        spread=_ratio(width, normal.scale),
        disagreement=_ratio(gap, width),
        volatility=changes.square().mean(dim=1, keepdim=True).sqrt(),
    )


def open_steps(
    gate: GateConfig,
    backbone: torch.Tensor,
    memory: torch.Tensor,
    contexts: torch.Tensor,
    median: int,
) -> torch.Tensor:
    """Where the gate is open. Shape ``(B, H)``, for the arguments of :func:`read_signals`."""
    signals = read_signals(backbone, memory, contexts, median)
    is_open = torch.ones_like(signals.spread, dtype=torch.bool)
    if gate.min_spread is not None:
        is_open &= signals.spread >= gate.min_spread
    if gate.max_disagreement is not None:
        is_open &= signals.disagreement <= gate.max_disagreement
    if gate.max_volatility is not None:
        is_open &= signals.volatility <= gate.max_volatility
    return is_open


def _ratio(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """``part / whole``, 0 where both are 0."""
    return torch.where(part == 0, 0.0, part / whole)
