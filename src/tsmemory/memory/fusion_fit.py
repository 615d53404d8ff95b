"""Choosing fusion weights from windows that the memory was not trained on (METHOD 1.7)."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import Fusion, closed_form_location
from tsmemory.memory.guard import guard_blocks
from tsmemory.memory.objective import pinball
from tsmemory.series.series_set import Int

FACTORS = tuple(float(f) for f in np.geomspace(0.4, 4.0, 33))  # 7 % apart


class Part(NamedTuple):
    """Some windows with what is known of them.

    Attributes:
        target: NaN where unknown. Shape ``(B, H)``.
        backbone: Qb. Shape ``(B, Q, H)``.
        memory: Qm. Shape ``(B, Q, H)``.
    """

    target: torch.Tensor
    backbone: torch.Tensor
    memory: torch.Tensor


Parts = Callable[[], Iterable[Part]]  # starts a new pass over the windows at each call


def fit_location(parts: Parts, *, block: int, median: int, shrinkage: float) -> tuple[float, ...]:
    """Location weights in closed form (squared error), one for each horizon block."""
    numerator, denominator = np.zeros(1), np.zeros(1)
    for part in parts():
        step = part.memory[:, median] - part.backbone[:, median]
        gap = torch.nan_to_num(part.target - part.backbone[:, median])
        known = ~torch.isnan(part.target)
        numerator = numerator + _by_block((gap * step * known).sum(0).double(), block)
        denominator = denominator + _by_block((step**2 * known).sum(0).double(), block)
    return closed_form_location(numerator, denominator, shrinkage)


def fit_factor(
    parts: Parts,
    location: tuple[float, ...],
    *,
    block: int,
    levels: tuple[float, ...],
    median: int,
    shrinkage: float,
) -> tuple[float, ...]:
    """Spread factors with the least pinball loss on a grid, shrunk towards the global one."""
    blocks = len(location)
    loss = np.zeros((len(FACTORS), blocks))
    level = torch.tensor(levels)
    for part in parts():
        for number, factor in enumerate(FACTORS):
            fusion = Fusion(block, location, (1.0,) * blocks, (factor,) * blocks)
            fused = fusion.apply(part.backbone, part.memory, median)
            loss[number] += _by_block(pinball(part.target, fused, level).sum(0).double(), block)
    # A block without a known target, or without width, prefers no factor and takes the global one.
    telling = loss.max(axis=0) > loss.min(axis=0)
    overall = np.log(FACTORS[int(loss.sum(axis=1).argmin())]) if telling.any() else 0.0
    own = np.where(telling, np.log(np.array(FACTORS)[loss.argmin(axis=0)]), overall)
    return tuple(float(f) for f in np.exp((1 - shrinkage) * own + shrinkage * overall))


def fit_fusion(
    parts: Parts,
    origin_time: Int,
    *,
    levels: tuple[float, ...],
    horizon: int,
    stride: int,
    config: FusionConfig,
    rng: np.random.Generator,
) -> Fusion:
    """Choose and guard fusion weights on validation windows.

    Location weights come first, by least squares; then spread factors, by least pinball loss. Each
    part, and at last the whole, has to lower the pinball loss: location against the frozen
    backbone, spread against the backbone's own around the same median, the whole against the frozen
    backbone. (Squared error is too heavy-tailed for such a test on a short validation split.)

    Args:
        parts: The validation windows, in order, as often as asked.
        origin_time: Forecast origin of each window on the shared calendar. Shape ``(N,)``.
        levels: Quantile levels.
        horizon: The longest horizon.
        stride: Steps between consecutive origins.
        config: Blocks, shrinkage and guard.
        rng: Draws the bootstrap.

    Returns:
        The fusion, with its choice and the guard's verdicts in ``report``.
    """
    block, shrinkage, median = config.block, config.shrinkage, levels.index(0.5)
    blocks = -(-horizon // block)
    closed, open_, unit = (0.0,) * blocks, (1.0,) * blocks, (1.0,) * blocks
    idle = Fusion(block, closed, closed, unit)

    def judge(
        candidate: Fusion, reference: Fusion
    ) -> tuple[tuple[bool, ...], list[dict[str, object]]]:
        loss, reference_loss = (
            block_losses(parts, fusion, levels=levels) for fusion in (candidate, reference)
        )
        return guard_blocks(
            loss,
            reference_loss,
            origin_time,
            block=block,
            stride=stride,
            config=config.guard,
            rng=rng,
        )

    wanted = fit_location(parts, block=block, median=median, shrinkage=shrinkage)
    passed, location_report = judge(Fusion(block, wanted, closed, unit), idle)
    location = _keep(wanted, passed)
    factor = fit_factor(
        parts, location, block=block, levels=levels, median=median, shrinkage=shrinkage
    )
    passed, spread_report = judge(
        Fusion(block, location, open_, factor), Fusion(block, location, closed, unit)
    )
    fusion = Fusion(block, location, _keep(open_, passed), factor)
    passed, whole_report = judge(fusion, idle)
    return Fusion(
        block=block,
        location=_keep(location, passed),
        spread=_keep(fusion.spread, passed),
        factor=factor,
        report={
            "chosen_on": "validation",
            "location_before_guard": list(wanted),
            "guard": {
                "location": location_report,
                "spread": spread_report,
                "whole": whole_report,
            },
        },
    )


def block_losses(parts: Parts, fusion: Fusion, *, levels: tuple[float, ...]) -> NDArray[np.float64]:
    """Mean pinball loss of each window in each horizon block.

    Args:
        parts: The windows.
        fusion: What is judged.
        levels: Quantile levels.

    Returns:
        Loss over the known steps, NaN where none is known. Shape ``(N, blocks)``.
    """
    level, median = torch.tensor(levels), levels.index(0.5)
    rows = []
    for part in parts():
        fused = fusion.apply(part.backbone, part.memory, median)
        known = ~torch.isnan(part.target)
        total = _by_block(pinball(part.target, fused, level).double(), fusion.block)
        count = _by_block(known.double(), fusion.block)
        rows.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.concatenate(rows)


def _by_block(values: torch.Tensor, block: int) -> NDArray[np.float64]:
    """Sum the last axis over blocks of steps."""
    padding = -values.shape[-1] % block
    padded = torch.nn.functional.pad(values, (0, padding))
    return np.asarray(padded.reshape(*values.shape[:-1], -1, block).sum(-1).numpy())


def _keep(weights: tuple[float, ...], passed: tuple[bool, ...]) -> tuple[float, ...]:
    return tuple(weight if ok else 0.0 for weight, ok in zip(weights, passed, strict=True))
