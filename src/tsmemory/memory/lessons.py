"""What the adapter learns from at one training step."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tsmemory.memory.advantage import predict_advantage
from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import ObjectiveConfig
from tsmemory.memory.cross_fit import look_from_outside
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
        closed_form: Shows training windows as they look from outside, so that the ridge's errors
            on them are as large as they will be; ``None`` where there is no ridge.
        advantage: The teacher's predicted advantage, where the gate asks for it. Shape ``(N,)``.
    """

    train: Split
    targets: TeacherTargets
    config: ObjectiveConfig
    held: Fusion | None
    closed_form: ClosedForm | None
    advantage: Float | None

    @classmethod
    def prepare(
        cls,
        train: Split,
        targets: TeacherTargets,
        config: ObjectiveConfig,
        held: Fusion | None,
        closed_form: ClosedForm | None = None,
    ) -> "Lessons":
        """Predict the teacher's advantage where the gate asks for it."""
        predicted = config.gate == "out_of_fold"
        advantage = predict_advantage(train, targets, folds=config.folds) if predicted else None
        return cls(train, targets, config, held, closed_form, advantage)

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
        teacher = torch.from_numpy(self.targets.quantiles(chosen))
        known: dict[str, Any] = {}
        closed_form = self.closed_form
        if closed_form is None or closed_form.cross_fit is None:
            part = self.train.take(chosen)
            contexts, target, quantiles, keys = part.tensors()
            channels = part.channels()
        else:
            seen = look_from_outside(self.train, chosen, closed_form.cross_fit, closed_form.ridge)
            contexts, target, quantiles, keys = seen[:4]
            teacher, channels = teacher - seen.level[:, None], seen.channels
            known = {"normal": seen.normal, "ahead": seen.ahead}
        batch = Batch(
            target=target,
            backbone=quantiles,
            teacher=teacher,
            confidence=torch.from_numpy(self.targets.confidence[chosen]),
            advantage=None
            if self.advantage is None
            else torch.from_numpy(np.asarray(self.advantage[chosen])),
        )
        memory = model(contexts, quantiles, keys, **known)
        median = model.config.median
        fused = memory
        if self.held is not None:
            fused = self.held.apply(quantiles, memory, median, contexts, channels)
        return objective(
            memory,
            fused,
            batch,
            levels=torch.tensor(model.config.quantile_levels),
            median=median,
            config=self.config,
            can_cross=model.can_cross,
        )
