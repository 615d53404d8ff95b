"""Parts of heads: the distances between quantiles, and a linear map of low rank (METHOD 2.3)."""

from collections.abc import Sequence
from statistics import NormalDist

import torch
from torch import nn
from torch.nn import functional


class Widths(nn.Module):
    """Distances between adjacent quantiles: by level and step, and as the context asks for.

    Attributes:
        base: Before the softplus. Shape ``(Q-1, H)``.
        effect: What the mean token adds for each pair of levels, at all steps alike; 0 at first.
    """

    def __init__(self, levels: Sequence[float], horizon: int, width: int) -> None:
        """Start at the widths of a normal distribution with the context's scale.

        Args:
            levels: Quantile levels, ascending.
            horizon: H.
            width: D, features of a token.
        """
        super().__init__()
        normal = torch.tensor([NormalDist().inv_cdf(level) for level in levels]).diff()
        self.base = nn.Parameter(torch.empty(len(levels) - 1, horizon))
        self.effect = nn.Linear(width, len(levels) - 1, bias=False)
        nn.init.zeros_(self.effect.weight)
        self.start_from(normal[:, None].expand(-1, horizon))

    @torch.no_grad()
    def start_from(self, widths: torch.Tensor) -> None:
        """Start at given distances, in the instance-normalised unit. Shape ``(Q-1, H)``."""
        known = widths.clamp_min(1e-4).to(self.base)
        self.base.copy_(known + torch.log(-torch.expm1(-known)))  # the softplus' inverse

    def forward(self, tokens: torch.Tensor, horizon: int) -> torch.Tensor:
        """Distances, positive. Shape ``(B, Q-1, H')``."""
        moved = self.effect(tokens.mean(dim=1))[:, :, None]
        return functional.softplus(self.base[:, :horizon] + moved)


class LowRank(nn.Module):
    """``features U V + b``: a linear map of rank r.

    Attributes:
        down: U, ``(F, r)``.
        up: V and b, ``(r, H)``.
    """

    def __init__(self, features: int, rank: int, horizon: int) -> None:
        super().__init__()
        self.down = nn.Linear(features, rank, bias=False)
        self.up = nn.Linear(rank, horizon)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features ``(B, F)`` to ``(B, H)``."""
        found: torch.Tensor = self.up(self.down(features))
        return found
