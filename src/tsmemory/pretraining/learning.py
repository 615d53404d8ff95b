"""One step of pretraining: on one rank or on several, whole or in micro-batches."""

from contextlib import nullcontext

import numpy as np
import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from torch import Tensor

from tsmemory.pretraining.config import OptimizerConfig, TrainingConfig
from tsmemory.pretraining.corpus import Batch
from tsmemory.pretraining.model import clarity, normal_quantiles, pinball, step_weights
from tsmemory.pretraining.optimization import make_optimizers
from tsmemory.scaleout.communication import SharedModel
from tsmemory.scaleout.groups import Ranks
from tsmemory.scaleout.large_batch import set_rate
from tsmemory.scaleout.precision import Precision


class Learner:
    """Takes steps; all ranks take the same ones, each on its share of every batch.

    Attributes:
        model: The network.
        optimizers: Of its weights.
        precision: How it multiplies.
        weights: Of the steps ahead, in the loss. Shape ``(H,)``.
        ranks: Who trains.
    """

    def __init__(
        self,
        model: ChronosBoltModelForForecasting,
        optimizer: OptimizerConfig,
        config: TrainingConfig,
        ranks: Ranks,
    ) -> None:
        """Make the optimizers.

        Args:
            model: The network before its first step.
            optimizer: How weights move.
            config: Precision, loss and micro-batches.
            ranks: Who trains.
        """
        self.model, self.config, self.ranks = model, config, ranks
        self.optimizers = make_optimizers(model, optimizer)
        self.precision = Precision(config.precision, ranks.device)
        horizon = model.chronos_config.prediction_length
        self.weights = step_weights(horizon, config.step_decay).to(ranks.device)
        self._clip = optimizer.gradient_clip
        self._shared: SharedModel | None = None

    def connect(self, first_step: int) -> None:
        """Connect the ranks, before the first step and after a checkpoint was read.

        Args:
            first_step: Steps done before.
        """
        self._shared = SharedModel(self.model, self.ranks, normal_quantiles, first_step=first_step)

    def losses(self, contexts: Tensor, targets: Tensor) -> Tensor:
        """Loss of each window, without gradients. Shape ``(B,)``."""
        with self.precision.autocast():
            quantiles = normal_quantiles(self.model, contexts)
        return pinball(quantiles, targets, self.weights)

    def gather(self, batch: Batch) -> float:
        """Add up the gradients of a batch.

        Windows are weighted, by weights whose mean over the batch is 1. A micro-batch is therefore
        normalised by its own, and the gradients so far are weighed against it.

        Args:
            batch: The whole one; all ranks have drawn it alike.

        Returns:
            Mean loss of its windows. Periodic averaging spares the exchange: there each rank
            returns that of its share, and normalises by it.
        """
        assert self._shared is not None
        size = -(-len(batch.contexts) // self.config.accumulate)
        parts = list(zip(*(torch.split(each, size) for each in batch), strict=True))
        sums = np.zeros(3)  # of weights, of losses, and of windows
        for number, (contexts, targets) in enumerate(parts, 1):
            share, last = self.ranks.share(len(contexts)), number == len(parts)
            with nullcontext() if last else self._shared.holding_back():
                with self.precision.autocast():
                    quantiles = self._shared(contexts[share.rows])
                losses = pinball(quantiles, targets[share.rows], self.weights)
                clear = clarity(quantiles, self.weights, self.config.floor)
                own = np.zeros(3)
                if share.weight > 0:
                    count = len(losses)
                    own[:] = float(clear.sum()), float(losses.detach().mean()) * count, count
                before, sums = sums[0], sums + own
                everywhere = self._everywhere(sums) if last else sums
                self._weigh(before / everywhere[0] if before else 1.0)
                loss = (clear / clear.mean() * losses).mean()
                self.precision.backward(loss * (own[0] / everywhere[0] if own[0] else 0.0))
        return float(everywhere[1] / everywhere[2]) if everywhere[2] else 0.0

    def move(self, rate: float) -> None:
        """Move the weights by the gradients that were gathered."""
        assert self._shared is not None
        set_rate(self.optimizers, rate)
        self.precision.step(self.optimizers, self.model.parameters(), clip=self._clip)
        self._shared.stepped()

    def settle(self) -> None:
        """Make weights equal at all ranks."""
        assert self._shared is not None
        self._shared.settle()

    def _everywhere(self, sums: np.ndarray) -> np.ndarray:
        """Mean over ranks, which is what their gradients are averaged to."""
        if self.ranks.communication.average_every > 1:
            return sums
        return self.ranks.sum(sums) / self.ranks.size

    def _weigh(self, factor: float) -> None:
        """Scale this rank's own gradients so far."""
        if factor != 1:
            torch._foreach_mul_(
                [w.grad for w in self.model.parameters() if w.grad is not None], factor
            )
