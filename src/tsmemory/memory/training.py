"""Confidence-gated distillation of the teacher into the adapter (TS-Memory, section 4.3)."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tsmemory.memory.adapter import MemoryAdapter
from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import GuardConfig, ObjectiveConfig, TrainingConfig
from tsmemory.memory.fused_loss import best_scalar_fusion, fused_loss
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_fit import block_losses
from tsmemory.memory.guard import pooled_gain
from tsmemory.memory.lessons import Lessons
from tsmemory.memory.paper_adapter import PaperConfig
from tsmemory.memory.profiles import Adapter, AnyConfig, build_adapter
from tsmemory.memory.seeded import SeededAdapters
from tsmemory.memory.split import Split, evenly, memory_parts
from tsmemory.progress import track
from tsmemory.teacher.synthesis import TeacherTargets

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Distilled:
    """What distillation found.

    Attributes:
        adapter: The adapter, in inference mode.
        history: The loss curve, a line for each epoch; epoch 0 is where training starts.
        trained_part_kept: Whether training has changed the adapter, and in the default profile
            passed the guard; else it is as it was before the first step.
        verdict: The guard's figures on the trained part, and what it was compared with.
    """

    adapter: Adapter
    history: list[dict[str, Any]]
    trained_part_kept: bool
    verdict: dict[str, object]


@dataclass(frozen=True)
class _Course:
    """All that training needs and that does not depend on the seed."""

    lessons: Lessons
    validation: Split
    closed_form: ClosedForm
    adapter: AnyConfig
    config: TrainingConfig
    guard: GuardConfig
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


def distil(
    train: Split,
    validation: Split,
    targets: TeacherTargets,
    *,
    closed_form: ClosedForm,
    adapter: AnyConfig,
    objective_config: ObjectiveConfig,
    config: TrainingConfig,
    guard: GuardConfig,
    stride: int,
    seed: int,
) -> Distilled:
    """Train an adapter, stopping on the fused validation loss.

    In the default profile it starts from the closed form, and training that does not help is
    undone: the state before the first step is a candidate, and what was trained is kept only if a
    blocked test on validation shows it better than that. In the paper profile it starts from random
    weights, and what keeps a useless one away is the guard on its fusion.

    Args:
        train: Training windows.
        validation: Validation windows.
        targets: The teacher's targets of the training windows.
        closed_form: The linear skip, and the fusion held during training; its factors become the
            adapter's spread. The paper profile does without.
        adapter: Sizes; they say which profile it is.
        objective_config: Terms and gates.
        config: Optimiser and schedule.
        guard: The test that the trained part has to pass.
        stride: Steps between consecutive validation origins.
        seed: Seed of initial weights, order of windows and dropout.

    Returns:
        The adapter with what was found on the way.
    """
    held = _held_fusion(adapter, closed_form)
    lessons = Lessons.prepare(train, targets, objective_config, held)
    course = _Course(lessons, validation, closed_form, adapter, config, guard, stride)
    return _take(course, seed)


def distil_seeds(
    train: Split,
    validation: Split,
    targets: TeacherTargets,
    *,
    closed_form: ClosedForm,
    adapter: AnyConfig,
    objective_config: ObjectiveConfig,
    config: TrainingConfig,
    guard: GuardConfig,
    stride: int,
    seeds: Sequence[int],
    label: str | None = None,
) -> tuple[SeededAdapters, list[dict[str, Any]]]:
    """Distil once for every seed; see :func:`distil`.

    Reports call the adapters by ``label``, or by their profile if there is none.

    Returns:
        The adapters, and the loss curves of all seeds, a line for each seed and epoch.
    """
    label = label or adapter.profile
    held = _held_fusion(adapter, closed_form)
    lessons = Lessons.prepare(train, targets, objective_config, held)
    course = _Course(lessons, validation, closed_form, adapter, config, guard, stride)
    adapters, report, curves = {}, {}, []
    for seed in seeds:
        logger.info("Distilling, profile %s, seed %d", label, seed)
        found = _take(course, seed)
        adapters[seed] = found.adapter
        kept = found.trained_part_kept
        report[str(seed)] = {"profile": label, "trained_part_kept": kept, **found.verdict}
        curves += [{"seed": seed, **line} for line in found.history]
        logger.info(
            "Seed %d: trained part %s (skill %.4f over %s, p = %.3f)",
            seed,
            "kept" if kept else "undone",
            found.verdict["skill"],
            found.verdict["compared_with"],
            found.verdict["p_value"],
        )
    return SeededAdapters(adapters, report), curves


def _held_fusion(adapter: AnyConfig, closed_form: ClosedForm) -> Fusion | None:
    """The closed form's location weights; the paper profile trains the memory on its own.

    Those weigh the ridge: a memory that corrects the backbone alone counts in full.
    """
    if isinstance(adapter, PaperConfig):
        return None
    start = closed_form.start
    ones = (1.0,) * len(start.factor)  # the factors are inside the adapter already
    location = ones if adapter.base == "backbone" else start.location
    return Fusion(start.block, location, ones, ones)


def _take(course: _Course, seed: int) -> Distilled:
    """Train with one seed."""
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays where it was
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        model = course.start()
        untrained = copy.deepcopy(model)
        history, best_state, trained = _train(course, model, rng)
    model.load_state_dict(best_state)
    verdict = _trained_gain(course, model, untrained, rng)
    passed = course.lessons.held is None or bool(verdict["open"])
    kept = trained and passed
    return Distilled((model if kept else untrained).eval(), history, kept, verdict)


def _train(
    course: _Course, model: Adapter, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor], bool]:
    """Train until validation has not improved for some epochs.

    Returns:
        The loss curve, the best state, and whether it is another than the first.
    """
    config, validation = course.config, course.validation
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    watched = validation.take(evenly(len(validation.windows), config.validation_windows))
    best, best_epoch = course.loss(model, watched), 0
    best_state = copy.deepcopy(model.state_dict())
    history: list[dict[str, Any]] = [{"epoch": 0, "validation": best, "best": True}]
    for epoch in range(1, config.epochs + 1):
        order = rng.permutation(len(course.lessons))
        terms = _train_once(course, model, optimiser, order, epoch)
        loss = course.loss(model, watched)
        history.append({"epoch": epoch, **terms, "validation": loss, "best": loss < best})
        logger.info("Epoch %d: training %.5f, validation %.5f", epoch, terms["total"], loss)
        if loss < best:
            best, best_epoch = loss, epoch
            best_state = copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= config.patience:
            break
    return history, best_state, best_epoch > 0


def _train_once(
    course: _Course,
    model: Adapter,
    optimiser: torch.optim.Optimizer,
    order: np.ndarray,
    epoch: int,
) -> dict[str, float]:
    """One pass over the training windows in the given order; the mean of each term."""
    size = course.config.batch_size
    batches = [np.sort(order[first : first + size]) for first in range(0, len(order), size)]
    sums: dict[str, float] = {}
    model.train()
    for chosen in track(batches, f"Distilling, epoch {epoch}"):
        terms = course.lessons.terms(model, chosen)
        optimiser.zero_grad()
        terms["total"].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), course.config.gradient_clip)
        optimiser.step()
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value.item() / len(batches)
    return sums


def _trained_gain(
    course: _Course, trained: Adapter, untrained: Adapter, rng: np.random.Generator
) -> dict[str, object]:
    """Whether training shows a gain on blocks of validation.

    Over the closed form in the default profile; in the paper profile, which has none, over the
    frozen backbone.
    """
    validation = course.validation
    windows, levels = validation.windows, validation.forecasts.levels
    held = course.lessons.held
    if held is None:
        fusion, _ = best_scalar_fusion(trained, validation)
        compared_with, reference = "the frozen backbone", trained
        other = Fusion(fusion.block, (0.0,), (0.0,), (1.0,))
    else:
        compared_with, reference, fusion, other = "the closed form", untrained, held, held
    loss, reference_loss = (
        block_losses(memory_parts(validation, model), used, levels=levels)
        for model, used in ((trained, fusion), (reference, other))
    )
    verdict = pooled_gain(
        loss,
        reference_loss,
        windows.calendar(validation.series) + windows.context_length,
        steps_ahead=windows.horizon,
        stride=course.stride,
        config=course.guard,
        rng=rng,
    )
    return {"compared_with": compared_with, **verdict}
