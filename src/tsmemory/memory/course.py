"""What training needs that does not depend on the seed."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from tsmemory.memory.adapter import MemoryAdapter
from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import FusionConfig, TrainingConfig
from tsmemory.memory.fused_loss import best_scalar_fusion, fused_loss
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.lessons import Lessons
from tsmemory.memory.out_of_fold import OutOfFold
from tsmemory.memory.out_of_fold_fit import Memory, fit_out_of_fold
from tsmemory.memory.paper_adapter import PaperConfig
from tsmemory.memory.profiles import Adapter, AnyConfig, build_adapter
from tsmemory.memory.rehearsal import Rehearsal, Stage, recall, rehearse
from tsmemory.memory.split import Split
from tsmemory.metrics import season_length
from tsmemory.progress import track


@dataclass(frozen=True)
class Course:
    """All that training needs and that does not depend on the seed."""

    lessons: Lessons
    validation: Split
    closed_form: ClosedForm
    adapter: AnyConfig
    config: TrainingConfig
    fusion: FusionConfig
    stride: int

    def start(self) -> Adapter:
        """The adapter before the first step: the closed form, or random weights."""
        model = build_adapter(self.adapter)
        if isinstance(model, MemoryAdapter):
            factor = torch.tensor(self.closed_form.start.factor)
            model.start_from(self.closed_form.ridge, factor)
        return model

    def loss(self, model: Adapter, split: Split) -> float:
        """Fused loss, with the fusion that holds during training or else the best scalar one."""
        held = self.lessons.held
        if held is None:
            return best_scalar_fusion(model, split)[1]
        return fused_loss(model, split, held)

    def optimiser(self, model: Adapter) -> torch.optim.Optimizer:
        """AdamW over the adapter's weights."""
        rate, decay = self.config.learning_rate, self.config.weight_decay
        return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)

    def stage(self) -> Stage | None:
        """Where training can be rehearsed, if anywhere."""
        held, closed_form = self.lessons.held, self.lessons.closed_form
        if held is None or closed_form is None or closed_form.cross_fit is None:
            return None
        return Stage(self.lessons.train, closed_form.cross_fit, closed_form.ridge, held)

    def rehearse(self, seed: int) -> Rehearsal | None:
        """Rehearse training with a seed, where that is wanted and possible."""
        stage = self.stage()
        if stage is None or not self.config.rehearse or self.config.epochs == 0:
            return None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return rehearse(
                stage,
                self.start,
                self.optimiser,
                partial(self.learn, "Rehearsing"),
                epochs=self.config.epochs,
                patience=self.config.patience,
                rng=np.random.default_rng(seed),
            )

    def untrained(self) -> Memory:
        """The memory before it has learnt anything."""
        start = self.start()
        return lambda seen, _stretch: recall(start, seen)

    def out_of_fold(self, rehearsal: Rehearsal) -> OutOfFold | None:
        """What training windows say of the memory as it was rehearsed, if that has learnt."""
        stage = self.stage()
        if stage is None or rehearsal.epochs == 0:
            return None
        return fit_out_of_fold(
            stage.train,
            stage.cross_fit,
            stage.own,
            self.closed_form.start,
            season=season_length(stage.train.series.freq),
            config=self.fusion,
            memory=rehearsal.recall,
        )

    def learn(
        self,
        what: str,
        model: Adapter,
        optimiser: torch.optim.Optimizer,
        order: np.ndarray,
        epoch: int,
    ) -> dict[str, float]:
        """One pass over training windows in the given order; the mean of each term."""
        size = self.config.batch_size
        batches = [np.sort(order[first : first + size]) for first in range(0, len(order), size)]
        sums: dict[str, float] = {}
        model.train()
        for chosen in track(batches, f"{what}, epoch {epoch}"):
            terms = self.lessons.terms(model, chosen)
            optimiser.zero_grad()
            terms["total"].backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), self.config.gradient_clip)
            optimiser.step()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.item() / len(batches)
        return sums


def held_fusion(adapter: AnyConfig, closed_form: ClosedForm) -> Fusion | None:
    """The closed form's weights of the median; the paper profile trains the memory on its own.

    Those weigh the ridge: a memory that corrects the backbone alone counts in full.
    """
    if isinstance(adapter, PaperConfig):
        return None
    start = closed_form.start
    ones = (1.0,) * len(start.factor)  # the factors are inside the adapter already
    if adapter.base == "backbone":
        return Fusion(start.block, ones, ones, ones)
    return Fusion(start.block, start.location, ones, ones, naive=start.naive)


def ridges_of(adapter: AnyConfig, closed_form: ClosedForm) -> ClosedForm | None:
    """The closed form, for adapters with a ridge in them."""
    return None if isinstance(adapter, PaperConfig) else closed_form
