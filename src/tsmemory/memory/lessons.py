"""What the adapter learns from at one training step."""

from dataclasses import dataclass

import numpy as np
import torch

from tsmemory.memory.advantage import predict_advantage
from tsmemory.memory.config import ObjectiveConfig
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.objective import Batch, objective
from tsmemory.memory.profiles import Adapter
from tsmemory.memory.split import Split
from tsmemory.series.series_set import Float, Int
from tsmemory.teacher.synthesis import TeacherTargets


@dataclass(frozen=True)
class Lessons:
    """Training windows, what the teacher says of them, and what is made of it.

    Attributes:
        train: Training windows, N of them.
        targets: The teacher's targets of the same windows.
        config: Terms and gates.
        held: The fusion on which the task loss is taken; ``None`` takes it on the memory alone.
        advantage: The teacher's predicted advantage, where the gate asks for it. Shape ``(N,)``.
    """

    train: Split
    targets: TeacherTargets
    config: ObjectiveConfig
    held: Fusion | None
    advantage: Float | None

    @classmethod
    def prepare(
        cls, train: Split, targets: TeacherTargets, config: ObjectiveConfig, held: Fusion | None
    ) -> "Lessons":
        """Predict the teacher's advantage where the gate asks for it."""
        predicted = config.gate == "out_of_fold"
        advantage = predict_advantage(train, targets, folds=config.folds) if predicted else None
        return cls(train, targets, config, held, advantage)

    def __len__(self) -> int:
        return len(self.train.windows)

    def terms(self, model: Adapter, chosen: Int) -> dict[str, torch.Tensor]:
        """Terms of the objective on the chosen training windows.

        Args:
            model: The adapter, in training mode.
            chosen: Positions of windows. Shape ``(B,)``.

        Returns:
            Scalars by name; ``total`` is what is minimised.
        """
        contexts, target, quantiles, keys = self.train.take(chosen).tensors()
        batch = Batch(
            target=target,
            backbone=quantiles,
            teacher=torch.from_numpy(self.targets.quantiles(chosen)),
            confidence=torch.from_numpy(self.targets.confidence[chosen]),
            advantage=None
            if self.advantage is None
            else torch.from_numpy(np.asarray(self.advantage[chosen])),
        )
        memory = model(contexts, quantiles, keys)
        median = model.config.median
        fused = memory if self.held is None else self.held.apply(quantiles, memory, median)
        return objective(
            memory,
            fused,
            batch,
            levels=torch.tensor(model.config.quantile_levels),
            median=median,
            config=self.config,
            can_cross=model.can_cross,
        )
