"""An adapter that learns: its optimizer, its precision, and the ranks that share its steps."""

from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch

from tsmemory.memory.adapter import MemoryAdapter
from tsmemory.memory.config import TrainingConfig
from tsmemory.memory.lessons import Lessons
from tsmemory.memory.objective import Portion
from tsmemory.memory.profiles import Adapter
from tsmemory.progress import track
from tsmemory.scaleout.communication import SharedModel
from tsmemory.scaleout.groups import Ranks
from tsmemory.scaleout.large_batch import (
    UpdateRule,
    build_optimizers,
    scaled_rate,
    set_rate,
    warming,
)
from tsmemory.scaleout.precision import Precision
from tsmemory.series.series_set import Int


class Piece(NamedTuple):
    """What one rank computes at once.

    Attributes:
        windows: Positions of training windows. Shape ``(B,)``.
        portion: What they count, so that the mean over all ranks of the sum over a rank's pieces
            is the loss of the whole batch.
    """

    windows: Int
    portion: Portion


class Learner:
    """An adapter in training, at one of the ranks.

    Attributes:
        model: The adapter, on this rank's device.
    """

    def __init__(
        self, model: Adapter, lessons: Lessons, config: TrainingConfig, ranks: Ranks
    ) -> None:
        """Connect the ranks; all of them have to.

        Args:
            model: The adapter before its first step, where the rank computes. The other ranks take
                over the first one's weights.
            lessons: What it learns from.
            config: Optimizer and schedule.
            ranks: Who trains.
        """
        self.model = model
        self._lessons, self._config, self._ranks = lessons, config, ranks
        spare = isinstance(model, MemoryAdapter) and model.config.base != "both"
        self._shared = SharedModel(model, ranks, self._terms, some_unused=spare)
        self._precision = Precision(config.precision, ranks.device)
        self._optimizers = optimizers_of(model, config)
        self._steps = 0

    def learn(self, what: str, order: Int, epoch: int) -> dict[str, float]:
        """One pass over training windows.

        Args:
            what: Said beside the progress bar.
            order: Positions of the windows, the same at all ranks.
            epoch: Number of the pass.

        Returns:
            The mean of each term of the objective over the steps, the same at all ranks.
        """
        size = self._config.batch_size
        batches = [np.sort(order[first : first + size]) for first in range(0, len(order), size)]
        warmup = round(self._config.warmup * len(batches))
        sums: dict[str, float] = {}
        self.model.train()
        for chosen in track(batches, f"{what}, epoch {epoch}") if self._ranks.is_first else batches:
            rate = scaled_rate(self._config.learning_rate, size, self._config.base_batch)
            set_rate(self._optimizers, rate * warming(self._steps, warmup))
            for name, value in self._step(chosen).items():
                sums[name] = sums.get(name, 0.0) + value / len(batches)
        self._shared.settle()
        total = self._ranks.sum(np.array(list(sums.values()))) / self._ranks.size
        return dict(zip(sums, map(float, total), strict=True))

    def _step(self, chosen: Int) -> dict[str, float]:
        """One step on a batch; this rank's part of each term."""
        known, parts = self._lessons.known_steps, self._config.accumulate
        pieces = share_out(chosen, known, self._ranks, parts)
        found: dict[str, float] = {}
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            with nullcontext() if last else self._shared.holding_back():
                terms = self._shared(piece)
                self._precision.backward(terms["total"])
            for name, value in terms.items():
                found[name] = found.get(name, 0.0) + value.item()
        self._precision.step(
            self._optimizers, self.model.parameters(), clip=self._config.gradient_clip
        )
        self._shared.stepped()
        self._steps += 1
        return found

    def _terms(self, model: Adapter, piece: Piece) -> dict[str, torch.Tensor]:
        autocast = self._precision.autocast()
        return self._lessons.terms(model, piece.windows, piece.portion, autocast)


def share_out(chosen: Int, known_steps: Int, ranks: Ranks, parts: int) -> list[Piece]:
    """This rank's share of each part of a batch.

    Every rank has as many pieces as the others. One that nothing is left for computes a window
    that counts nothing.

    Args:
        chosen: Positions of the batch's windows, the same at all ranks.
        known_steps: Known target steps of all windows. Shape ``(N,)``.
        ranks: Who trains.
        parts: In how many parts the batch is computed; each has a window at least.
    """
    steps = max(int(known_steps[chosen].sum()), 1)
    pieces = []
    for part in np.array_split(chosen, min(parts, len(chosen))):
        share = ranks.share(len(part))
        mine, portion = part[share.rows], Portion(0.0, 0.0)
        if share.weight > 0:  # DDP divides the sum over all ranks by their number
            windows, known = len(mine) / len(chosen), int(known_steps[mine].sum()) / steps
            portion = Portion(ranks.size * windows, ranks.size * known)
        pieces.append(Piece(mine, portion))
    return pieces


def optimizers_of(model: Adapter, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """What moves an adapter's weights: AdamW over all of them, or what large batches need."""
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "adamw":
        return [torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)]
    return build_optimizers(model, UpdateRule(config.optimizer, rate, decay))
