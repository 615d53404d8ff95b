"""A stand-in for distillation in closed form: what a trial of the gates study is judged by.

The adapter is the one that distillation starts from, with its hidden layer as it is, and its median
head from the least-squares problem of :mod:`~tsmemory.tuning.gates.quadratic`. Early stopping is
replaced by that problem's penalty, and the rehearsal by what it asks as well: the penalty is the
one with the least fused loss on stretches of training time that are left out in turn, and where
none is better than no correction at all the closed form stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import ObjectiveConfig
from tsmemory.memory.cross_fit import Outside, look_from_outside
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.objective import pinball
from tsmemory.memory.profiles import build_adapter
from tsmemory.memory.rehearsal import recall
from tsmemory.memory.ridge import overlapping
from tsmemory.memory.split import Split
from tsmemory.series.series_set import Int
from tsmemory.tuning.gates.quadratic import Quadratic, Taught

LOSS_STEPS = 500_000  # of targets, that a penalty is judged by
PENALTIES = (0.003, 0.03, 0.3, 3.0)  # times the mean square of what they are added to


class StandIn(NamedTuple):
    """What stands for a distilled adapter.

    Attributes:
        adapter: For windows after training.
        rehearsed: For each stretch of training time, one that does not know it; empty where the
            closed form stands.
        penalty: The penalty chosen; ``None`` where the closed form stands.
        skill: Gain over the closed form on the stretches left out.
    """

    adapter: MemoryAdapter
    rehearsed: tuple[MemoryAdapter, ...]
    penalty: float | None
    skill: float

    def recall(self, seen: Outside, stretch: int) -> torch.Tensor:
        """The memory of windows of a stretch that it does not know. Shape ``(B, Q, H)``."""
        return recall(self.rehearsed[stretch], seen)


@dataclass(frozen=True)
class Stage:
    """Training windows that stand-ins are fitted on, the same for every trial.

    Attributes:
        train: N training windows.
        seen: The same as they look from outside.
        hidden: The hidden layer's answer, and a constant. Shape ``(N, D + 1)``.
        stretches: Windows of each stretch of training time.
        others: For each stretch the windows that share no step with it.
        seed: Of the hidden layer.
    """

    train: Split
    seen: Outside
    hidden: torch.Tensor
    stretches: tuple[Int, ...]
    others: tuple[Int, ...]
    seed: int

    @classmethod
    def prepare(
        cls, train: Split, closed_form: ClosedForm, adapter: AdapterConfig, *, seed: int
    ) -> "Stage | None":
        """Look at training windows from outside, once for all trials.

        Args:
            train: N training windows.
            closed_form: Ridges that do not know them.
            adapter: Sizes of the adapter.
            seed: Of the hidden layer.

        Returns:
            The stage; ``None`` where the training split is too short to leave any stretch out.
        """
        cross_fit = closed_form.cross_fit
        if cross_fit is None:
            return None
        seen = look_from_outside(train, np.arange(len(train.windows)), cross_fit, closed_form.ridge)
        model = start_adapter(adapter, closed_form, seed)
        with torch.inference_mode():
            hidden = model.eval().hidden(seen.normal, seen.keys)
        hidden = torch.cat([torch.ones(len(hidden), 1), hidden], dim=1)
        members = tuple(cross_fit.members())
        known = np.flatnonzero(cross_fit.fold >= 0)
        others = tuple(known[~_shared(train, known, stretch)] for stretch in members)
        return cls(train, seen, hidden, members, others, seed)

    def fit(
        self,
        taught: Taught,
        closed_form: ClosedForm,
        held: Fusion,
        objective: ObjectiveConfig,
        adapter: AdapterConfig,
        penalties: Sequence[float] = PENALTIES,
    ) -> StandIn:
        """Fit the stand-in of a setting.

        Args:
            taught: What its teacher says of the windows.
            closed_form: Where training starts.
            held: The fusion that holds during training.
            objective: Loss weights and gates.
            adapter: Sizes.
            penalties: Penalties to try.

        Returns:
            The stand-in.
        """
        start = start_adapter(adapter, closed_form, self.seed)
        plain = recall(start, self.seen)
        terms = Quadratic.of(self.seen, plain, taught, held, objective, self.train.forecasts.levels)
        heads = [terms.heads(self.hidden, rows, penalties) for rows in self.others]
        losses = [self._loss(plain, held)]
        for number in range(len(penalties)):
            moved = plain.clone()
            for rows, found in zip(self.stretches, heads, strict=True):
                moved[rows] += self._step(rows, found[number])[:, None]
            losses.append(self._loss(moved, held))
        best = int(np.nanargmin(losses))
        if best == 0:
            return StandIn(start.eval(), (), None, 0.0)
        every = np.unique(np.concatenate(self.stretches))
        penalty = penalties[best - 1]
        whole = terms.heads(self.hidden, every, [penalty])[0]
        rehearsed = tuple(
            _with_head(start_adapter(adapter, closed_form, self.seed), found[best - 1])
            for found in heads
        )
        skill = 1 - losses[best] / losses[0]
        return StandIn(_with_head(start, whole), rehearsed, penalty, skill)

    def _step(self, rows: Int, head: torch.Tensor) -> torch.Tensor:
        """How far a head moves the medians of some windows, in z units. Shape ``(B, H)``."""
        return self.seen.normal.scale[rows] * (self.hidden[rows] @ head)

    def _loss(self, memory: torch.Tensor, held: Fusion) -> float:
        """Mean fused pinball loss over the known steps of the windows of all stretches.

        Where there are many windows it is taken on some of them.
        """
        rows = np.concatenate(self.stretches)
        rows = rows[:: max(1, len(rows) * memory.shape[2] // LOSS_STEPS)]
        seen, levels = self.seen, self.train.forecasts.levels
        fused = held.apply(
            seen.quantiles[rows],
            memory[rows],
            levels.index(0.5),
            seen.contexts[rows],
            seen.channels[rows],
        )
        target = seen.target[rows]
        total = pinball(target, fused, torch.tensor(levels)).sum(dtype=torch.float64)
        return float(total) / max(int((~torch.isnan(target)).sum()), 1)


def start_adapter(config: AdapterConfig, closed_form: ClosedForm, seed: int) -> MemoryAdapter:
    """The adapter before its first step, with the hidden layer that the seed gives."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_adapter(config)
    if not isinstance(model, MemoryAdapter):
        raise TypeError("only the default profile has a closed form")
    model.start_from(closed_form.ridge, torch.tensor(closed_form.start.factor))
    return model


def _with_head(model: MemoryAdapter, head: torch.Tensor) -> MemoryAdapter:
    """Give an adapter a head, its first line being the constant."""
    with torch.no_grad():
        model.step.bias.copy_(head[0])
        model.step.weight.copy_(head[1:].T)
    return model.eval()


def _shared(train: Split, known: Int, stretch: Int) -> np.ndarray:
    """Which windows share a step with a stretch."""
    if not len(stretch):
        return np.zeros(len(known), bool)
    return overlapping(train.windows.take(known), train.windows.take(stretch), train.series)
