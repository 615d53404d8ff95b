"""How far apart a head's quantiles start: as far as residuals say."""

from collections.abc import Sequence

import torch


def residual_widths(
    residuals: torch.Tensor, weights: torch.Tensor, levels: Sequence[float]
) -> torch.Tensor:
    """Distances between adjacent quantiles of residuals, at each step.

    Args:
        residuals: In the instance-normalised unit, NaN where unknown. Shape ``(n, H)``.
        weights: What each row counts: its scale, as in the pinball loss in z units. ``(n,)``.
        levels: Quantile levels, ascending.

    Returns:
        Not negative; 0 at steps without any known residual. Shape ``(Q-1, H)``.
    """
    known = ~torch.isnan(residuals)
    ordered, order = residuals.nan_to_num(nan=torch.inf).sort(dim=0)
    mass = (weights[:, None].double() * known).gather(0, order).cumsum(dim=0)
    # The least residual with at least the level's share of the mass at or below it.
    wanted = mass[-1][:, None] * torch.tensor(levels, dtype=mass.dtype, device=mass.device)
    place = torch.searchsorted(mass.T.contiguous(), wanted).clamp_max(len(ordered) - 1)
    quantiles = ordered.T.gather(1, place).T  # (H, Q) > (Q, H)
    return torch.where(torch.isfinite(quantiles), quantiles, 0.0).diff(dim=0)
