"""Fusing the memory with the frozen backbone at constant cost (TS-Memory, section 4.4; METHOD 1.7).

The published fusion is ``Qf = Qb + a (Qm - Qb)`` with one scalar ``a``. Here the median is a convex
mixture by horizon block, in which naive forecasts may have a part, and the offsets of the other
levels from it are another one, in which training residuals may have a part:

    median_f    = median_b + a (median_m - median_b) + n (last - median_b) + p (seasonal - median_b)
                + h (long-run level - context mean)
    offset_f[j] = (1 - s - r) offset_b[j] + s c_m offset_m[j] + r c_r sqrt(scale) residual[j]

so that a memory whose spread helps and whose median does not is used for its spread alone, and each
part is judged by its own guard. With ``s = a``, ``n = p = h = r = 0`` and ``c = 1`` it is the
published form. Weights are not negative and sum to one at most, and factors ``c`` are positive, so
the fused quantiles ascend whenever what is mixed does. Where nothing has a weight they are the
backbone's, bit for bit. Everything is in train z units: the long-run level of every series is 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.candidates import last_values, seasonal_values, way_home
from tsmemory.memory.config import GateConfig
from tsmemory.memory.fusion_parts import Channel, Naive, Residuals, residual_unit
from tsmemory.memory.fusion_steps import Steps, StepTable, steps_of
from tsmemory.memory.gate import open_steps
from tsmemory.memory.instance_norm import Normalised, instance_normalise

CANDIDATES = ("memory", "last_value", "seasonal_naive", "long_run")  # for the median

_ROUNDING = 1e-6


@dataclass(frozen=True)
class Fusion:
    """Fusion weights by horizon block.

    Attributes:
        block: Steps in a block.
        location: a, weight of the memory's median. One for each block, in [0, 1].
        spread: s, weight of the memory's offsets. One for each block, in [0, 1].
        factor: c_m, calibration of the memory's offsets. One for each block, positive.
        report: How the weights were chosen and what the guard said, for people.
        naive: Weights of the naive forecasts in the median; ``None`` where they have none.
        residuals: Training residuals in the spread; ``None`` where they have no part.
        channels: Weights of channels that have their own, by name; all others have those above.
        gate: At which steps of which forecasts all this holds.
    """

    block: int
    location: tuple[float, ...]
    spread: tuple[float, ...]
    factor: tuple[float, ...]
    report: Mapping[str, Any] = field(default_factory=dict)
    naive: Naive | None = None
    residuals: Residuals | None = None
    channels: Mapping[str, Channel] = field(default_factory=dict)
    gate: GateConfig = field(default_factory=GateConfig)

    def __post_init__(self) -> None:
        for name in ("location", "spread"):
            if not all(0 <= weight <= 1 for weight in getattr(self, name)):
                raise ValueError(f"fusion weights {name} must lie in [0, 1]")
        if not all(factor > 0 for factor in self.factor):
            raise ValueError("fusion factors must be positive")
        if self.naive is not None:
            naive = (self.naive.last_value, self.naive.seasonal, self.naive.long_run)
            _check_sum("location", self.location, *naive)
        if self.residuals is not None:
            _check_sum("spread", self.spread, self.residuals.weight)
        if self.naive is None and self.channels:
            raise ValueError("fusion weights of channels need those of the naive forecasts")

    @property
    def is_idle(self) -> bool:
        """Whether the fused forecast is the backbone's everywhere."""
        own = (
            weights
            for c in self.channels.values()
            for weights in (c.location, c.last_value, c.seasonal, c.long_run)
        )
        return not any(any(line.values()) for line in self._lines()) and not any(map(any, own))

    @property
    def needs_contexts(self) -> bool:
        """Whether :meth:`apply` has to be given the contexts."""
        return self.naive is not None or self.residuals is not None or self.gate.is_on

    def apply(
        self,
        backbone: torch.Tensor,
        memory: torch.Tensor,
        median: int,
        contexts: torch.Tensor | None = None,
        channels: Sequence[str] | NDArray[Any] | None = None,
        normal: Normalised | None = None,
    ) -> torch.Tensor:
        """Fuse quantiles.

        Args:
            backbone: Qb, ascending over levels. Shape ``(B, Q, H)``.
            memory: Qm, ascending over levels. Shape ``(B, Q, H)``.
            median: Index of the median level.
            contexts: What was forecast, in train z units as the forecasts; NaN where missing. Naive
                forecasts, residuals and the gate are made from it. Shape ``(B, L)``.
            channels: Channel of each context, where known. Shape ``(B,)``.
            normal: The contexts' instance norm, where it is known already.

        Returns:
            Qf, ascending over levels. Shape ``(B, Q, H)``.

        Raises:
            ValueError: Contexts are needed and not given.
        """
        if self.needs_contexts and contexts is None:
            raise ValueError("this fusion needs the contexts")
        horizon = backbone.shape[2]
        steps = self._steps(horizon, channels, backbone.device)
        middle, remembered = backbone[:, median], memory[:, median]
        point = middle + steps.location * (remembered - middle)
        if steps.last_value is not None and contexts is not None:
            point = point + steps.last_value * (last_values(contexts) - middle)
        if steps.seasonal is not None and contexts is not None and self.naive is not None:
            season = seasonal_values(contexts, self.naive.season, horizon)
            point = point + steps.seasonal * (season - middle)
        if contexts is not None and normal is None and steps.needs_norm:
            normal = instance_normalise(contexts)
        if steps.long_run is not None and normal is not None:
            point = point + steps.long_run * way_home(normal)
        # Sums of ascending terms, so that rounding cannot make adjacent levels cross.
        fused = point[:, None]
        if steps.own is not None:
            fused = fused + steps.own * (backbone - middle[:, None])
        if steps.spread is not None:
            fused = fused + steps.spread * (memory - remembered[:, None])
        if steps.residuals is not None and normal is not None:
            fused = fused + residual_unit(normal.scale)[:, :, None] * steps.residuals
        if steps.idle is not None:
            fused = torch.where(steps.idle, backbone, fused)
        if self.gate.is_on and contexts is not None:
            is_open = open_steps(self.gate, backbone, memory, contexts, median)
            fused = torch.where(is_open[:, None], fused, backbone)
        return fused

    def describe(self) -> str:
        """Where what is used, in words."""
        lines = self._lines()
        used = [any(line.values()) for line in lines]
        if not any(used):
            return "the frozen backbone alone at all steps: validation shows no gain"
        means = {name: float(np.mean([line[name] for line in lines])) for name in lines[0]}
        main = max(("last_value", "seasonal_naive", "long_run"), key=means.__getitem__)
        what = "the memory is used"
        if means[main] > means["memory"]:
            what = f"the {main.replace('_', ' ')} forecast is the most of it"
        if all(used):
            return f"{what} at all steps"
        shut = [
            f"{number * self.block + 1}-{(number + 1) * self.block}"
            for number, ok in enumerate(used)
            if not ok
        ]
        return f"the frozen backbone alone at steps {', '.join(shut)}: no gain shown there"

    def explain(self) -> list[dict[str, float]]:
        """Shares of all that is mixed, a line for each block, for people.

        Returns:
            ``first_step, last_step``; shares of the median ``backbone, memory, last_value,
            seasonal_naive, long_run``; and shares of the spread ``width_backbone, width_memory,
            width_residuals``.
        """
        lines = []
        for number, line in enumerate(self._lines()):
            median = {name: line[name] for name in CANDIDATES}
            width = {name: line[name] for name in ("width_memory", "width_residuals")}
            lines.append(
                {
                    "first_step": number * self.block + 1,
                    "last_step": (number + 1) * self.block,
                    "backbone": max(0.0, 1.0 - sum(median.values())),
                    **median,
                    "width_backbone": max(0.0, 1.0 - sum(width.values())),
                    **width,
                }
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """Plain values; :meth:`from_json` reads them."""
        return {
            "block": self.block,
            "location": list(self.location),
            "spread": list(self.spread),
            "factor": list(self.factor),
            "report": dict(self.report),
            "naive": None if self.naive is None else asdict(self.naive),
            "residuals": None if self.residuals is None else asdict(self.residuals),
            "channels": {name: asdict(channel) for name, channel in self.channels.items()},
            "gate": asdict(self.gate),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Fusion":
        """Read what :meth:`to_json` wrote."""
        naive, residuals = value.get("naive"), value.get("residuals")
        channels = value.get("channels", {})
        return cls(
            block=int(value["block"]),
            location=tuple(value["location"]),
            spread=tuple(value["spread"]),
            factor=tuple(value["factor"]),
            report=value.get("report", {}),
            naive=None if naive is None else Naive.from_json(naive),
            residuals=None if residuals is None else Residuals.from_json(residuals),
            channels={name: Channel.from_json(given) for name, given in channels.items()},
            gate=GateConfig(**value.get("gate", {})),
        )

    def _lines(self) -> list[dict[str, float]]:
        """Weights of all but the backbone, by block, for channels without their own."""
        lines = []
        for number in range(len(self.location)):
            naive = self.naive
            lines.append(
                {
                    "memory": self.location[number],
                    "last_value": naive.last_value[number] if naive else 0.0,
                    "seasonal_naive": naive.seasonal[number] if naive else 0.0,
                    "long_run": naive.long_run[number] if naive else 0.0,
                    "width_memory": self.spread[number],
                    "width_residuals": self.residuals.weight[number] if self.residuals else 0.0,
                }
            )
        return lines

    def _steps(
        self, horizon: int, channels: Sequence[str] | NDArray[Any] | None, device: torch.device
    ) -> Steps:
        """Weights by step, for the channels at hand."""
        asked = (horizon, device)
        if asked not in self._known:
            self._known[asked] = steps_of(self, horizon, device)
        table = self._known[asked]
        return table.shared if channels is None or not self.channels else table.of(channels)

    @cached_property
    def _known(self) -> dict[tuple[int, torch.device], StepTable]:
        """Weights by step of the horizons asked for so far, on each device."""
        return {}


def _check_sum(name: str, *weights: tuple[float, ...]) -> None:
    """Refuse weights of one mixture that exceed one together."""
    if any(sum(by_source) > 1 + _ROUNDING for by_source in zip(*weights, strict=True)):
        raise ValueError(f"fusion weights {name} must sum to at most 1 in each block")


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
