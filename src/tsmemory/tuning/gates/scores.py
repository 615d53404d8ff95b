"""Scores of a setting on blocks of validation, origin by origin, so that settings can be paired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.objective import pinball
from tsmemory.metrics import per_origin
from tsmemory.series.series_set import Int

Metric = Literal["crps", "mse", "mae"]
Sums = NDArray[np.float64]


def metric_sums(
    target: torch.Tensor,
    quantiles: torch.Tensor,
    *,
    metric: Metric,
    levels: Sequence[float],
    horizons: Sequence[int],
    complete: NDArray[np.bool_],
) -> Sums:
    """Numerator and denominator of a metric, for each window and horizon (METHOD 1.8).

    Args:
        target: In z units, NaN where unknown. Shape ``(B, H)``.
        quantiles: Shape ``(B, Q, H)``.
        metric: Which one: ``crps``, or ``mse`` or ``mae`` of the median.
        levels: Quantile levels.
        horizons: Horizons in steps, increasing.
        complete: Whether a window's target reaches a horizon; elsewhere it counts for nothing.
            Shape ``(B, n_horizons)``.

    Returns:
        Shape ``(B, n_horizons, 2)``.
    """
    known = ~torch.isnan(target)
    if metric == "crps":
        above = 2 * pinball(target, quantiles, torch.tensor(levels))
        below = torch.nan_to_num(target).abs()
    else:
        error = torch.nan_to_num(target - quantiles[:, list(levels).index(0.5)])
        above = error.square() if metric == "mse" else error.abs()
        below = known.to(target.dtype)
    ends = torch.tensor(horizons) - 1
    sums = torch.stack([part.double().cumsum(1)[:, ends] for part in (above, below)], dim=2)
    return np.where(complete[:, :, None], sums.numpy(), 0.0)


@dataclass(frozen=True)
class BlockScores:
    """A metric on blocks of validation, each forecast by a fusion that was chosen on others.

    Attributes:
        origin_time: The T origins in time order. Shape ``(T,)``.
        block: Block of each origin. Shape ``(T,)``.
        sums: Numerator and denominator. Shape ``(T, n_horizons, 2)``.
        notes: What else is known of the setting, for people.
    """

    origin_time: Int
    block: Int
    sums: Sums
    notes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def collect(cls, sums: Sums, origin_time: Int, block: Int) -> "BlockScores":
        """Add up windows that share an origin.

        Args:
            sums: Shape ``(N, n_horizons, 2)``.
            origin_time: Origin of each window. Shape ``(N,)``.
            block: Block of each window, one for each origin. Shape ``(N,)``.
        """
        times, totals = per_origin(sums, origin_time)
        of_origin = dict(zip(origin_time.tolist(), block.tolist(), strict=True))
        number = np.array([of_origin[time] for time in times.tolist()], dtype=np.int64)
        return cls(np.asarray(times, dtype=np.int64), number, totals)

    @property
    def value(self) -> float:
        """The metric in the mean over the horizons that any window reaches."""
        return mean_metric(self.sums)

    def by_block(self) -> list[float]:
        """The metric on each block."""
        return [mean_metric(self.sums[self.block == number]) for number in np.unique(self.block)]

    def per_origin(self) -> Sums:
        """Terms of which :attr:`value` is the mean, one for each origin. Shape ``(T,)``."""
        below = self.sums[:, :, 1].sum(axis=0)
        reached = below > 0
        terms = self.sums[:, reached, 0] / below[reached]
        return np.asarray(terms.mean(axis=1) * len(self.sums))

    def noted(self, **notes: Any) -> "BlockScores":
        """The same with notes."""
        return replace(self, notes={**self.notes, **notes})


def mean_metric(sums: Sums) -> float:
    """A metric from sums over origins, in the mean over horizons; NaN where nothing is known.

    Args:
        sums: Shape ``(T, n_horizons, 2)``.
    """
    above, below = np.moveaxis(sums.sum(axis=0), -1, 0)
    reached = below > 0
    return float((above[reached] / below[reached]).mean()) if reached.any() else float("nan")
