"""What training needs that does not depend on the seed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from tsmemory.memory.adapter import MemoryAdapter
from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import FusionConfig, TrainingConfig
from tsmemory.memory.fused_loss import best_scalar_fusion, fused_loss
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.learner import Learner
from tsmemory.memory.lessons import Lessons
from tsmemory.memory.out_of_fold import OutOfFold
from tsmemory.memory.out_of_fold_fit import Memory, fit_out_of_fold
from tsmemory.memory.paper_adapter import PaperConfig
from tsmemory.memory.profiles import Adapter, AnyConfig, build_adapter
from tsmemory.memory.rehearsal import Rehearsal, Stage, recall, rehearse
from tsmemory.memory.split import Split
from tsmemory.metrics import season_length
from tsmemory.scaleout.groups import Ranks


@dataclass(frozen=True)
class Course:
    """All that training needs and that does not depend on the seed.

    Attributes:
        lessons: What the adapter learns from.
        validation: Validation windows, which stop the training.
        closed_form: Where it starts.
        adapter: Sizes.
        config: Optimizer and schedule.
        fusion: Candidates, and the test that the trained part has to pass.
        stride: Steps between consecutive validation origins.
        ranks: Who trains.
    """

    lessons: Lessons
    validation: Split
    closed_form: ClosedForm
    adapter: AnyConfig
    config: TrainingConfig
    fusion: FusionConfig
    stride: int
    ranks: Ranks = field(default_factory=Ranks)

    def start(self) -> Adapter:
        """The adapter before the first step, on its device: the closed form, or random weights."""
        model = build_adapter(self.adapter)
        if isinstance(model, MemoryAdapter):
            factor = torch.tensor(self.closed_form.start.factor)
            model.start_from(self.closed_form.ridge, factor)
        return model.to(self.ranks.device)

    def loss(self, model: Adapter, split: Split) -> float:
        """Fused loss, with the fusion that holds during training or else the best scalar one."""
        held = self.lessons.held
        if held is None:
            return best_scalar_fusion(model, split)[1]
        return fused_loss(model, split, held)

    def teach(self, model: Adapter) -> Learner:
        """Let an adapter learn."""
        return Learner(model, self.lessons, self.config, self.ranks)

    @contextmanager
    def seeded(self, seed: int) -> Iterator[np.random.Generator]:
        """Draw from a seed for a while; the caller's generators stay where they were.

        Initial weights are the first rank's. The generator that is returned is the same at every
        rank, since all of them take the windows in one order; dropout differs between ranks, as
        it does between the rows of a batch.
        """
        device = torch.device(self.ranks.device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self.ranks.seed(seed))
            yield np.random.default_rng(seed)

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
        with self.seeded(seed) as rng:
            return rehearse(
                stage,
                self.start,
                self.teach,
                epochs=self.config.epochs,
                patience=self.config.patience,
                rng=rng,
                ranks=self.ranks,
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
