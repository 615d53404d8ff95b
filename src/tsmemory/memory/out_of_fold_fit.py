"""Finding what out-of-fold training windows say of the fusion; see :mod:`out_of_fold`."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_parts import Channel, Naive, Residuals, spread_knots
from tsmemory.memory.fusion_windows import Part, Parts, by_block, losses_of_each
from tsmemory.memory.instance_norm import context_scale
from tsmemory.memory.location_fit import MixtureSums
from tsmemory.memory.out_of_fold import OutOfFold
from tsmemory.memory.ridge import Ridge
from tsmemory.memory.split import BATCH, Split

MOST_STEPS = 3_000_000  # of targets: neighbouring windows tell much the same

_FEW_WINDOWS = 20  # of a channel: half the way to the size of its own residuals
_LEAST_SCALE = 0.05

Folds = Sequence[tuple[np.ndarray, Ridge]]


def thin_folds(folds: Folds, horizon: int, most: int = MOST_STEPS) -> Folds:
    """Every so-and-so-many-th window of each fold, so that few enough steps are left."""
    steps = sum(len(members) for members, _ in folds) * horizon
    every = max(1, -(-steps // most))
    return [(members[::every], ridge) for members, ridge in folds]


def ridge_parts(split: Split, folds: Folds) -> Parts:
    """Training windows with the memory as it is in closed form, from ridges that do not know them.

    Args:
        split: Training windows.
        folds: Positions of windows with a ridge that has not seen their steps.

    Returns:
        The windows, fold by fold.
    """
    median = split.forecasts.levels.index(0.5)

    def run() -> Iterator[Part]:
        for members, ridge in folds:
            for first in range(0, len(members), BATCH):
                part = split.take(members[first : first + BATCH])
                contexts, target, quantiles, _ = part.tensors()
                point = torch.from_numpy(ridge.predict(contexts.numpy()))
                memory = quantiles + (point - quantiles[:, median])[:, None]
                yield Part(target, quantiles, memory, contexts, part.channels())

    return run


def fit_out_of_fold(
    split: Split, folds: Folds, start: Fusion, *, season: int, config: FusionConfig
) -> OutOfFold:
    """Find weights, widths and losses on out-of-fold training windows.

    Args:
        split: Training windows.
        folds: Positions of windows with a ridge that has not seen their steps.
        start: Spread factors of the memory in closed form.
        season: Steps in a season.
        config: Blocks, shrinkage and candidates.

    Returns:
        All that the choice of the fusion needs of them.
    """
    levels, block = split.forecasts.levels, config.block
    median = levels.index(0.5)
    thinned = thin_folds(folds, split.windows.horizon)
    parts = ridge_parts(split, thinned)
    sums = MixtureSums.collect(parts, median=median, season=season, config=config)
    alone, mixed = sums.alone(0.0), sums.mixed(0.0)
    none = (0.0,) * len(start.factor)
    memory = Fusion(block, _weights(alone[0]), none, start.factor, gate=config.gate)
    naive = Naive(_weights(mixed[1]), _weights(mixed[2]), season)
    fused = Fusion(block, _weights(mixed[0]), none, start.factor, naive=naive, gate=config.gate)
    errors, channels = _scaled_errors(parts, fused, median)
    knots = spread_knots(errors.shape[1])
    offsets = _quantiles(errors, knots, levels, median)
    names, scale = _channel_scales(errors, channels, block)
    ones, half = (1.0,) * len(none), (0.5,) * len(none)
    residuals = Residuals(half, ones, knots, tuple(tuple(map(float, line)) for line in offsets))
    own = {}
    if config.groups == "channel":
        medians = (fused.location, naive.last_value, naive.seasonal)
        own = {n: Channel(*medians, _weights(s)) for n, s in zip(names, scale, strict=True)}
    states = [
        Fusion(block, none, none, start.factor),
        memory,
        fused,
        Fusion(block, fused.location, ones, start.factor, naive=naive, gate=config.gate),
        Fusion(block, fused.location, half, start.factor, {}, naive, residuals, own, config.gate),
    ]
    windows = split.windows.take(np.concatenate([members for members, _ in thinned]))
    return OutOfFold(
        season=season,
        alone=alone,
        mixed=mixed,
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
    """Errors of the fused median in standard deviations of the context, and their channels.

    They are NaN where the target is unknown or the context constant. Shapes ``(N, H)``, ``(N,)``.
    """
    errors, channels = [], []
    for part in parts():
        if part.contexts is None or part.channels is None:
            raise ValueError("windows without contexts or channels")
        error = part.target - part.fuse(fusion, median)[:, median]
        scale = context_scale(part.contexts)
        errors.append(torch.where(scale > 0, error / scale, torch.nan))
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
