"""How training goes on stretches of training time that it does not know.

A validation split is one stretch, and the next may be another: on hourly transformers a correction
that won there was far worse than none a season later. So training is rehearsed: on all stretches of
training time but one, in turn, with ridges and long-run levels that do not know that stretch
either. It tells how many passes help, and the adapters that come of it tell what a trained memory
is worth where it knows nothing, for the fusion and the guard.
"""

import copy
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tsmemory.memory.cross_fit import CrossFit, Outside
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_windows import Parts, block_losses
from tsmemory.memory.instance_norm import Normalised
from tsmemory.memory.learner import Learner
from tsmemory.memory.objective import pinball
from tsmemory.memory.out_of_fold_fit import MOST_STEPS, Memory, cross_fit_parts
from tsmemory.memory.profiles import Adapter
from tsmemory.memory.ridge import Ridge, overlapping
from tsmemory.memory.split import Split
from tsmemory.scaleout.groups import Ranks
from tsmemory.series.series_set import Int

logger = logging.getLogger(__name__)

WATCHED_STEPS = 1_000_000  # of targets, after every pass


@dataclass(frozen=True)
class Stage:
    """Where training is rehearsed.

    Attributes:
        train: Training windows.
        cross_fit: Ridges and levels that do not know them.
        own: The ridge of windows that have none.
        held: The fusion that holds during training.
    """

    train: Split
    cross_fit: CrossFit
    own: Ridge
    held: Fusion

    def others(self, stretch: Int) -> Int:
        """Windows that share no step with those of a stretch."""
        known = np.flatnonzero(self.cross_fit.fold >= 0)
        if len(stretch) == 0:
            return known
        windows = self.train.windows
        shared = overlapping(windows.take(known), windows.take(stretch), self.train.series)
        return np.asarray(known[~shared])

    def parts(self, memory: Memory | None, most_steps: int) -> Parts:
        """Training windows, not all of them, with a memory that does not know them."""
        members = self.cross_fit.members(most_steps // self.train.windows.horizon)
        return cross_fit_parts(self.train, self.cross_fit, self.own, members, memory)

    def losses(self, memory: Memory | None) -> np.ndarray:
        """Fused pinball loss of windows by horizon block, NaN where unknown. ``(M, blocks)``."""
        levels = self.train.forecasts.levels
        return block_losses(self.parts(memory, MOST_STEPS), self.held, levels=levels)

    def origins(self) -> Int:
        """Origin of each window in :meth:`losses`. Shape ``(M,)``."""
        windows = self.train.windows
        members = self.cross_fit.members(MOST_STEPS // windows.horizon)
        chosen = windows.take(np.concatenate(members))
        return np.asarray(chosen.calendar(self.train.series) + windows.context_length)

    def watch(self, memory: Memory) -> float:
        """Mean fused pinball loss over the known target steps, in z units."""
        levels = self.train.forecasts.levels
        median, grid = levels.index(0.5), torch.tensor(levels)
        total, count = 0.0, 0
        for part in self.parts(memory, WATCHED_STEPS)():
            fused = part.fuse(self.held, median)
            total += float(pinball(part.target, fused, grid).sum(dtype=torch.float64))
            count += int((~torch.isnan(part.target)).sum())
        return total / max(count, 1)


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal found.

    Attributes:
        epochs: Passes with the least loss on the stretches left out; 0 if none helps.
        losses: Mean fused loss there before the first pass and after each.
        adapters: For each stretch the adapter after those passes.
    """

    epochs: int
    losses: list[float]
    adapters: list[Adapter] = field(repr=False)

    def history(self, seed: int) -> list[dict[str, Any]]:
        """The loss curve, a line for each pass."""
        return [
            {"seed": seed, "epoch": epoch, "rehearsal": loss, "best": epoch == self.epochs}
            for epoch, loss in enumerate(self.losses)
        ]

    def recall(self, seen: Outside, stretch: int) -> torch.Tensor:
        """The memory of windows of a stretch that it does not know. Shape ``(B, Q, H)``."""
        return recall(self.adapters[stretch], seen)


def rehearse(
    stage: Stage,
    start: Callable[[], Adapter],
    teach: Callable[[Adapter], Learner],
    *,
    epochs: int,
    patience: int,
    rng: np.random.Generator,
    ranks: Ranks,
) -> Rehearsal:
    """Train on all stretches but one, in turn, all of them pass by pass.

    Args:
        stage: Where.
        start: Makes an adapter before its first step.
        teach: Lets it learn.
        epochs: At most so many passes.
        patience: Passes without a lower loss before it stops.
        rng: Orders the windows.
        ranks: Who trains; the first one judges.

    Returns:
        What was found.
    """
    stretches = stage.cross_fit.members()
    lessons = [stage.others(stretch) for stretch in stretches]
    adapters = [start() for _ in stretches]
    learners = [teach(adapter) for adapter in adapters]

    def watch() -> float:
        return stage.watch(lambda seen, stretch: recall(adapters[stretch], seen))

    losses = [judged(ranks, watch)]
    best = [copy.deepcopy(adapter) for adapter in adapters]
    for epoch in range(1, epochs + 1):
        for learner, known in zip(learners, lessons, strict=True):
            learner.learn("Rehearsing", rng.permutation(known), epoch)
        losses.append(judged(ranks, watch))
        logger.info("Rehearsal, epoch %d: unknown stretches %.5f", epoch, losses[-1])
        first = int(np.argmin(losses))
        if first == epoch:
            best = [copy.deepcopy(adapter) for adapter in adapters]
        elif epoch - first >= patience:
            break
    return Rehearsal(int(np.argmin(losses)), losses, [adapter.eval() for adapter in best])


def judged(ranks: Ranks, judge: Callable[[], float]) -> float:
    """A loss that the first rank finds, at every rank, so that all of them stop together."""
    return ranks.agree(judge() if ranks.is_first else math.nan)


def recall(adapter: Adapter, seen: Outside) -> torch.Tensor:
    """What an adapter says of windows as they look from outside, on the CPU. ``(B, Q, H)``."""
    device = adapter.device
    given = (seen.contexts, seen.quantiles, seen.keys)
    contexts, quantiles, keys = (values.to(device) for values in given)
    normal = Normalised(*(values.to(device) for values in seen.normal))
    with torch.inference_mode():
        found: torch.Tensor = adapter.eval()(
            contexts, quantiles, keys, normal, seen.ahead.to(device)
        )
    return found.cpu()
