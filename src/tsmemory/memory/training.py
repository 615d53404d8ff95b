"""Confidence-gated distillation of the teacher into the adapter (TS-Memory, section 4.3)."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tsmemory.backbones.devices import check_device
from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import FusionConfig, ObjectiveConfig, TrainingConfig
from tsmemory.memory.course import Course, held_fusion, ridges_of
from tsmemory.memory.fused_loss import best_scalar_fusion
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_fit import block_losses
from tsmemory.memory.guard import Evidence, pooled_gain
from tsmemory.memory.lessons import Lessons
from tsmemory.memory.profiles import Adapter, AnyConfig
from tsmemory.memory.rehearsal import Rehearsal, judged
from tsmemory.memory.seeded import SeededAdapters
from tsmemory.memory.split import Split, evenly, memory_parts
from tsmemory.scaleout.groups import Ranks
from tsmemory.scaleout.parallel import fit_parallel
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


def distil_seeds(
    train: Split,
    validation: Split,
    targets: TeacherTargets,
    *,
    closed_form: ClosedForm,
    adapter: AnyConfig,
    objective_config: ObjectiveConfig,
    config: TrainingConfig,
    fusion: FusionConfig,
    stride: int,
    seeds: Sequence[int],
    label: str | None = None,
) -> tuple[SeededAdapters, list[dict[str, Any]]]:
    """Train an adapter for every seed, stopping on the fused validation loss.

    In the default profile it starts from the closed form, and training that does not help is
    undone: the state before the first step is a candidate, no more passes are made than helped in a
    rehearsal, and what was trained is kept only if a blocked test on validation and on the
    rehearsal's stretches shows it better than that. In the paper profile it starts from random
    weights, and what keeps a useless one away is the guard on its fusion.

    Args:
        train: Training windows.
        validation: Validation windows.
        targets: The teacher's targets of the training windows.
        closed_form: The linear skip, and the fusion held during training; its factors become the
            adapter's spread. The paper profile does without.
        adapter: Sizes; they say which profile it is.
        objective_config: Terms and gates.
        config: Optimizer, schedule, and the devices that share it.
        fusion: Candidates, and the test that the trained part has to pass.
        stride: Steps between consecutive validation origins.
        seeds: Seeds of initial weights, order of windows and dropout; the first one rehearses.
        label: What reports call the adapters; their profile if not given.

    Returns:
        The adapters, and the loss curves of all seeds, a line for each seed and epoch; those of the
        rehearsal follow, with ``rehearsal`` instead of the other losses.
    """
    check_device(config.device)
    held, ridges = held_fusion(adapter, closed_form), ridges_of(adapter, closed_form)
    lessons = Lessons.prepare(train, targets, objective_config, held, ridges)
    course = Course(lessons, validation, closed_form, adapter, config, fusion, stride)
    return fit_parallel(
        _distil,
        _Syllabus(course, tuple(seeds), label or adapter.profile),
        device=config.device,
        devices=config.devices,
        communication=config.communication,
    )


@dataclass(frozen=True)
class _Syllabus:
    """What every rank has to know."""

    course: Course
    seeds: tuple[int, ...]
    label: str


def _distil(ranks: Ranks, task: _Syllabus) -> tuple[SeededAdapters, list[dict[str, Any]]]:
    """Train with all seeds at one of the ranks; only the first has anything to return."""
    course, seeds = replace(task.course, ranks=ranks), task.seeds
    rehearsal = course.rehearse(seeds[0])
    adapters: dict[int, Adapter] = {}
    report: dict[str, Any] = {}
    curves: list[dict[str, Any]] = []
    for seed in seeds:
        logger.info("Distilling, profile %s, seed %d", task.label, seed)
        found = _take(course, seed, rehearsal)
        if found is None:
            continue
        adapters[seed] = found.adapter
        kept = found.trained_part_kept
        report[str(seed)] = {"profile": task.label, "trained_part_kept": kept, **found.verdict}
        curves += [{"seed": seed, **line} for line in found.history]
        logger.info(
            "Seed %d: trained part %s (skill %.4f over %s, p = %.3f)",
            seed,
            "kept" if kept else "undone",
            found.verdict["skill"],
            found.verdict["compared_with"],
            found.verdict["p_value"],
        )
    known = None
    if ranks.is_first and rehearsal is not None:
        curves += rehearsal.history(seeds[0])
        known = course.out_of_fold(rehearsal)
    return SeededAdapters(adapters, report, known), curves


def _take(course: Course, seed: int, rehearsal: Rehearsal | None) -> Distilled | None:
    """Train with one seed; the first rank judges what came of it, the others only help."""
    with course.seeded(seed) as rng:
        model = course.start()
        untrained = copy.deepcopy(model)
        epochs = course.config.epochs if rehearsal is None else rehearsal.epochs
        history, best_state, trained = _train(course, model, rng, epochs)
        if not course.ranks.is_first:
            return None
        model.load_state_dict(best_state)
        verdict = _trained_gain(course, model, untrained, rng, rehearsal)
    passed = course.lessons.held is None or bool(verdict["open"])
    kept = trained and passed
    return Distilled((model if kept else untrained).cpu().eval(), history, kept, verdict)


def _train(
    course: Course, model: Adapter, rng: np.random.Generator, epochs: int
) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor], bool]:
    """Train until validation has not improved for some epochs.

    Returns:
        The loss curve, the best state, and whether it is another than the first.
    """
    config, validation = course.config, course.validation
    learner = course.teach(model)
    watched = validation.take(evenly(len(validation.windows), config.validation_windows))
    best, best_epoch = judged(course.ranks, lambda: course.loss(model, watched)), 0
    best_state = copy.deepcopy(model.state_dict())
    history: list[dict[str, Any]] = [{"epoch": 0, "validation": best, "best": True}]
    for epoch in range(1, epochs + 1):
        terms = learner.learn("Distilling", rng.permutation(len(course.lessons)), epoch)
        loss = judged(course.ranks, lambda: course.loss(model, watched))
        history.append({"epoch": epoch, **terms, "validation": loss, "best": loss < best})
        logger.info("Epoch %d: training %.5f, validation %.5f", epoch, terms["total"], loss)
        if loss < best:
            best, best_epoch = loss, epoch
            best_state = copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= config.patience:
            break
    return history, best_state, best_epoch > 0


def _trained_gain(
    course: Course,
    trained: Adapter,
    untrained: Adapter,
    rng: np.random.Generator,
    rehearsal: Rehearsal | None,
) -> dict[str, object]:
    """Whether training shows a gain on blocks of validation, and of the rehearsal.

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
        config=course.fusion.guard,
        rng=rng,
        training=_rehearsed(course, rehearsal),
    )
    rehearsed = {} if rehearsal is None else {"rehearsed_epochs": rehearsal.epochs}
    return {"compared_with": compared_with, **verdict, **rehearsed}


def _rehearsed(course: Course, rehearsal: Rehearsal | None) -> Evidence | None:
    """Losses of the trained part and of the closed form on stretches that neither knows."""
    stage, weight = course.stage(), course.fusion.training_weight
    if rehearsal is None or stage is None or rehearsal.epochs == 0 or weight == 0:
        return None
    losses = stage.losses(rehearsal.recall), stage.losses(course.untrained())
    return Evidence(*losses, stage.origins(), weight)
