"""Fusing the memory with the frozen backbone at constant cost (TS-Memory, section 4.4; METHOD 1.7).

The published fusion is ``Qf = Qb + a (Qm - Qb)`` with one scalar ``a``. Here the median and the
offsets of the other levels from it have a weight each, by horizon block:

    median_f    = median_b + a * (median_m - median_b)
    offset_f[j] = offset_b[j] + s * (c * offset_m[j] - offset_b[j])

so that a memory whose spread helps and whose median does not is used for its spread alone, and each
part is judged by its own guard. With ``s = a`` and ``c = 1`` it is the published form. Weights lie
in [0, 1] and ``c`` is positive, so the fused quantiles ascend whenever both inputs do; with
``a = s = 0`` they are the backbone's, bit for bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Fusion:
    """Fusion weights by horizon block.

    Attributes:
        block: Steps in a block.
        location: a, weight of the memory's median. One for each block, in [0, 1].
        spread: s, weight of the memory's offsets. One for each block, in [0, 1].
        factor: c, calibration of the memory's offsets. One for each block, positive.
        report: How the weights were chosen and what the guard said, for people.
    """

    block: int
    location: tuple[float, ...]
    spread: tuple[float, ...]
    factor: tuple[float, ...]
    report: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("location", "spread"):
            if not all(0 <= weight <= 1 for weight in getattr(self, name)):
                raise ValueError(f"fusion weights {name} must lie in [0, 1]")
        if not all(factor > 0 for factor in self.factor):
            raise ValueError("fusion factors must be positive")

    @property
    def is_idle(self) -> bool:
        """Whether the fused forecast is the backbone's everywhere."""
        return not any(self.location) and not any(self.spread)

    def apply(self, backbone: torch.Tensor, memory: torch.Tensor, median: int) -> torch.Tensor:
        """Fuse quantiles.

        Args:
            backbone: Qb, ascending over levels. Shape ``(B, Q, H)``.
            memory: Qm, ascending over levels. Shape ``(B, Q, H)``.
            median: Index of the median level.

        Returns:
            Qf, ascending over levels. Shape ``(B, Q, H)``.
        """
        a, s, c = (
            _by_step(weights, self.block, backbone.shape[2])
            for weights in (self.location, self.spread, self.factor)
        )
        middle_b, middle_m = backbone[:, median : median + 1], memory[:, median : median + 1]
        # A sum of two ascending terms, so that rounding cannot make adjacent levels cross.
        offsets = (1 - s) * (backbone - middle_b) + s * c * (memory - middle_m)
        fused = middle_b + a * (middle_m - middle_b) + offsets
        return torch.where((a == 0) & (s == 0), backbone, fused)

    def describe(self) -> str:
        """Where the memory is used, in words."""
        used = [a > 0 or s > 0 for a, s in zip(self.location, self.spread, strict=True)]
        if all(used):
            return "the memory is used at all steps"
        if not any(used):
            return "the frozen backbone alone at all steps: validation shows no gain"
        shut = [
            f"{number * self.block + 1}-{(number + 1) * self.block}"
            for number, ok in enumerate(used)
            if not ok
        ]
        return f"the frozen backbone alone at steps {', '.join(shut)}: no gain shown there"

    def to_json(self) -> dict[str, Any]:
        """Plain values; :meth:`from_json` reads them."""
        return {
            "block": self.block,
            "location": list(self.location),
            "spread": list(self.spread),
            "factor": list(self.factor),
            "report": dict(self.report),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Fusion":
        """Read what :meth:`to_json` wrote."""
        return cls(
            block=int(value["block"]),
            location=tuple(value["location"]),
            spread=tuple(value["spread"]),
            factor=tuple(value["factor"]),
            report=value.get("report", {}),
        )


@lru_cache(maxsize=256)
def _by_step(by_block: tuple[float, ...], block: int, horizon: int) -> torch.Tensor:
    """Repeat block values over their steps. Shape ``(horizon,)``."""
    with torch.inference_mode(False):  # a cached inference tensor could not be trained through
        values = torch.tensor(by_block, dtype=torch.float32)
        return values.repeat_interleave(block)[:horizon]


def closed_form_location(
    numerator: NDArray[np.float64], denominator: NDArray[np.float64], shrinkage: float
) -> tuple[float, ...]:
    """Location weights that minimise squared error, shrunk towards the one for all blocks.

    Args:
        numerator: Sum of ``(y - b)(m - b)`` in each block.
        denominator: Sum of ``(m - b)^2`` in each block.
        shrinkage: 0 keeps each block's own weight, 1 gives all the global one.

    Returns:
        One weight in [0, 1] for each block.
    """
    overall = numerator.sum() / max(float(denominator.sum()), 1e-12)
    own = np.where(denominator > 0, numerator / np.maximum(denominator, 1e-12), overall)
    weights = np.clip((1 - shrinkage) * own + shrinkage * overall, 0, 1)
    return tuple(float(weight) for weight in weights)
