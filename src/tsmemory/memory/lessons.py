"""What the adapter learns from at one training step."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from tsmemory.memory.advantage import predict_advantage
from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import ObjectiveConfig
from tsmemory.memory.cross_fit import look_from_outside
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.instance_norm import Normalised
from tsmemory.memory.objective import WHOLE, Batch, Portion, objective
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

    @cached_property
    def known_steps(self) -> Int:
        """Known target steps of each window. Shape ``(N,)``."""
        windows, series = self.train.windows, self.train.series
        known = np.concatenate([[0], np.cumsum(~np.isnan(series.flat))])
        limit = np.minimum(windows.limit, series.length[windows.row])
        end = np.minimum(windows.origin + windows.horizon, limit)
        offset = series.offset[windows.row]
        return np.asarray(known[offset + end] - known[offset + windows.origin])

    def terms(
        self,
        model: Adapter,
        chosen: Int,
        portion: Portion = WHOLE,
        autocast: AbstractContextManager[object] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Terms of the objective on the chosen training windows.

        Args:
            model: The adapter, in training mode; everything is computed where it lies.
            chosen: Positions of windows. Shape ``(B,)``.
            portion: What they count, where they are a part of a batch.
            autocast: In which numbers the adapter computes; the loss is float32 all the same.

        Returns:
            Scalars by name; ``total`` is what is minimised.
        """
        device = model.device
        teacher = torch.from_numpy(self.targets.quantiles(chosen))
        known: dict[str, Any] = {}
        closed_form = self.closed_form
        if closed_form is None or closed_form.cross_fit is None:
            part = self.train.take(chosen)
            tensors, channels = part.tensors(), part.channels()
        else:
            seen = look_from_outside(self.train, chosen, closed_form.cross_fit, closed_form.ridge)
            tensors, channels = seen[:4], seen.channels
            teacher = teacher - seen.level[:, None]
            normal = Normalised(*(values.to(device) for values in seen.normal))
            known = {"normal": normal, "ahead": seen.ahead.to(device)}
        contexts, target, quantiles, keys = (values.to(device) for values in tensors)
        with nullcontext() if autocast is None else autocast:
            memory = model(contexts, quantiles, keys, **known).float()
        fused, median = memory, model.config.median
        if self.held is not None:
            fused = self.held.apply(quantiles, memory, median, contexts, channels)
        return objective(
            memory,
            fused,
            self._batch(chosen, target, quantiles, teacher.to(device)),
            levels=torch.tensor(model.config.quantile_levels, device=device),
            median=median,
            config=self.config,
            can_cross=model.can_cross,
            portion=portion,
        )

    def _batch(
        self, chosen: Int, target: torch.Tensor, backbone: torch.Tensor, teacher: torch.Tensor
    ) -> Batch:
        """What the objective has to know of the chosen windows."""
        confidence, advantage = self.targets.confidence[chosen], None
        if self.advantage is not None:
            advantage = torch.from_numpy(np.asarray(self.advantage[chosen])).to(target.device)
        given = torch.from_numpy(confidence).to(target.device)
        return Batch(target, backbone, teacher, given, advantage)
