"""Fine-tuning of head and adapter from the closed-form start, never to something worse than it."""

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tsmemory.progress import track
from tsmemory.series.series_set import Int
from tsmemory.trace.adapters import Adapter
from tsmemory.trace.config import FineTuningConfig
from tsmemory.trace.examples import Examples
from tsmemory.trace.model import TraceModel

_RISE = 10  # steps over which rates rise: Adam's first steps are all of full length
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Course:
    """What training found.

    Attributes:
        history: The loss curve, a line ``step, training, selection, best`` for each look; step 0 is
            the start.
        step: Step whose weights the model has now; 0 where nothing that was trained is better than
            the start. The model is then in no usable state and has to be built anew.
    """

    history: list[dict[str, Any]]
    step: int


def fine_tune(
    model: TraceModel,
    adapter: Adapter,
    train: Examples,
    selection: Examples,
    config: FineTuningConfig,
    *,
    rng: np.random.Generator,
    label: str,
) -> Course:
    """Train until the selection part of validation has not improved for some looks.

    States are candidates once the adapter has settled which sites it has, and if no part of the
    loss is larger than at the start: a better spread does not make up for a worse median. The start
    is a candidate, too.

    Args:
        model: The model at its start; changed in place.
        adapter: What is trained beside the head.
        train: Training windows.
        selection: Selection part of validation.
        config: Optimizer and schedule.
        rng: Draws the order of windows.
        label: Shown beside the progress bar.

    Returns:
        The curve, and which state the model is in.
    """
    train, selection = train.fit_to(model), selection.fit_to(model)
    watched = selection.at_most(config.selection_windows)
    start = watched.mean_losses(model)
    best, best_step, best_state = float(start.sum()), 0, list[Tensor]()
    history: list[dict[str, Any]] = [{"step": 0, "selection": best, "best": True}]
    if not config.steps:
        return Course(history, 0)
    optimizer, losses = _optimizer(model, adapter, config), list[float]()
    orders = _orders(len(train), config, rng)
    for step, which in enumerate(track(orders, label), start=1):
        losses.append(_learn(model, adapter, optimizer, train.take(which), config, step))
        if adapter.after_step(step):
            optimizer = _optimizer(model, adapter, config)
        optimizer.zero_grad()
        if step % config.check_every and step != config.steps:
            continue
        parts = watched.mean_losses(model)
        loss, harmless = float(parts.sum()), bool((parts <= start).all())
        better = loss < best and harmless and step >= adapter.settled
        training = float(np.mean(losses))
        history.append({"step": step, "training": training, "selection": loss, "best": better})
        losses.clear()
        if better:
            best, best_step, best_state = loss, step, _state(optimizer)
        elif step - max(best_step, adapter.settled) >= config.patience * config.check_every:
            break
    if best_step:
        _restore(optimizer, best_state)
    began = history[0]["selection"]
    logger.info("%s: selection %.5f at the start, %.5f at step %d", label, began, best, best_step)
    return Course(history, best_step)


def _learn(
    model: TraceModel,
    adapter: Adapter,
    optimizer: torch.optim.Optimizer,
    batch: Examples,
    config: FineTuningConfig,
    step: int,
) -> float:
    """One step; the mean loss of its windows before it. Gradients stay for the adapter to see."""
    losses, known = batch.losses(model)
    loss = losses.sum() / known.sum().clamp_min(1e-12)
    penalty = adapter.penalty()
    (loss if penalty is None else loss + penalty).backward()  # type: ignore[no-untyped-call]
    trained = [weight for group in optimizer.param_groups for weight in group["params"]]
    torch.nn.utils.clip_grad_norm_(trained, config.gradient_clip)
    for group in optimizer.param_groups:
        group["lr"] = group["rate"] * _share_of_rate(step, config.steps)
    optimizer.step()
    return float(loss.detach())


def _share_of_rate(step: int, steps: int) -> float:
    """Share of a rate that holds at a step: rising, then falling along a cosine to 0."""
    return min(1.0, step / _RISE) * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))


def _optimizer(
    model: TraceModel, adapter: Adapter, config: FineTuningConfig
) -> torch.optim.Optimizer:
    """AdamW over the head and what the adapter trains, each group at its own rate."""
    # Decay draws towards zero, which the ridge has weighed for the head already.
    groups = [{"params": list(model.head.parameters()), "rate": config.head_rate, "decay": 0.0}]
    groups += adapter.groups(config)
    return torch.optim.AdamW(
        [
            {"params": group["params"], "rate": group["rate"], "weight_decay": group["decay"]}
            for group in groups
            if group["params"]
        ]
    )


def _orders(count: int, config: FineTuningConfig, rng: np.random.Generator) -> list[Int]:
    """Which windows each step learns from: one shuffled pass after the other."""
    size = min(config.batch_size, count)
    whole = count // size  # windows of an incomplete batch wait for the next pass
    passes = -(-config.steps // whole)
    batches = [rng.permutation(count)[: whole * size].reshape(whole, size) for _ in range(passes)]
    return [np.sort(row) for row in np.concatenate(batches)[: config.steps]]


def _state(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    groups = optimizer.param_groups
    return [weight.detach().clone() for group in groups for weight in group["params"]]


@torch.no_grad()
def _restore(optimizer: torch.optim.Optimizer, state: list[Tensor]) -> None:
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for weight, kept in zip(weights, state, strict=True):
        weight.copy_(kept)
