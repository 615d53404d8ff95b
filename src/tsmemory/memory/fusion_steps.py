"""Fusion weights spread over the steps of a horizon, ready to be multiplied with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from numpy.typing import NDArray

from tsmemory.memory.fusion_parts import between_knots

if TYPE_CHECKING:
    from tsmemory.memory.fusion import Fusion


class Steps(NamedTuple):
    """Weights by step, of shapes that broadcast over a batch; ``None`` where all are zero.

    Attributes:
        location: Weight of the memory's median. Shape ``(H,)`` or ``(B, H)``.
        last_value: Weight of the last value. Shape ``(H,)`` or ``(B, H)``.
        seasonal: Weight of the seasonal naive forecast. Shape ``(H,)`` or ``(B, H)``.
        long_run: Weight of the series' long-run level. Shape ``(H,)`` or ``(B, H)``.
        own: Weight of the backbone's offsets. Shape ``(H,)``.
        spread: Weight of the memory's offsets, with their calibration. Shape ``(H,)``.
        residuals: Offsets in their own unit, with weight and calibration. Shape ``(Q, H)`` or
            ``(B, Q, H)``.
        idle: Where the backbone stands as it is. Shape ``(H,)`` or ``(B, 1, H)``.
    """

    location: torch.Tensor
    last_value: torch.Tensor | None
    seasonal: torch.Tensor | None
    long_run: torch.Tensor | None
    own: torch.Tensor | None
    spread: torch.Tensor | None
    residuals: torch.Tensor | None
    idle: torch.Tensor | None

    @property
    def needs_norm(self) -> bool:
        """Whether the contexts' mean or standard deviation is asked for."""
        return self.long_run is not None or self.residuals is not None


@dataclass(frozen=True)
class StepTable:
    """Weights by step of all channels.

    Attributes:
        shared: Those of a channel without its own.
        names: Rows of the channels that have some; the last row of what follows is the shared one.
        median: Weights of memory, last value, season and long-run level. ``(4, C + 1, H)``.
        residual_scale: Size of residuals. Shape ``(C + 1, H)``.
        idle: Where the backbone stands as it is. Shape ``(C + 1, H)``.
    """

    shared: Steps
    names: dict[str, int]
    median: torch.Tensor
    residual_scale: torch.Tensor
    idle: torch.Tensor

    def of(self, channels: Sequence[str] | NDArray[Any]) -> Steps:
        """Weights of the channels at hand, one for each context."""
        other = len(self.names)
        rows = torch.tensor([self.names.get(str(name), other) for name in channels])
        location, last_value, seasonal, long_run = self.median[:, rows]
        residuals = self.shared.residuals
        return self.shared._replace(
            location=location,
            last_value=last_value,
            seasonal=seasonal,
            long_run=long_run,
            residuals=None if residuals is None else residuals * self.residual_scale[rows][:, None],
            idle=self.idle[rows][:, None],
        )

    def to(self, device: torch.device | str) -> "StepTable":
        """The same on a device."""
        moved = (None if values is None else values.to(device) for values in self.shared)
        names = ("median", "residual_scale", "idle")
        tables = {name: getattr(self, name).to(device) for name in names}
        return replace(self, shared=Steps._make(moved), **tables)


def steps_of(fusion: "Fusion", horizon: int, device: torch.device | str = "cpu") -> StepTable:
    """Spread a fusion's weights over the steps of a horizon.

    Args:
        fusion: Weights by block.
        horizon: H.
        device: Where they are wanted.

    Returns:
        Weights by step.
    """
    with torch.inference_mode(False):  # a kept inference tensor could not be trained through
        return _steps_of(fusion, horizon).to(device)


def _steps_of(fusion: "Fusion", horizon: int) -> StepTable:
    def by_step(values: Sequence[float]) -> torch.Tensor:
        tensor = torch.tensor(tuple(values), dtype=torch.float32)
        return tensor.repeat_interleave(fusion.block)[:horizon]

    blocks = len(fusion.location)
    none = (0.0,) * blocks
    naive, residuals, channels = fusion.naive, fusion.residuals, fusion.channels.values()
    own_names = ("location", "last_value", "seasonal", "long_run")
    shared = [fusion.location]
    shared += [none if naive is None else getattr(naive, name) for name in own_names[1:]]
    median = torch.stack(
        [
            torch.stack([by_step(getattr(c, name)) for c in channels] + [by_step(weights)])
            for name, weights in zip(own_names, shared, strict=True)
        ]
    )
    ones = by_step((1.0,) * blocks)
    weight = by_step(none if residuals is None else residuals.weight)
    spread = by_step(fusion.spread)
    offsets = None
    if residuals is not None and bool(weight.any()):
        table = between_knots(residuals.knots, residuals.offsets, horizon)
        offsets = weight * by_step(residuals.factor) * torch.from_numpy(table)
    idle = (median == 0).all(dim=0) & (spread == 0) & (weight == 0)
    return StepTable(
        shared=Steps(
            location=median[0, -1],
            last_value=_unless_zero(median[1, -1]),
            seasonal=_unless_zero(median[2, -1]),
            long_run=_unless_zero(median[3, -1]),
            own=_unless_zero((1 - spread - weight).clamp_min(0)),
            spread=_unless_zero(spread * by_step(fusion.factor)),
            residuals=offsets,
            idle=_unless_zero(idle[-1]),
        ),
        names={name: row for row, name in enumerate(fusion.channels)},
        median=median,
        residual_scale=torch.stack([by_step(c.residual_scale) for c in channels] + [ones]),
        idle=idle,
    )


def _unless_zero(values: torch.Tensor) -> torch.Tensor | None:
    """The values, ``None`` where they are zero throughout: then there is nothing to compute."""
    return values if bool(values.any()) else None
