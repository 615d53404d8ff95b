"""Confidence-gated distillation of the teacher into the adapter (TS-Memory, section 4.3)."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import GuardConfig, ObjectiveConfig, TrainingConfig
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_fit import block_losses
from tsmemory.memory.guard import pooled_gain
from tsmemory.memory.objective import Batch, objective, pinball
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
        history: The loss curve, a line for each epoch; epoch 0 is the closed form.
        trained_part_kept: Whether the trained part passed the guard; else it is the closed form.
        verdict: The guard's figures on the trained part.
    """

    adapter: MemoryAdapter
    history: list[dict[str, Any]]
    trained_part_kept: bool
    verdict: dict[str, object]


def distil(
    train: Split,
    validation: Split,
    targets: TeacherTargets,
    *,
    closed_form: ClosedForm,
    adapter: AdapterConfig,
    objective_config: ObjectiveConfig,
    config: TrainingConfig,
    guard: GuardConfig,
    stride: int,
    seed: int,
) -> Distilled:
    """Train an adapter from the closed form, stopping on the fused validation loss.

    Training that does not help is undone: the state before the first step is a candidate, and what
    was trained is kept only if a blocked test on validation shows it better than that.

    Args:
        train: Training windows.
        validation: Validation windows.
        targets: The teacher's targets of the training windows.
        closed_form: The linear skip, and the fusion held during training; its factors become the
            adapter's spread.
        adapter: Sizes.
        objective_config: Terms and gates.
        config: Optimiser and schedule.
        guard: The test that the trained part has to pass.
        stride: Steps between consecutive validation origins.
        seed: Seed of initial weights, order of windows and dropout.

    Returns:
        The adapter with what was found on the way.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays where it was
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        model = MemoryAdapter(adapter)
        start = closed_form.start
        model.start_from(closed_form.ridge, torch.tensor(start.factor))
        ones = (1.0,) * len(start.factor)
        held = Fusion(start.block, start.location, ones, ones)
        untrained = copy.deepcopy(model)
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        watched = validation.take(evenly(len(validation.windows), config.validation_windows))
        best, best_epoch = fused_loss(model, watched, held), 0
        best_state = copy.deepcopy(model.state_dict())
        history: list[dict[str, Any]] = [{"epoch": 0, "validation": best, "best": True}]
        for epoch in range(1, config.epochs + 1):
            order = rng.permutation(len(train.windows))
            terms = _train_once(
                model, optimiser, held, train, targets, order, epoch, objective_config, config
            )
            loss = fused_loss(model, watched, held)
            history.append({"epoch": epoch, **terms, "validation": loss, "best": loss < best})
            logger.info("Epoch %d: training %.5f, validation %.5f", epoch, terms["total"], loss)
            if loss < best:
                best, best_epoch = loss, epoch
                best_state = copy.deepcopy(model.state_dict())
            elif epoch - best_epoch >= config.patience:
                break
    model.load_state_dict(best_state)
    verdict = _trained_gain(model, untrained, validation, held, stride, guard, rng)
    kept = best_epoch > 0 and bool(verdict["open"])
    return Distilled((model if kept else untrained).eval(), history, kept, verdict)


def _train_once(
    model: MemoryAdapter,
    optimiser: torch.optim.Optimizer,
    fusion: Fusion,
    train: Split,
    targets: TeacherTargets,
    order: np.ndarray,
    epoch: int,
    objective_config: ObjectiveConfig,
    config: TrainingConfig,
) -> dict[str, float]:
    """One pass over the training windows in the given order; the mean of each term."""
    batches = [
        np.sort(order[first : first + config.batch_size])
        for first in range(0, len(order), config.batch_size)
    ]
    sums: dict[str, float] = {}
    model.train()
    for chosen in track(batches, f"Distilling, epoch {epoch}"):
        terms = _terms(model, fusion, train, targets, chosen, objective_config)
        optimiser.zero_grad()
        terms["total"].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        optimiser.step()
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value.item() / len(batches)
    return sums


def _trained_gain(
    trained: MemoryAdapter,
    untrained: MemoryAdapter,
    validation: Split,
    fusion: Fusion,
    stride: int,
    guard: GuardConfig,
    rng: np.random.Generator,
) -> dict[str, object]:
    """Whether training shows a gain over the closed form on blocks of validation."""
    windows, levels = validation.windows, validation.forecasts.levels
    losses = [
        block_losses(memory_parts(validation, model), fusion, levels=levels)
        for model in (trained, untrained)
    ]
    origin_time = windows.calendar(validation.series) + windows.context_length
    return pooled_gain(
        losses[0],
        losses[1],
        origin_time,
        steps_ahead=windows.horizon,
        stride=stride,
        config=guard,
        rng=rng,
    )


def distil_seeds(
    train: Split,
    validation: Split,
    targets: TeacherTargets,
    *,
    closed_form: ClosedForm,
    adapter: AdapterConfig,
    objective_config: ObjectiveConfig,
    config: TrainingConfig,
    guard: GuardConfig,
    stride: int,
    seeds: Sequence[int],
) -> tuple[SeededAdapters, list[dict[str, Any]]]:
    """Distil once for every seed; see :func:`distil`.

    Returns:
        The adapters, and the loss curves of all seeds, a line for each seed and epoch.
    """
    adapters, report, curves = {}, {}, []
    for seed in seeds:
        logger.info("Distilling, seed %d", seed)
        found = distil(
            train,
            validation,
            targets,
            closed_form=closed_form,
            adapter=adapter,
            objective_config=objective_config,
            config=config,
            guard=guard,
            stride=stride,
            seed=seed,
        )
        adapters[seed] = found.adapter
        report[str(seed)] = {"trained_part_kept": found.trained_part_kept, **found.verdict}
        curves += [{"seed": seed, **line} for line in found.history]
        logger.info(
            "Seed %d: %s (skill of the trained part over the closed form %.4f, p = %.3f)",
            seed,
            "trained part kept" if found.trained_part_kept else "closed form kept",
            found.verdict["skill"],
            found.verdict["p_value"],
        )
    return SeededAdapters(adapters, report), curves


def fused_loss(model: MemoryAdapter, split: Split, fusion: Fusion) -> float:
    """Mean pinball loss of the fused forecast over the known target steps, in z units."""
    levels = torch.tensor(split.forecasts.levels)
    median = split.forecasts.levels.index(0.5)
    total, count = 0.0, 0
    for part in memory_parts(split, model)():
        fused = fusion.apply(part.backbone, part.memory, median)
        total += float(pinball(part.target, fused, levels).sum(dtype=torch.float64))
        count += int((~torch.isnan(part.target)).sum())
    return total / max(count, 1)


def _terms(
    model: MemoryAdapter,
    fusion: Fusion,
    train: Split,
    targets: TeacherTargets,
    chosen: np.ndarray,
    config: ObjectiveConfig,
) -> dict[str, torch.Tensor]:
    """Terms of the objective on the chosen training windows."""
    contexts, target, quantiles, keys = train.take(chosen).tensors()
    batch = Batch(
        target=target,
        backbone=quantiles,
        teacher=torch.from_numpy(targets.quantiles(chosen)),
        confidence=torch.from_numpy(targets.confidence[chosen]),
    )
    memory = model(contexts, quantiles, keys)
    median = model.config.median
    return objective(
        memory,
        fusion.apply(quantiles, memory, median),
        batch,
        levels=torch.tensor(model.config.quantile_levels),
        median=median,
        config=config,
    )
