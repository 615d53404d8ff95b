"""The guard over a fusion that grows step by step: each step is kept where it is shown to help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsmemory.memory.config import FusionConfig
from tsmemory.memory.guard import guard_blocks
from tsmemory.memory.out_of_fold import OutOfFold
from tsmemory.series.series_set import Int

Losses = NDArray[np.float64]  # (N, blocks)
Verdicts = list[dict[str, object]]

FROZEN = "frozen"


class Climb(NamedTuple):
    """What is left of a sequence of steps.

    Attributes:
        kept: Name of the last step that is kept, for each block.
        loss: Loss of what is kept. Shape ``(N, blocks)``.
        verdicts: The guard's lines for each step but the first.
    """

    kept: list[str]
    loss: Losses
    verdicts: dict[str, Verdicts]


@dataclass(frozen=True)
class Ladder:
    """Judges steps on the same validation windows.

    Attributes:
        origin_time: Origin of each window. Shape ``(N,)``.
        stride: Steps between consecutive origins of one row.
        config: Blocks and guard.
        rng: Draws the bootstrap.
        training: Losses of out-of-fold training windows.
    """

    origin_time: Int
    stride: int
    config: FusionConfig
    rng: np.random.Generator
    training: OutOfFold | None

    def climb(self, losses: Mapping[str, Losses], start: Sequence[str] | None = None) -> Climb:
        """Keep each step where it is better than what is kept so far.

        Args:
            losses: Loss of each step by name; the first is where it starts.
            start: What the first step is in each block, if not what it is called. Steps on top of
                the frozen median are not known from training windows.

        Returns:
            What is left.
        """
        (first, loss), *steps = losses.items()
        kept, loss = [first] * loss.shape[1], loss.copy()
        states = list(kept if start is None else start)
        verdicts = {}
        for name, own in steps:
            names = [name if start is None or at != FROZEN else "" for at in start or states]
            passed, lines = self.judge(own, loss, names, states)
            verdicts[name] = lines
            for block in np.flatnonzero(passed):
                kept[block] = states[block] = name
                loss[:, block] = own[:, block]
        return Climb(kept, loss, verdicts)

    def judge(
        self,
        loss: Losses,
        reference: Losses,
        states: Sequence[str],
        references: Sequence[str],
    ) -> tuple[tuple[bool, ...], Verdicts]:
        """Whether each block of one forecast is better than that of another.

        Args:
            loss: Loss of the one.
            reference: Loss of the other.
            states: What the one is called on training windows, in each block.
            references: What the other is called there.

        Returns:
            The guard's decision for each block, and its lines.
        """
        evidence = None
        if self.training is not None:
            evidence = self.training.evidence(states, references, self.config.training_weight)
        return guard_blocks(
            loss,
            reference,
            self.origin_time,
            block=self.config.block,
            stride=self.stride,
            config=self.config.guard,
            rng=self.rng,
            training=evidence,
        )
