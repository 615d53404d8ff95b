"""The later part of validation, which no trial has seen: what is found is confirmed on it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.metrics import (
    block_length,
    n_blocks,
    one_sided_improvement,
    per_origin,
    typical_step,
)
from tsmemory.trace.examples import Examples
from tsmemory.trace.model import TraceModel

_SAMPLES = 1000  # of the bootstrap


@dataclass(frozen=True)
class Verdict:
    """How models do on the later part, in the mean over them.

    Attributes:
        loss: Their loss, as the mean over horizons of a table has it.
        by_origin: Mean loss of the windows at each origin, in time order. Shape ``(T,)``.
    """

    loss: float
    by_origin: NDArray[np.float64]


@torch.no_grad()
def judge(later: Examples, models: Sequence[TraceModel]) -> Verdict:
    """Judge models that differ in their seeds.

    Args:
        later: Windows of the later part.
        models: The models.

    Returns:
        What they come to.
    """
    later = later.fit_to(models[0])
    times = later.windows.calendar(later.series)
    losses, curves = [], []
    for model in models:
        losses.append(float(later.mean_losses(model).sum()))
        found = [torch.stack(batch.losses(model), dim=1) for batch in later.batches()]
        _, sums = per_origin(torch.cat(found).double().cpu().numpy(), times)
        counted = sums[sums[:, 1] > 0]
        curves.append(counted[:, 0] / counted[:, 1])
    return Verdict(float(np.mean(losses)), np.mean(curves, axis=0))


def improvement(later: Examples, better: Verdict, other: Verdict, seed: int) -> float:
    """Test whether one verdict is better than another, origin by origin.

    Args:
        later: Windows of the later part.
        better: What should be better.
        other: What it is compared with.
        seed: Of the bootstrap.

    Returns:
        The one-sided p-value, by a moving-block bootstrap with blocks of one horizon or two; 1
        where fewer than two blocks fit.
    """
    times = later.windows.calendar(later.series)
    distinct, count = np.unique(times), len(better.by_origin)
    stride = int(np.median(np.diff(distinct))) if len(distinct) > 1 else 1
    ahead = math.ceil(later.windows.horizon / typical_step(times, stride))
    block = block_length(count, ahead) or ahead
    if n_blocks(count, block) < 2:
        return 1.0
    rng = np.random.default_rng(seed)
    return one_sided_improvement(better.by_origin, other.by_origin, block, _SAMPLES, rng)
