"""The confidence-gated objective (TS-Memory, section 4.3; METHOD 1.6)."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn.functional import huber_loss

from tsmemory.memory.config import ObjectiveConfig

# Weights of the published code's objective.
_TRUST, _TRUST_BY_CONFIDENCE = 0.2, 0.6
_MEDIAN_WEIGHT = 5.0
_POINT, _ANCHOR, _CROSS = 0.1, 0.3, 0.05


@dataclass(frozen=True)
class Batch:
    """What one training step sees; all values in z units.

    Attributes:
        target: NaN where unknown. Shape ``(B, H)``.
        backbone: Frozen quantiles. Shape ``(B, Q, H)``.
        teacher: Teacher quantiles, NaN where there is no neighbour. Shape ``(B, Q, H)``.
        confidence: Confidence of the teacher. Shape ``(B,)``.
        advantage: How much better than the backbone the teacher is predicted to be, NaN where
            nothing tells; ``None`` where the realised advantage decides. Shape ``(B,)``.
    """

    target: torch.Tensor
    backbone: torch.Tensor
    teacher: torch.Tensor
    confidence: torch.Tensor
    advantage: torch.Tensor | None = None


class Portion(NamedTuple):
    """What a part of a batch counts, so that the terms of all parts add up to those of the whole.

    Attributes:
        windows: The part's share of the batch's windows.
        steps: Its share of the known target steps.
    """

    windows: float = 1.0
    steps: float = 1.0


WHOLE = Portion()


def pinball(target: torch.Tensor, quantiles: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Pinball loss of each step, averaged over the levels; 0 where the target is unknown.

    Args:
        target: NaN where unknown. Shape ``(B, H)``.
        quantiles: Shape ``(B, Q, H)``.
        levels: Shape ``(Q,)``.

    Returns:
        Shape ``(B, H)``.
    """
    loss = _level_losses(target, quantiles, levels).mean(dim=1)
    return torch.where(torch.isnan(target), 0.0, loss)


def _level_losses(
    target: torch.Tensor, quantiles: torch.Tensor, levels: torch.Tensor
) -> torch.Tensor:
    """Pinball loss of each level, of no meaning where the target is unknown. ``(B, Q, H)``."""
    error = torch.nan_to_num(target)[:, None] - quantiles
    return torch.maximum(levels[:, None] * error, (levels[:, None] - 1) * error)


def median_errors(batch: Batch, median: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean absolute errors of the medians where target and teacher are known.

    Returns:
        ``err_t`` of the teacher, ``err_b`` of the backbone, and whether any step is known; each of
        shape ``(B,)``.
    """
    known = ~torch.isnan(batch.target) & ~torch.isnan(batch.teacher[:, median])
    error_teacher = _masked_mean((batch.target - batch.teacher[:, median]).abs(), known)
    error_backbone = _masked_mean((batch.target - batch.backbone[:, median]).abs(), known)
    return error_teacher, error_backbone, known.any(dim=1)


def advantage_gate(batch: Batch, config: ObjectiveConfig, median: int) -> torch.Tensor:
    """chi: whether the teacher is better than the backbone by the margin. Shape ``(B,)``.

    The realised advantage, on training windows under the embargo, is optimistic: a teacher that was
    lucky passes. The predicted one knows nothing of the window's own target.
    """
    if config.gate == "none":
        return (~torch.isnan(batch.teacher[:, median])).any(dim=1)
    if batch.advantage is not None:
        return batch.advantage > config.margin
    error_teacher, error_backbone, known = median_errors(batch, median)
    return (error_teacher + config.margin < error_backbone) & known


def gate(batch: Batch, config: ObjectiveConfig, median: int) -> torch.Tensor:
    """omega: how much each window follows its teacher. Shape ``(B,)``."""
    trusted = (batch.confidence >= config.confidence_threshold) & (batch.confidence > 0)
    chi = advantage_gate(batch, config, median)
    return torch.where(chi & trusted, batch.confidence**config.gamma, 0.0)


def objective(
    memory: torch.Tensor,
    fused: torch.Tensor,
    batch: Batch,
    *,
    levels: torch.Tensor,
    median: int,
    config: ObjectiveConfig,
    can_cross: bool = False,
    portion: Portion = WHOLE,
) -> dict[str, torch.Tensor]:
    """The terms of the objective; ``total`` is what is minimised.

    Args:
        memory: Qm. Shape ``(B, Q, H)``.
        fused: What the task loss is taken on: Qf, in the paper profile Qm. Shape ``(B, Q, H)``.
        batch: Targets, backbone and teacher.
        levels: Quantile levels. Shape ``(Q,)``.
        median: Index of the median level.
        config: Form, weights and gates.
        can_cross: Whether memory quantiles may cross, and have to be kept from it.
        portion: What these windows count, where they are a part of a batch.

    Returns:
        Scalars ``total, task, align, anchor, gate``; ``cross`` where quantiles can, and ``point``
        in the code's form.
    """
    if config.form == "code":
        terms = _code_objective(memory, batch, levels=levels, median=median, config=config)
        return {name: portion.windows * term for name, term in terms.items()}
    known = ~torch.isnan(batch.target)
    task = portion.steps * (pinball(batch.target, fused, levels).sum() / known.sum().clamp_min(1))
    omega = gate(batch, config, median)
    taught, teacher = _teacher_where_known(memory, batch, median)
    level_terms = _huber(memory, teacher, config).mean(dim=1)
    median_term = _huber(memory[:, median], teacher[:, median], config)
    by_window = {
        "align": omega * _masked_mean(level_terms + config.delta * median_term, taught),
        "anchor": (1 - omega) * _distance_to_backbone(memory, batch, median, config),
        "gate": omega,
    }
    means = {name: portion.windows * values.mean() for name, values in by_window.items()}
    total = task + config.align * means["align"] + config.anchor * means["anchor"]
    terms = {"task": task, **means}
    if can_cross:
        terms["cross"] = portion.windows * crossing(memory)
        total = total + config.anchor * config.cross * terms["cross"]
    return {"total": total, **terms}


def _code_objective(
    memory: torch.Tensor,
    batch: Batch,
    *,
    levels: torch.Tensor,
    median: int,
    config: ObjectiveConfig,
) -> dict[str, torch.Tensor]:
    """The objective of the published code, which differs from the paper's.

    It trades alignment against the task by confidence, and puts the weight of five levels on the
    median. Its terms are means over windows of means over known steps.
    """
    known = ~torch.isnan(batch.target)
    taught, teacher = _teacher_where_known(memory, batch, median)
    apart = _huber(memory, teacher, config)
    chi = advantage_gate(batch, config, median)
    others = (apart.sum(dim=1) - apart[:, median]) / max(len(levels) - 1, 1)
    align = _masked_mean(others, taught) + chi * _masked_mean(apart[:, median], taught)
    weight = torch.ones_like(levels)
    weight[median] = _MEDIAN_WEIGHT
    losses = (weight[:, None] * _level_losses(batch.target, memory, levels)).sum(dim=1)
    task = _masked_mean(losses / weight.sum(), known)
    error = _huber(memory[:, median], torch.nan_to_num(batch.target), config)
    point = _masked_mean(error, known).mean()
    distance = _distance_to_backbone(memory, batch, median, config)
    anchor = ((1 - batch.confidence) * distance).mean()
    cross = crossing(memory)
    beta = _TRUST + _TRUST_BY_CONFIDENCE * batch.confidence
    fit = (beta * align + (1 - beta) * task).mean()
    return {
        "total": fit + _POINT * point + _ANCHOR * anchor + _CROSS * cross,
        "task": task.mean(),
        "align": align.mean(),
        "anchor": anchor,
        "gate": chi.float().mean(),
        "point": point,
        "cross": cross,
    }


def crossing(quantiles: torch.Tensor) -> torch.Tensor:
    """How far each quantile lies above the next one, in the mean over all pairs and steps.

    Args:
        quantiles: Shape ``(B, Q, H)``.

    Returns:
        L_cross, a scalar; 0 where there is no second level.
    """
    excess = torch.relu(quantiles[:, :-1] - quantiles[:, 1:])
    return excess.sum() / max(excess.numel(), 1)


def _teacher_where_known(
    memory: torch.Tensor, batch: Batch, median: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Steps with a teacher ``(B, H)``, and its quantiles, the memory's own at other steps."""
    taught = ~torch.isnan(batch.teacher[:, median])
    return taught, torch.where(taught[:, None], batch.teacher, memory.detach())


def _distance_to_backbone(
    memory: torch.Tensor, batch: Batch, median: int, config: ObjectiveConfig
) -> torch.Tensor:
    """Mean Huber distance of the medians. Shape ``(B,)``."""
    return _huber(memory[:, median], batch.backbone[:, median], config).mean(dim=1)


def _huber(one: torch.Tensor, other: torch.Tensor, config: ObjectiveConfig) -> torch.Tensor:
    """Huber loss of each element."""
    return huber_loss(one, other, reduction="none", delta=config.huber)


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the last axis where the mask holds, 0 where it never does."""
    total = torch.where(mask, values, 0.0).sum(dim=-1)
    return total / mask.sum(dim=-1).clamp_min(1)
