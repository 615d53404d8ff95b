"""The fused validation loss, by which training is stopped."""

import numpy as np
import torch

from tsmemory.memory.fusion import Fusion
from tsmemory.memory.objective import pinball
from tsmemory.memory.profiles import Adapter
from tsmemory.memory.split import Split, memory_parts

WEIGHTS = tuple(round(0.05 * number, 2) for number in range(21))  # the published grid


def fused_loss(model: Adapter, split: Split, fusion: Fusion) -> float:
    """Mean pinball loss of the fused forecast over the known target steps, in z units."""
    return float(_losses(model, split, [fusion])[0])


def best_scalar_fusion(model: Adapter, split: Split) -> tuple[Fusion, float]:
    """The published fusion, one scalar from a grid, with the least loss on some windows.

    For adapters that do not start from a closed form, and have no weights of their own to be
    watched with. The weights that are shipped are chosen and guarded after training.

    Args:
        model: The adapter.
        split: The windows.

    Returns:
        The fusion, and its mean pinball loss over the known target steps in z units.
    """
    horizon = split.windows.horizon
    fusions = [Fusion(horizon, (weight,), (weight,), (1.0,)) for weight in WEIGHTS]
    losses = _losses(model, split, fusions)
    best = int(np.nanargmin(losses))  # the frozen backbone's is known even if the adapter broke
    return fusions[best], float(losses[best])


def _losses(model: Adapter, split: Split, fusions: list[Fusion]) -> np.ndarray:
    """Mean pinball loss of each fusion, from one pass of the adapter."""
    levels = torch.tensor(split.forecasts.levels)
    median = split.forecasts.levels.index(0.5)
    total, count = np.zeros(len(fusions)), 0
    for part in memory_parts(split, model)():
        for number, fusion in enumerate(fusions):
            fused = part.fuse(fusion, median)
            total[number] += float(pinball(part.target, fused, levels).sum(dtype=torch.float64))
        count += int((~torch.isnan(part.target)).sum())
    return total / max(count, 1)
