"""The confidence-gated objective (TS-Memory, section 4.3; METHOD 1.6)."""

from dataclasses import dataclass

import torch
from torch.nn.functional import huber_loss

from tsmemory.memory.config import ObjectiveConfig


@dataclass(frozen=True)
class Batch:
    """What one training step sees; all values in z units.

    Attributes:
        target: NaN where unknown. Shape ``(B, H)``.
        backbone: Frozen quantiles. Shape ``(B, Q, H)``.
        teacher: Teacher quantiles, NaN where there is no neighbour. Shape ``(B, Q, H)``.
        confidence: Confidence of the teacher. Shape ``(B,)``.
    """

    target: torch.Tensor
    backbone: torch.Tensor
    teacher: torch.Tensor
    confidence: torch.Tensor


def pinball(target: torch.Tensor, quantiles: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Pinball loss of each step, averaged over the levels; 0 where the target is unknown.

    Args:
        target: NaN where unknown. Shape ``(B, H)``.
        quantiles: Shape ``(B, Q, H)``.
        levels: Shape ``(Q,)``.

    Returns:
        Shape ``(B, H)``.
    """
    error = torch.nan_to_num(target)[:, None] - quantiles
    loss = torch.maximum(levels[:, None] * error, (levels[:, None] - 1) * error).mean(dim=1)
    return torch.where(torch.isnan(target), 0.0, loss)


def gate(batch: Batch, config: ObjectiveConfig, median: int) -> torch.Tensor:
    """omega: how much each window follows its teacher. Shape ``(B,)``.

    The advantage is the realised one, on training windows under the embargo.
    """
    known = ~torch.isnan(batch.target) & ~torch.isnan(batch.teacher[:, median])
    error_teacher = _masked_mean((batch.target - batch.teacher[:, median]).abs(), known)
    error_backbone = _masked_mean((batch.target - batch.backbone[:, median]).abs(), known)
    advantage = (error_teacher + config.margin < error_backbone) & known.any(dim=1)
    trusted = (batch.confidence >= config.confidence_threshold) & (batch.confidence > 0)
    return torch.where(advantage & trusted, batch.confidence**config.gamma, 0.0)


def objective(
    memory: torch.Tensor,
    fused: torch.Tensor,
    batch: Batch,
    *,
    levels: torch.Tensor,
    median: int,
    config: ObjectiveConfig,
) -> dict[str, torch.Tensor]:
    """The terms of the objective; ``total`` is what is minimised.

    Args:
        memory: Qm. Shape ``(B, Q, H)``.
        fused: Qf, on which the task loss is taken. Shape ``(B, Q, H)``.
        batch: Targets, backbone and teacher.
        levels: Quantile levels. Shape ``(Q,)``.
        median: Index of the median level.
        config: Weights and gates.

    Returns:
        Scalars ``total, task, align, anchor, gate``.
    """
    known = ~torch.isnan(batch.target)
    task = pinball(batch.target, fused, levels).sum() / known.sum().clamp_min(1)
    omega = gate(batch, config, median)
    taught = ~torch.isnan(batch.teacher[:, median])
    teacher = torch.where(taught[:, None], batch.teacher, memory.detach())
    level_terms = huber_loss(memory, teacher, reduction="none").mean(dim=1)
    median_term = huber_loss(memory[:, median], teacher[:, median], reduction="none")
    align = (omega * _masked_mean(level_terms + config.delta * median_term, taught)).mean()
    distance = huber_loss(memory[:, median], batch.backbone[:, median], reduction="none")
    anchor = ((1 - omega) * distance.mean(dim=1)).mean()
    total = task + config.align * align + config.anchor * anchor
    return {"total": total, "task": task, "align": align, "anchor": anchor, "gate": omega.mean()}


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the last axis where the mask holds, 0 where it never does."""
    total = torch.where(mask, values, 0.0).sum(dim=-1)
    return total / mask.sum(dim=-1).clamp_min(1)
