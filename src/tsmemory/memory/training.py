"""Confidence-gated distillation of the teacher into the adapter (TS-Memory, section 4.3)."""

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.forecasts import BackboneForecasts
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_fit import (
    FusionConfig,
    Part,
    Parts,
    block_losses,
    fit_factor,
    fit_location,
)
from tsmemory.memory.guard import GuardConfig, pooled_gain
from tsmemory.memory.objective import Batch, ObjectiveConfig, objective, pinball
from tsmemory.memory.ridge import Ridge
from tsmemory.progress import track
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.neighbours import Neighbours
from tsmemory.teacher.synthesis import Teacher

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """Optimiser and schedule.

    Attributes:
        epochs: At most this many passes.
        patience: Passes without a lower validation loss before it stops.
        batch_size: Windows in a step.
        learning_rate: AdamW's rate.
        weight_decay: AdamW's decay, towards the closed form from which training starts.
        gradient_clip: Largest gradient norm.
        validation_windows: At most this many, evenly spaced, decide when to stop.
    """

    epochs: int = 10
    patience: int = 2
    batch_size: int = 256
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    validation_windows: int = 4096


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


@dataclass(frozen=True)
class Split:
    """Windows of one split with what the backbone says of them.

    Attributes:
        series: The rows that windows lie on.
        windows: The windows, N of them.
        forecasts: The backbone's keys and quantiles of the same windows.
    """

    series: SeriesSet
    windows: Windows
    forecasts: BackboneForecasts

    def take(self, which: np.ndarray | slice) -> "Split":
        """The chosen windows; their forecasts are read from disk."""
        forecasts = BackboneForecasts(
            np.asarray(self.forecasts.keys[which]),
            np.asarray(self.forecasts.quantiles[which]),
            self.forecasts.levels,
            self.forecasts.backbone,
        )
        return Split(self.series, self.windows.take(which), forecasts)

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Contexts ``(N, L)``, targets ``(N, H)``, quantiles ``(N, Q, H)`` and keys ``(N, d)``."""
        arrays = (
            self.windows.contexts(self.series),
            self.windows.targets(self.series),
            self.forecasts.quantiles,
            self.forecasts.keys,
        )
        contexts, targets, quantiles, keys = (torch.from_numpy(np.array(a)) for a in arrays)
        return contexts, targets, quantiles, keys


def memory_parts(split: Split, adapter: MemoryAdapter, batch: int = 512) -> Parts:
    """The adapter's forecasts beside the backbone's, batch by batch, in inference mode."""

    def run() -> Iterator[Part]:
        adapter.eval()
        for first in range(0, len(split.windows), batch):
            part = split.take(slice(first, first + batch))
            contexts, target, quantiles, keys = part.tensors()
            with torch.inference_mode():
                yield Part(target, quantiles, adapter(contexts, quantiles, keys))

    return run


def starting_point(
    split: Split, folds: Sequence[tuple[np.ndarray, Ridge]], config: FusionConfig
) -> Fusion:
    """The closed-form fusion that holds during training, from out-of-fold ridges (METHOD 1.5).

    Args:
        split: Training windows.
        folds: Positions of windows with a ridge that has not seen their steps.
        config: Blocks and shrinkage.

    Returns:
        Location weights and spread factors; the spread weight is 1 throughout.
    """
    levels = split.forecasts.levels
    median = levels.index(0.5)

    def parts() -> Iterator[Part]:
        for members, ridge in folds:
            for first in range(0, len(members), 512):
                part = split.take(members[first : first + 512])
                contexts, target, quantiles, _ = part.tensors()
                point = torch.from_numpy(ridge.predict(contexts.numpy()))
                memory = quantiles + (point - quantiles[:, median])[:, None]
                yield Part(target, quantiles, memory)

    blocks = -(-split.windows.horizon // config.block)
    ones = (1.0,) * blocks
    if not folds:
        return Fusion(config.block, (0.5,) * blocks, ones, ones)
    location = fit_location(parts, block=config.block, median=median, shrinkage=config.shrinkage)
    factor = fit_factor(
        parts,
        location,
        block=config.block,
        levels=levels,
        median=median,
        shrinkage=config.shrinkage,
    )
    return Fusion(config.block, location, ones, factor)


def distil(
    train: Split,
    validation: Split,
    neighbours: Neighbours,
    teacher: Teacher,
    *,
    ridge: Ridge,
    start: Fusion,
    adapter: AdapterConfig,
    objective_config: ObjectiveConfig,
    config: TrainingConfig,
    guard: GuardConfig,
    seed: int,
) -> Distilled:
    """Train an adapter from the closed form, stopping on the fused validation loss.

    Training that does not help is undone: the state before the first step is a candidate, and what
    was trained is kept only if a blocked test on validation shows it better than that.

    Args:
        train: Training windows.
        validation: Validation windows.
        neighbours: Neighbours of the training windows.
        teacher: Forms quantile targets from them.
        ridge: The linear skip.
        start: Closed-form fusion, held during training; its factors become the adapter's spread.
        adapter: Sizes.
        objective_config: Terms and gates.
        config: Optimiser and schedule.
        guard: The test that the trained part has to pass.
        seed: Seed of initial weights, order of windows and dropout.

    Returns:
        The adapter with what was found on the way.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = MemoryAdapter(adapter)
    model.start_from(ridge, torch.tensor(start.factor))
    ones = (1.0,) * len(start.factor)
    held = Fusion(start.block, start.location, ones, ones)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    watched = validation.take(_evenly(len(validation.windows), config.validation_windows))
    best = fused_loss(model, watched, held)
    closed_form = copy.deepcopy(model)
    best_state, best_epoch = copy.deepcopy(model.state_dict()), 0
    history: list[dict[str, Any]] = [{"epoch": 0, "validation": best, "best": True}]
    for epoch in range(1, config.epochs + 1):
        order = rng.permutation(len(train.windows))
        firsts = range(0, len(order), config.batch_size)
        sums: dict[str, float] = {}
        model.train()
        for first in track(firsts, f"Distilling, epoch {epoch}"):
            chosen = np.sort(order[first : first + config.batch_size])
            terms = _step(
                model, held, train.take(chosen), neighbours.take(chosen), teacher, objective_config
            )
            optimiser.zero_grad()
            terms["total"].backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
            optimiser.step()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.item() / len(firsts)
        loss = fused_loss(model, watched, held)
        history.append({"epoch": epoch, **sums, "validation": loss, "best": loss < best})
        logger.info("Epoch %d: training %.5f, validation %.5f", epoch, sums["total"], loss)
        if loss < best:
            best, best_epoch = loss, epoch
            best_state = copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= config.patience:
            break
    model.load_state_dict(best_state)
    verdict = _trained_gain(model, closed_form, validation, held, guard, rng)
    kept = best_epoch > 0 and bool(verdict["open"])
    return Distilled((model if kept else closed_form).eval(), history, kept, verdict)


def _trained_gain(
    trained: MemoryAdapter,
    closed_form: MemoryAdapter,
    validation: Split,
    fusion: Fusion,
    guard: GuardConfig,
    rng: np.random.Generator,
) -> dict[str, object]:
    """Whether training shows a gain over the closed form on blocks of validation."""
    windows, levels = validation.windows, validation.forecasts.levels
    losses = [
        block_losses(memory_parts(validation, model), fusion, levels=levels)
        for model in (trained, closed_form)
    ]
    origin_time = windows.calendar(validation.series) + windows.context_length
    return pooled_gain(*losses, origin_time, config=guard, rng=rng)


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


def _step(
    model: MemoryAdapter,
    fusion: Fusion,
    split: Split,
    neighbours: Neighbours,
    teacher: Teacher,
    config: ObjectiveConfig,
) -> dict[str, torch.Tensor]:
    """Terms of the objective on one batch."""
    contexts, target, quantiles, keys = split.tensors()
    taught = teacher.quantiles(split.windows, neighbours, split.windows.horizon)
    batch = Batch(
        target=target,
        backbone=quantiles,
        teacher=torch.from_numpy(taught),
        confidence=torch.from_numpy(neighbours.confidence),
    )
    memory = model(contexts, quantiles, keys)
    median = model.config.median
    fused = fusion.apply(quantiles, memory, median)
    return objective(
        memory,
        fused,
        batch,
        levels=torch.tensor(model.config.quantile_levels),
        median=median,
        config=config,
    )


def _evenly(count: int, wanted: int) -> np.ndarray:
    """At most ``wanted`` positions spread evenly over ``count``."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))
