"""Choosing fusion weights from windows that the memory was not trained on (METHOD 1.7).

What is mixed grows step by step, and every step has to be shown to help, block by block: the
memory's median, naive forecasts beside it, weights for each channel; then the memory's spread, and
residuals beside it; at last the whole.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_parts import between_knots, residual_unit
from tsmemory.memory.fusion_windows import Part, Parts, block_losses, losses_of_each
from tsmemory.memory.instance_norm import context_scale
from tsmemory.memory.ladder import FROZEN, Ladder
from tsmemory.memory.location_fit import MixtureSums, fit_location
from tsmemory.memory.mixture import Mixture
from tsmemory.memory.out_of_fold import OutOfFold
from tsmemory.memory.width_fit import Widths, fit_factor, fit_widths, stretches
from tsmemory.series.series_set import Int

__all__ = ["Part", "Parts", "block_losses", "fit_factor", "fit_fusion", "fit_location"]

MOST_STEPS = 1_000_000  # of targets that widths are fitted on: neighbours tell much the same


def fit_fusion(
    parts: Parts,
    origin_time: Int,
    *,
    levels: tuple[float, ...],
    horizon: int,
    stride: int,
    config: FusionConfig,
    rng: np.random.Generator,
    season: int = 1,
    training: OutOfFold | None = None,
) -> Fusion:
    """Choose and guard fusion weights on validation windows.

    Location weights come first, by least squares; then spread factors and shares, by least pinball
    loss. Each step, and at last the whole, has to lower the pinball loss: location against the
    frozen backbone, spread against the backbone's own around the same median, the whole against the
    frozen backbone. (Squared error is too heavy-tailed for such a test on a short validation
    split.)

    Args:
        parts: The validation windows, in order, as often as asked. Without contexts there are no
            naive forecasts, residuals or gates; without channels no weights for each.
        origin_time: Forecast origin of each window on the shared calendar. Shape ``(N,)``.
        levels: Quantile levels.
        horizon: The longest horizon.
        stride: Steps between consecutive origins.
        config: Blocks, shrinkage, candidates, gate and guard.
        rng: Draws the bootstrap.
        season: Steps in a season.
        training: What out-of-fold training windows say; towards their weights those of validation
            are shrunk, the more the fewer independent stretches of validation there are. Without
            it there are no residuals, and horizons too long for validation stay with the backbone.

    Returns:
        The fusion, with its choice and the guard's verdicts in ``report``.
    """
    median = levels.index(0.5)
    sums = MixtureSums.collect(parts, median=median, season=season, config=config)
    mixture = Mixture.fit(
        sums, origin_time, season=season, stride=stride, config=config, training=training
    )
    ladder = Ladder(origin_time, stride, config, rng, training)
    sample = _Sample.spread(origin_time, horizon)
    losses = _losses(sample.gathering(parts()), mixture.location_steps(), levels)
    location = ladder.climb(losses)
    mixture = mixture.keep_location(location.kept)
    widths = sample.widths(
        mixture.spread_basis(),
        levels,
        training if config.residuals else None,
        by_channel=bool(mixture.by_channel),
    )
    mixture = mixture.with_widths(
        fit_widths(widths, block=config.block, levels=levels, shrinkage=config.shrinkage)
    )
    spread = ladder.climb(_losses(parts(), mixture.spread_steps(), levels), location.kept)
    passed, whole = ladder.judge(
        spread.loss,
        losses[FROZEN],
        _states(location.kept, spread.kept),
        [FROZEN] * len(spread.kept),
    )
    guard = {**location.verdicts, **spread.verdicts, "whole": whole}
    report = {
        "chosen_on": "validation",
        "location_before_guard": [float(weight) for weight in mixture.alone[0]],
        "guard": {_NAMES.get(name, name): lines for name, lines in guard.items()},
    }
    fusion = mixture.finish(spread.kept, passed)
    return replace(fusion, report={**report, "shares": fusion.explain()})


# What the guard's lines are called in reports: the first step of each part by its part's name.
_NAMES = {"memory": "location", "width_memory": "spread", "width_residuals": "widths"}


def _states(location: Sequence[str], spread: Sequence[str]) -> list[str]:
    """What the whole is called on training windows, in each block; empty where it is not known."""
    found = []
    for median, width in zip(location, spread, strict=True):
        around = "" if median == FROZEN else width
        found.append(median if width == "backbone" else around)
    return found


def _losses(
    parts: Iterable[Part], fusions: dict[str, Fusion], levels: tuple[float, ...]
) -> dict[str, NDArray[np.float64]]:
    found = losses_of_each(parts, list(fusions.values()), levels=levels)
    return dict(zip(fusions, found, strict=True))


@dataclass(frozen=True)
class _Sample:
    """Windows kept in memory, all that share some evenly spread origins.

    Attributes:
        chosen: Which windows. Shape ``(N,)``.
        fold: Stretch of time that each chosen window belongs to.
        parts: The windows, once they were gathered.
    """

    chosen: NDArray[np.bool_]
    fold: Int
    parts: list[Part] = field(default_factory=list)

    @classmethod
    def spread(cls, origin_time: Int, horizon: int) -> "_Sample":
        origins = np.unique(origin_time)
        every = max(1, -(-len(origin_time) * horizon // MOST_STEPS))
        chosen = np.isin(origin_time, origins[::every])
        return cls(chosen, stretches(origin_time[chosen]))

    def gathering(self, parts: Iterable[Part]) -> Iterator[Part]:
        """All windows in order, the chosen ones being kept on the way."""
        position = 0
        for part in parts:
            which = self.chosen[position : position + len(part.target)]
            position += len(which)
            self.parts.append(part.take(which))
            yield part

    def widths(
        self,
        fusion: Fusion,
        levels: tuple[float, ...],
        training: OutOfFold | None,
        *,
        by_channel: bool,
    ) -> Widths:
        """The chosen windows with their fused median and what may surround it."""
        median = levels.index(0.5)
        errors, own, memory, residuals = [], [], [], []
        for part in self.parts:
            errors.append(part.target - part.fuse(fusion, median)[:, median])
            own.append(part.backbone - part.backbone[:, median : median + 1])
            memory.append(part.memory - part.memory[:, median : median + 1])
            if training is not None and part.contexts is not None:
                unit = residual_unit(context_scale(part.contexts))[:, :, None]
                channels = part.channels if by_channel else None
                horizon = part.target.shape[1]
                relative = _residual_offsets(training, channels, fusion.block, horizon)
                residuals.append(unit * relative)
        sources = [torch.cat(own), torch.cat(memory)]
        if residuals:
            sources.append(torch.cat(residuals))
        return Widths(torch.cat(errors), tuple(sources), self.fold)


def _residual_offsets(
    training: OutOfFold, channels: NDArray[np.str_] | None, block: int, horizon: int
) -> torch.Tensor:
    """Residuals around the median in their own unit. Shape ``(1, Q, H)`` or ``(B, Q, H)``."""
    offsets = torch.from_numpy(between_knots(training.knots, training.offsets, horizon))[None]
    if channels is None:
        return offsets
    by_block = np.stack([training.scale_of(str(name)) for name in channels])
    by_step = torch.from_numpy(by_block).float().repeat_interleave(block, dim=1)
    return offsets * by_step[:, None, :horizon]
