"""Blocked, purged cross-validation of the fusion on validation windows.

A fusion's weights are chosen on the other blocks of validation and scored on the block left out.
Windows near that block share steps with its own, so those within ``L + H`` steps are purged. A
validation split is often too short for that (ETTh1 has 2,880 steps, and L + 720 is 1,232): then as
many steps are purged as leave a third of the other windows for every block, and the problem says so
in its summary. Contexts that reach into a neighbouring block leak nothing by themselves, since
nothing but a few fusion weights is fitted here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion_fit import fit_fusion
from tsmemory.memory.fusion_windows import Part
from tsmemory.memory.out_of_fold import OutOfFold
from tsmemory.memory.split import Split
from tsmemory.memory.width_fit import stretches
from tsmemory.metrics import season_length
from tsmemory.series.series_set import Int
from tsmemory.tuning.gates.sample import spacing
from tsmemory.tuning.gates.scores import BlockScores, Metric, mean_metric, metric_sums

_LEAST_SHARE = 1 / 3  # of the windows of other blocks, that purging leaves

OnBlock = Callable[[int, float], None]


@dataclass(frozen=True)
class Folds:
    """Blocks of validation windows.

    Attributes:
        split: The N windows.
        origin_time: Origin of each on the shared calendar. Shape ``(N,)``.
        block: Block of each. Shape ``(N,)``.
        purge: Steps around a block within which no other window is fitted on.
        horizons: Horizons that are scored.
        metric: What is scored.
        seed: Of the guard's bootstrap.
    """

    split: Split
    origin_time: Int
    block: Int
    purge: int
    horizons: tuple[int, ...]
    metric: Metric
    seed: int

    @classmethod
    def cut(
        cls, split: Split, *, blocks: int, horizons: Sequence[int], metric: Metric, seed: int
    ) -> "Folds":
        """Cut validation into stretches of time.

        Args:
            split: Validation windows.
            blocks: How many; no more than there are origins.
            horizons: Horizons that are scored.
            metric: What is scored.
            seed: Of the guard's bootstrap.
        """
        windows = split.windows
        origin_time = windows.calendar(split.series) + windows.context_length
        block = stretches(origin_time, min(blocks, len(np.unique(origin_time))))
        wanted = windows.context_length + windows.horizon
        purge = purge_steps(origin_time, block, wanted)
        return cls(split, origin_time, block, purge, tuple(horizons), metric, seed)

    @property
    def count(self) -> int:
        """Number of blocks."""
        return int(self.block.max()) + 1

    def fitted_on(self, number: int) -> NDArray[np.bool_]:
        """Windows that the fusion of a block is chosen on. Shape ``(N,)``."""
        return distance_to(self.origin_time, self.block, number) >= max(self.purge, 1)

    def score(
        self,
        parts: Sequence[Part],
        config: FusionConfig,
        training: OutOfFold | None,
        on_block: OnBlock | None = None,
    ) -> BlockScores:
        """Choose the fusion on all blocks but one, in turn, and score it on the one left out.

        Args:
            parts: The windows, in order.
            config: Form of the fusion.
            training: What out-of-fold training windows say.
            on_block: Told after each block its number and the metric over the blocks so far; what
                it raises ends the work.

        Returns:
            The scores.
        """
        windows, levels = self.split.windows, self.split.forecasts.levels
        complete = np.stack([windows.complete(horizon) for horizon in self.horizons], axis=1)
        sums = np.zeros((*complete.shape, 2))
        for number in range(self.count):
            fitted, held_out = self.fitted_on(number), self.block == number
            chosen = take_parts(parts, fitted)
            fusion = fit_fusion(
                lambda chosen=chosen: chosen,  # type: ignore[misc]
                self.origin_time[fitted],
                levels=levels,
                horizon=windows.horizon,
                stride=spacing(self.origin_time),
                config=config,
                rng=np.random.default_rng([self.seed, number]),
                season=season_length(self.split.series.freq),
                training=training,
            )
            fused = [
                metric_sums(
                    part.target,
                    part.fuse(fusion, levels.index(0.5)),
                    metric=self.metric,
                    levels=levels,
                    horizons=self.horizons,
                    complete=reached,
                )
                for part, reached in _with(take_parts(parts, held_out), complete[held_out])
            ]
            sums[held_out] = np.concatenate(fused)
            if on_block is not None:
                on_block(number, mean_metric(sums[self.block <= number]))
        return BlockScores.collect(sums, self.origin_time, self.block)


def distance_to(origin_time: Int, block: Int, number: int) -> Int:
    """Steps from each origin to the nearest of a block, 0 inside. Shape ``(N,)``."""
    mine = origin_time[block == number]
    first, last = mine.min(), mine.max()
    return np.asarray(np.maximum(np.maximum(first - origin_time, origin_time - last), 0))


def purge_steps(origin_time: Int, block: Int, wanted: int) -> int:
    """Steps to purge around each block.

    Args:
        origin_time: Origin of each window. Shape ``(N,)``.
        block: Its block. Shape ``(N,)``.
        wanted: Steps that would rule out that windows share any.

    Returns:
        As many as wanted, or fewer where that would leave less than a third of the other windows.
    """
    purge = wanted
    for number in range(int(block.max()) + 1):
        outside = np.sort(distance_to(origin_time, block, number)[block != number])
        if len(outside):
            purge = min(purge, int(outside[int(len(outside) * (1 - _LEAST_SHARE))]))
    return purge


def take_parts(parts: Sequence[Part], which: NDArray[np.bool_]) -> list[Part]:
    """The chosen windows of some parts; parts of which none is chosen are left out."""
    taken, first = [], 0
    for part in parts:
        mine = which[first : first + len(part.target)]
        first += len(mine)
        if mine.any():
            taken.append(part if mine.all() else part.take(mine))
    return taken


def _with(
    parts: Sequence[Part], complete: NDArray[np.bool_]
) -> list[tuple[Part, NDArray[np.bool_]]]:
    """Parts beside the lines that belong to them."""
    edges = np.cumsum([len(part.target) for part in parts])[:-1]
    return list(zip(parts, np.split(complete, edges), strict=True))
