"""Instance normalisation of contexts, with gaps bridged (METHOD 1.1)."""

from typing import NamedTuple

import torch

_CONSTANT = 1e-6  # spread below this share of the level is rounding, not signal


class Normalised(NamedTuple):
    """A context without its level and scale.

    Attributes:
        values: ``(x - loc) / scale``, gaps bridged linearly, 0 before the first observation and
            everywhere in a constant context. Shape ``(B, L)``.
        loc: Mean of the observed steps. Shape ``(B, 1)``.
        scale: Their standard deviation, 0 for a constant context. Shape ``(B, 1)``.
    """

    values: torch.Tensor
    loc: torch.Tensor
    scale: torch.Tensor


def instance_normalise(contexts: torch.Tensor) -> Normalised:
    """Normalise each context by the mean and standard deviation of its observed steps.

    Args:
        contexts: NaN where missing. Shape ``(B, L)``.

    Returns:
        The normalised contexts with their level and scale.
    """
    missing = torch.isnan(contexts)
    whole = not bool(missing.any())  # the common case, with fewer operations and the same bits
    count = contexts.shape[1] if whole else (~missing).sum(dim=1, keepdim=True).clamp_min(1)
    observed = contexts if whole else contexts.masked_fill(missing, 0.0)
    loc = observed.sum(dim=1, keepdim=True) / count
    centred = contexts - loc
    counted = centred if whole else centred.masked_fill(missing, 0.0)
    scale = ((counted * counted).sum(dim=1, keepdim=True) / count).sqrt()
    alive = scale > _CONSTANT * loc.abs()
    values = centred * torch.where(alive, 1 / scale, 0.0)
    if not whole:
        values = torch.where(alive, bridge_gaps(values), 0.0)
    return Normalised(values, loc, torch.where(alive, scale, 0.0))


def context_scale(contexts: torch.Tensor) -> torch.Tensor:
    """The scale of :func:`instance_normalise` alone, the same but for rounding.

    Args:
        contexts: NaN where missing. Shape ``(B, L)``.

    Returns:
        Shape ``(B, 1)``.
    """
    scale, loc = torch.std_mean(contexts, dim=1, correction=0, keepdim=True)
    if bool(torch.isnan(loc).any()):
        return instance_normalise(contexts).scale
    return torch.where(scale > _CONSTANT * loc.abs(), scale, 0.0)


def bridge_gaps(values: torch.Tensor) -> torch.Tensor:
    """Fill NaN linearly between observations, with the last one after them and 0 before the first.

    Args:
        values: Shape ``(B, T)``.

    Returns:
        The same without NaN. Shape ``(B, T)``.
    """
    missing = torch.isnan(values)
    if not bool(missing.any()):
        return values
    length = values.shape[1]
    step = torch.arange(length, device=values.device).expand_as(values)
    left = torch.where(missing, -1, step).cummax(dim=1).values
    right = torch.where(missing, length, step).flip(1).cummin(dim=1).values.flip(1)
    known = torch.nan_to_num(values)
    before = known.gather(1, left.clamp_min(0))
    after = torch.where(right < length, known.gather(1, right.clamp_max(length - 1)), before)
    share = (step - left) / (right - left).clamp_min(1)
    return torch.where(left < 0, 0.0, before + share * (after - before))
