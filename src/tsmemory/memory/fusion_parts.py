"""What a fusion mixes beside backbone and memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Lines = Sequence[Sequence[float]] | NDArray[np.float64]


@dataclass(frozen=True)
class Naive:
    """Weights of the naive forecasts in the median, by horizon block.

    Attributes:
        last_value: n, weight of the last value repeated. One for each block.
        seasonal: p, weight of the last season repeated. One for each block.
        long_run: h, weight of the backbone's median, taken to the series' long-run level. One for
            each block.
        season: Steps in a season.
    """

    last_value: tuple[float, ...]
    seasonal: tuple[float, ...]
    long_run: tuple[float, ...]
    season: int

    def __post_init__(self) -> None:
        if not all(0 <= weight <= 1 for weight in self._all()):
            raise ValueError("weights of naive forecasts must lie in [0, 1]")
        if self.season < 1:
            raise ValueError(f"a season has at least one step, got {self.season}")

    @classmethod
    def of(cls, weights: Lines, season: int) -> "Naive":
        """From weights ``(3, blocks)`` in the order of the attributes."""
        last_value, seasonal, long_run = (tuple(map(float, line)) for line in weights)
        return cls(last_value, seasonal, long_run, season)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Naive":
        """Read plain values."""
        weights = [value[name] for name in ("last_value", "seasonal", "long_run")]
        return cls.of(weights, int(value["season"]))

    def _all(self) -> tuple[float, ...]:
        return (*self.last_value, *self.seasonal, *self.long_run)


@dataclass(frozen=True)
class Residuals:
    """Out-of-fold training residuals of the fused median as a source of the spread.

    Attributes:
        weight: r, weight of the residuals' offsets. One for each block, in [0, 1].
        factor: c_r, their calibration. One for each block, positive.
        knots: Steps ahead, counted from 0, that ``offsets`` are given for; linear in between.
        offsets: Distance of each level from the median at each knot, in z units for a context with
            a standard deviation of 1 (:func:`residual_unit`), ascending over levels. Q lines of as
            many values as there are knots.
    """

    weight: tuple[float, ...]
    factor: tuple[float, ...]
    knots: tuple[int, ...]
    offsets: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if not all(0 <= weight <= 1 for weight in self.weight):
            raise ValueError("weights of residuals must lie in [0, 1]")
        if not all(factor > 0 for factor in self.factor):
            raise ValueError("factors of residuals must be positive")
        if any(len(line) != len(self.knots) for line in self.offsets):
            raise ValueError("residuals need one offset for each level and knot")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Residuals":
        """Read plain values."""
        offsets = tuple(tuple(line) for line in value["offsets"])
        knots = tuple(int(knot) for knot in value["knots"])
        return cls(tuple(value["weight"]), tuple(value["factor"]), knots, offsets)


def residual_unit(scale: torch.Tensor) -> torch.Tensor:
    """The unit that residuals are taken in: half way between the context's and the series' own.

    Errors after a calm context are smaller than after a wild one, but not by as much: the square
    root of the context's standard deviation, in train z units, told the spread on validation better
    than the standard deviation itself, and better than no scale at all.

    Args:
        scale: Standard deviations of contexts. Any shape.
    """
    return scale.sqrt()


def spread_knots(horizon: int) -> tuple[int, ...]:
    """Steps ahead, from 0 to the last, that lie as densely as errors change: by a quarter more."""
    knots = [0]
    while knots[-1] < horizon - 1:
        knots.append(min(max(knots[-1] + 1, round(1.25 * knots[-1])), horizon - 1))
    return tuple(knots)


def between_knots(
    knots: Sequence[int] | NDArray[np.int64],
    offsets: Sequence[Sequence[float]] | NDArray[np.float64],
    horizon: int,
) -> NDArray[np.float32]:
    """Offsets at every step from those at the knots.

    Args:
        knots: Steps ahead, ascending, K of them.
        offsets: Values at the knots, Q lines of K.
        horizon: H; beyond the last knot its value holds.

    Returns:
        Shape ``(Q, H)``, ascending over levels wherever ``offsets`` are.
    """
    steps = np.arange(horizon)
    return np.stack([np.interp(steps, knots, line) for line in offsets]).astype(np.float32)


@dataclass(frozen=True)
class Channel:
    """Weights of one channel where they are not those of all; see :class:`Naive`.

    Attributes:
        location: a, weight of the memory's median. One for each block.
        last_value: n. One for each block.
        seasonal: p. One for each block.
        long_run: h. One for each block.
        residual_scale: Size of the channel's residuals in those of all channels. One for each
            block, positive.
    """

    location: tuple[float, ...]
    last_value: tuple[float, ...]
    seasonal: tuple[float, ...]
    long_run: tuple[float, ...]
    residual_scale: tuple[float, ...]

    def __post_init__(self) -> None:
        lines = (self.location, self.last_value, self.seasonal, self.long_run)
        for weights in zip(*lines, strict=True):
            if min(weights) < 0 or not sum(weights) <= 1 + 1e-6:
                raise ValueError("a channel's weights must be positive and sum to at most 1")
        if not all(scale > 0 for scale in self.residual_scale):
            raise ValueError("a channel's residual scale must be positive")

    @classmethod
    def of(cls, weights: Lines, residual_scale: Sequence[float] | NDArray[np.float64]) -> "Channel":
        """From weights ``(4, blocks)`` in the order of the attributes, and the residuals' size."""
        location, last_value, seasonal, long_run = (tuple(map(float, line)) for line in weights)
        scale = tuple(map(float, residual_scale))
        return cls(location, last_value, seasonal, long_run, scale)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Channel":
        """Read plain values."""
        return cls(**{name: tuple(weights) for name, weights in value.items()})
