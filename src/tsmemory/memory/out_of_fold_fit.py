"""Finding what out-of-fold training windows say of the fusion; see :mod:`out_of_fold`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.config import FusionConfig
from tsmemory.memory.cross_fit import CrossFit, Outside, look_from_outside
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_parts import (
    Channel,
    Naive,
    Residuals,
    residual_unit,
    spread_knots,
)
from tsmemory.memory.fusion_windows import Part, Parts, by_block, losses_of_each
from tsmemory.memory.instance_norm import context_scale
from tsmemory.memory.location_fit import MixtureSums, steadied
from tsmemory.memory.out_of_fold import OutOfFold
from tsmemory.memory.ridge import Ridge
from tsmemory.memory.split import BATCH, Split

MOST_STEPS = 3_000_000  # of targets: neighbouring windows tell much the same

_FEW_WINDOWS = 20  # of a channel: half the way to the size of its own residuals
_LEAST_SCALE = 0.05


Memory = Callable[[Outside, int], torch.Tensor]  # windows, their stretch > Qm


def cross_fit_parts(
    split: Split,
    cross_fit: CrossFit,
    own: Ridge,
    members: Sequence[NDArray[np.int64]],
    memory: Memory | None = None,
) -> Parts:
    """Training windows as they look from outside, with a memory that does not know them.

    Args:
        split: Training windows.
        cross_fit: Ridges and levels that do not know them.
        own: The ridge of windows that have none.
        members: Positions of the windows wanted, stretch by stretch.
        memory: The memory; as it is in closed form if not given.

    Returns:
        The windows, stretch by stretch.
    """
    median = split.forecasts.levels.index(0.5)

    def recall(seen: Outside, stretch: int) -> torch.Tensor:
        if memory is not None:
            return memory(seen, stretch)
        point = seen.normal.loc + seen.normal.scale * seen.ahead
        return seen.quantiles + (point - seen.quantiles[:, median])[:, None]

    def run() -> Iterator[Part]:
        for stretch, positions in enumerate(members):
            for first in range(0, len(positions), BATCH):
                which = positions[first : first + BATCH]
                seen = look_from_outside(split, which, cross_fit, own)
                found = recall(seen, stretch)
                yield Part(seen.target, seen.quantiles, found, seen.contexts, seen.channels)

    return run


def fit_out_of_fold(
    split: Split,
    cross_fit: CrossFit,
    own: Ridge,
    start: Fusion,
    *,
    season: int,
    config: FusionConfig,
    memory: Memory | None = None,
) -> OutOfFold:
    """Find weights, widths and losses on out-of-fold training windows.

    Args:
        split: Training windows.
        cross_fit: Ridges and levels that do not know them.
        own: The ridge of windows that have none.
        start: Spread factors of the memory in closed form.
        season: Steps in a season.
        config: Blocks, shrinkage and candidates.
        memory: A memory that does not know them; as it is in closed form if not given.

    Returns:
        All that the choice of the fusion needs of them.
    """
    levels, block = split.forecasts.levels, config.block
    median = levels.index(0.5)
    members = cross_fit.members(MOST_STEPS // split.windows.horizon)
    parts = cross_fit_parts(split, cross_fit, own, members, memory)
    sums = MixtureSums.collect(parts, median=median, season=season, config=config)
    alone, mixed = sums.alone(0.0), sums.mixed(0.0)
    by_channel = np.stack([sums.mixed(0.0, number) for number in range(len(sums.channels))])
    stretches = []
    for stretch, known in enumerate(cross_fit.has_past):
        one = [m if n == stretch else m[:0] for n, m in enumerate(members)]
        some = cross_fit_parts(split, cross_fit, own, one, memory)
        found = MixtureSums.collect(some, median=median, season=season, config=config)
        stretches.append(found.stretch(level_known=bool(known)))
    alone, mixed = (steadied(stretches, weights, 0.0) for weights in (alone, mixed))
    alone[-1] = 0
    blocks = len(start.factor)
    none, half, ones = (0.0,) * blocks, (0.5,) * blocks, (1.0,) * blocks
    factor = start.factor if memory is None else ones  # what has learnt holds its own
    single = Fusion(block, _weights(alone[0]), none, factor, gate=config.gate)
    naive = Naive.of(mixed[1:], season)
    fused = replace(single, location=_weights(mixed[0]), naive=naive)
    errors, channels = _scaled_errors(parts, fused, median)
    knots = spread_knots(errors.shape[1])
    offsets = _quantiles(errors, knots, levels, median)
    names, scale = _channel_scales(errors, channels, block)
    residuals = Residuals(half, ones, knots, tuple(tuple(map(float, line)) for line in offsets))
    own_weights = {}
    if config.groups == "channel":
        medians = (fused.location, naive.last_value, naive.seasonal, naive.long_run)
        own_weights = {n: Channel(*medians, _weights(s)) for n, s in zip(names, scale, strict=True)}
    states = [
        Fusion(block, none, none, factor),
        single,
        fused,
        replace(fused, spread=ones),
        replace(fused, spread=half, residuals=residuals, channels=own_weights),
    ]
    windows = split.windows.take(np.concatenate(members))
    return OutOfFold(
        season=season,
        alone=alone,
        mixed=mixed,
        channel_mixed=by_channel,
        stretch_gram=np.stack([stretch.gram for stretch in stretches]),
        stretch_moment=np.stack([stretch.moment for stretch in stretches]),
        knots=np.array(knots),
        offsets=offsets,
        channels=names,
        channel_scale=scale,
        losses=np.stack(losses_of_each(parts(), states, levels=levels)),
        origin_time=windows.calendar(split.series) + windows.context_length,
    )


def _scaled_errors(
    parts: Parts, fusion: Fusion, median: int
) -> tuple[torch.Tensor, NDArray[np.str_]]:
    """Errors of the fused median in the unit of residuals, and their channels.

    They are NaN where the target is unknown or the context constant. Shapes ``(N, H)``, ``(N,)``.
    """
    errors, channels = [], []
    for part in parts():
        if part.contexts is None or part.channels is None:
            raise ValueError("windows without contexts or channels")
        error = part.target - part.fuse(fusion, median)[:, median]
        unit = residual_unit(context_scale(part.contexts))
        errors.append(torch.where(unit > 0, error / unit, torch.nan))
        channels.append(part.channels)
    return torch.cat(errors), np.concatenate(channels)


def _quantiles(
    errors: torch.Tensor, knots: Sequence[int], levels: Sequence[float], median: int
) -> NDArray[np.float64]:
    """Quantiles around the median at the knots, each the mean of the steps near it. ``(Q, K)``.

    They are 0 where nothing is known.
    """
    quantiles = torch.nanquantile(errors, torch.tensor(levels, dtype=errors.dtype), dim=0)
    found = torch.nan_to_num(quantiles - quantiles[median]).double().numpy()
    steps = np.arange(errors.shape[1])
    nearest = np.abs(steps[:, None] - np.array(knots)).argmin(axis=1)
    means = [found[:, nearest == number].mean(axis=1) for number in range(len(knots))]
    return np.round(np.stack(means, axis=1), 5)


def _channel_scales(
    errors: torch.Tensor, channels: NDArray[np.str_], block: int
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Width of each channel's residuals in those of all, by block; near 1 for rare channels."""
    names = tuple(str(name) for name in np.unique(channels))
    overall = _widths(errors, block)
    lines = []
    for name in names:
        mine = errors[torch.from_numpy(np.flatnonzero(channels == name))]
        own = _widths(mine, block)
        telling = (own > 0) & (overall > 0)
        ratio = np.where(telling, own / np.where(telling, overall, 1.0), 1.0)
        trust = len(mine) / (len(mine) + _FEW_WINDOWS)
        lines.append(ratio.clip(_LEAST_SCALE, 1 / _LEAST_SCALE) ** trust)
    return names, np.asarray(np.round(np.stack(lines), 4), dtype=np.float64)


def _widths(errors: torch.Tensor, block: int) -> NDArray[np.float64]:
    """Mean distance from the 10 % to the 90 % quantile in each block. Shape ``(blocks,)``."""
    low, high = torch.nanquantile(errors, torch.tensor([0.1, 0.9]), dim=0)
    width = torch.nan_to_num(high - low).double()
    return by_block(width, block) / by_block(torch.ones_like(width), block)


def _weights(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
