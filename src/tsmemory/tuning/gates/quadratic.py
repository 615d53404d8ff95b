"""The objective of distillation as a least-squares problem in the adapter's median head.

Distillation minimises three terms (METHOD 1.6): the pinball loss of the fused forecast, agreement
with the teacher where the gate is open, and staying near the backbone where it is shut. Three steps
make a least-squares problem of it:

- The hidden layer ``u(x)`` stays as it is before the first step, and of the heads only the one that
  moves the median by ``scale * u(x) v`` is fitted. Widths stay those of the closed form.
- The pinball loss, in the mean over levels, is replaced by its second-order expansion around the
  fused median. For a calibrated forecast the curvature is the mean of the density at its own
  quantiles, ``integral f^2``; for errors like a normal distribution's with deviation ``sigma`` that
  is ``kappa = 1 / (2 sqrt(pi) sigma)``.
- The Huber losses are replaced by the parabola that they are near zero. In the mean over levels a
  parabola around quantiles has its bottom at their mean, so that the teacher's mean stands for all
  of its quantiles, its median included: no future has to be sorted.

With the line ``l`` that the closed form says, the backbone's median ``b``, the teacher's mean
``t``, the fusion weight ``a`` held during training and the residual ``r`` of the fused median, the
heads ``v`` of a step then minimise

    sum  kappa (r - a s u v)^2 + align (1 + delta) omega (l + s u v - t)^2
         + anchor (1 - omega) (l + s u v - b)^2  +  penalty |v|^2

that is, a ridge whose targets are drawn to the teacher's by ``align (1 + delta) omega``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from tsmemory.memory.config import ObjectiveConfig
from tsmemory.memory.cross_fit import Outside
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.objective import Batch, gate
from tsmemory.series.series_set import Int

_CURVATURE = 1 / (2 * math.sqrt(math.pi))


class Taught(NamedTuple):
    """What the teacher says of training windows.

    Attributes:
        mean: Of its neighbours' aligned futures by weight, in z units, NaN without neighbours.
            Shape ``(N, H)``.
        confidence: Shape ``(N,)``.
        advantage: As it is predicted, where the gate asks for that. Shape ``(N,)``.
    """

    mean: torch.Tensor
    confidence: torch.Tensor
    advantage: torch.Tensor | None = None


@dataclass(frozen=True)
class Quadratic:
    """The least-squares problem of a setting, on N training windows.

    Attributes:
        scale: Scale of each context. Shape ``(N, 1)``.
        omega: How much each window follows its teacher. Shape ``(N, 1)``.
        force: Slope of the objective at the closed form, downhill. Shape ``(N, H)``.
        task: ``kappa a^2`` of each horizon block.
        anchor: lambda_reg.
        drawn: What omega adds to the curvature, ``align (1 + delta) - anchor``.
        block: Steps in a block.
    """

    scale: torch.Tensor
    omega: torch.Tensor
    force: torch.Tensor
    task: torch.Tensor
    anchor: float
    drawn: float
    block: int

    @classmethod
    def of(
        cls,
        seen: Outside,
        memory: torch.Tensor,
        taught: Taught,
        held: Fusion,
        objective: ObjectiveConfig,
        levels: tuple[float, ...],
    ) -> "Quadratic":
        """Expand the objective around the closed form.

        A step without a target or a teacher pulls nowhere.

        Args:
            seen: The windows as they look from outside.
            memory: The closed form's memory of them. Shape ``(N, Q, H)``.
            taught: What the teacher says of them.
            held: The fusion that holds during training.
            objective: Loss weights and gates.
            levels: Quantile levels.
        """
        median, horizon = levels.index(0.5), seen.target.shape[1]
        line, backbone = memory[:, median], seen.quantiles[:, median]
        teacher = taught.mean - seen.level
        weight = torch.tensor(held.location).repeat_interleave(held.block)[:horizon]
        fused = held.apply(
            backbone[:, None], line[:, None], 0, seen.contexts, seen.channels, seen.normal
        )
        residual = seen.target - fused[:, 0]
        kappa = _CURVATURE / _block_deviation(residual, held.block)
        by_step = kappa.repeat_interleave(held.block)[:horizon]
        batch = Batch(
            seen.target, backbone[:, None], teacher[:, None], taught.confidence, taught.advantage
        )
        omega = gate(batch, objective, 0)[:, None]
        pull = objective.align * (1 + objective.delta)
        force = (
            by_step * weight * torch.nan_to_num(residual)
            + pull * omega * torch.nan_to_num(teacher - line)
            + objective.anchor * (1 - omega) * (backbone - line)
        )
        task = kappa * torch.tensor(held.location) ** 2
        drawn = pull - objective.anchor
        return cls(seen.normal.scale, omega, force, task, objective.anchor, drawn, held.block)

    def heads(
        self, hidden: torch.Tensor, rows: Int, penalties: Sequence[float]
    ) -> list[torch.Tensor]:
        """Solve on some windows.

        Args:
            hidden: The hidden layer's answer to every window, and a constant. Shape ``(N, D + 1)``.
            rows: The windows to fit on.
            penalties: In units of the mean curvature.

        Returns:
            One head of shape ``(D + 1, H)`` for each penalty.
        """
        mine = (hidden[rows] * self.scale[rows]).double()
        plain = mine.T @ mine
        gated = mine.T @ (self.omega[rows] * mine)
        wanted = mine.T @ self.force[rows].double()
        horizon, blocks, size = wanted.shape[1], len(self.task), len(plain)
        padded = torch.nn.functional.pad(wanted, (0, blocks * self.block - horizon))
        right = padded.reshape(size, blocks, self.block).transpose(0, 1)
        curvature = (self.task.double() + self.anchor)[:, None, None] * plain + self.drawn * gated
        unit = torch.diagonal(curvature, dim1=1, dim2=2).mean(dim=1)
        floor = 1e-9 * plain.diagonal().mean().clamp_min(1e-30)
        found = []
        for penalty in penalties:
            ridge = (penalty * unit + floor)[:, None, None] * torch.eye(size, dtype=plain.dtype)
            solved = torch.linalg.solve(curvature + ridge, right)
            whole = solved.transpose(0, 1).reshape(size, -1)[:, :horizon]
            found.append(whole.float())
        return found


def _block_deviation(residual: torch.Tensor, block: int) -> torch.Tensor:
    """Root mean square of the known residuals in each horizon block, of all where none is known."""
    known = ~torch.isnan(residual)
    square = torch.nan_to_num(residual).square().sum(dim=0)
    padding = -len(square) % block
    sums, counts = (
        torch.nn.functional.pad(values, (0, padding)).reshape(-1, block).sum(dim=1)
        for values in (square, known.sum(dim=0).to(square.dtype))
    )
    overall = (sums.sum() / counts.sum().clamp_min(1)).sqrt()
    own = torch.where(counts > 0, (sums / counts.clamp_min(1)).sqrt(), overall)
    return own.clamp_min(1e-6)
