"""The teacher's spread made honest: one factor around the median per block (METHOD 1.4, step 6).

The spread of a few weighted neighbours is far too narrow. Factors are found on training queries,
whose neighbours are embargoed, and a query is widened by factors that were found away from it in
time: its own target would else move its own teacher. Where the factors, used so, do not lower the
loss, the spread stays as it was retrieved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsmemory.series.series_set import Float, Int

FACTOR_RANGE = (0.1, 10.0)


@dataclass(frozen=True)
class SpreadCalibration:
    """Factors on the distance of every quantile from the median.

    Attributes:
        block: Steps in a horizon block.
        factor: Factor of each block, from all training queries; for queries after training.
        fold_edges: First window start of each fold on the shared calendar, and the one after the
            last. Shape ``(F + 1,)``, or empty.
        fold_factor: Factors of each fold, from the queries that share no step with it.
    """

    block: int
    factor: tuple[float, ...]
    fold_edges: tuple[int, ...] = ()
    fold_factor: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def none(cls, horizon: int, block: int) -> "SpreadCalibration":
        """The calibration that changes nothing."""
        return cls(block, (1.0,) * -(-horizon // block))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is changed."""
        return all(f == 1 for line in (self.factor, *self.fold_factor) for f in line)

    def factors(self, calendar: Int, horizon: int) -> Float:
        """Factor of each step ahead of each query.

        Args:
            calendar: Starts of the queries on the shared calendar. Shape ``(B,)``.
            horizon: H, at most the horizon that was calibrated.

        Returns:
            Shape ``(B, H)``.
        """
        lines = np.array([*self.fold_factor, self.factor], dtype=np.float32)
        line = np.full(len(calendar), len(lines) - 1)
        if self.fold_edges:
            fold = np.searchsorted(self.fold_edges, calendar, side="right") - 1
            trained = (fold >= 0) & (fold < len(self.fold_factor))
            line[trained] = fold[trained]
        return np.repeat(lines, self.block, axis=1)[line, :horizon]

    def apply(self, quantiles: Float, calendar: Int, median: int) -> Float:
        """Quantiles with their calibrated distance from the median.

        Args:
            quantiles: Shape ``(B, Q, H)``.
            calendar: Starts of the queries on the shared calendar. Shape ``(B,)``.
            median: Index of the median level.

        Returns:
            Shape ``(B, Q, H)``, as monotone as before.
        """
        if self.is_idle:
            return quantiles
        middle = quantiles[:, [median]]
        factor = self.factors(calendar, quantiles.shape[2])[:, None]
        return np.asarray(middle + factor * (quantiles - middle), dtype=np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain values; see :meth:`from_json`."""
        return {
            "block": self.block,
            "factor": list(self.factor),
            "fold_edges": list(self.fold_edges),
            "fold_factor": [list(line) for line in self.fold_factor],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SpreadCalibration":
        """Read what :meth:`to_json` gave."""
        return cls(
            block=values["block"],
            factor=tuple(values["factor"]),
            fold_edges=tuple(values["fold_edges"]),
            fold_factor=tuple(tuple(line) for line in values["fold_factor"]),
        )


def pinball_loss(target: Float, quantiles: Float, levels: tuple[float, ...]) -> Float:
    """Pinball loss of each step, averaged over the levels.

    Args:
        target: NaN where unknown. Shape ``(B, H)``.
        quantiles: Shape ``(B, Q, H)``.
        levels: Quantile levels.

    Returns:
        Shape ``(B, H)``, NaN where the target is unknown or there is no neighbour.
    """
    loss = np.zeros_like(target)
    for number, level in enumerate(levels):
        gap = target - quantiles[:, number]
        loss += np.maximum(level * gap, (level - 1) * gap) / len(levels)
    return loss


def best_factors(
    target: Float,
    quantiles: Float,
    keep: NDArray[np.bool_],
    *,
    levels: tuple[float, ...],
    median: int,
) -> NDArray[np.float64]:
    """The factor with the least pinball loss, for several choices of queries at once.

    In the factor ``f`` the loss of ``median + f * width`` is convex and piecewise linear, with a
    kink at ``(target - median) / width`` where its slope grows by ``|width|``: the minimum is a
    weighted quantile of the kinks, and exact.

    Args:
        target: Targets of one horizon block, NaN where unknown. Shape ``(N, S)``.
        quantiles: The teacher's, NaN without neighbours. Shape ``(N, Q, S)``.
        keep: Which queries each choice counts. Shape ``(C, N)``.
        levels: Quantile levels.
        median: Index of the median level.

    Returns:
        Factors within ``FACTOR_RANGE``; 1 where nothing tells. Shape ``(C,)``.
    """
    middle = quantiles[:, [median]]
    width = quantiles - middle
    gap = np.broadcast_to(target[:, None] - middle, width.shape)
    telling = ~np.isnan(gap) & (width != 0)
    query = np.broadcast_to(np.arange(len(target))[:, None, None], width.shape)[telling]
    level = np.broadcast_to(np.array(levels)[None, :, None], width.shape)[telling]
    width, gap = width[telling].astype(np.float64), gap[telling].astype(np.float64)
    kink = gap / width
    order = np.argsort(kink, kind="stable")
    kink, query, growth = kink[order], query[order], np.abs(width[order])
    # The slope at factor 0 and below every kink, up to its sign.
    fall = np.where(width > 0, level, 1 - level)[order] * growth
    found = np.ones(len(keep))
    for number, chosen in enumerate(keep):
        counted = chosen[query]
        grown = np.cumsum(growth * counted)
        if len(grown) and grown[-1] > 0:
            place = np.searchsorted(grown, np.sum(fall * counted))
            found[number] = kink[min(place, len(kink) - 1)]
    return np.clip(found, *FACTOR_RANGE)
