"""Forecast errors as sums per window, from which every metric is a ratio of sums."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tsmemory.metrics.step_errors import Sums, band_index, median_index, per_step
from tsmemory.series.series_set import Float

# The one definition of every metric: (numerator, denominator), both fields of WindowScores.
METRICS: dict[str, tuple[str, str]] = {
    "mse": ("squared_error", "count"),
    "mae": ("absolute_error", "count"),
    "crps": ("pinball", "absolute_target"),
    "wql": ("raw_pinball", "raw_absolute_target"),
    "mase": ("scaled_absolute_error", "scaled_count"),
    "smape": ("symmetric_error", "count"),
    "coverage_80": ("covered", "band_count"),
    "crossing_rate": ("crossings", "comparisons"),
}


@dataclass(frozen=True)
class WindowScores:
    """Sums per window and horizon over the observed target steps (METHOD 1.8).

    A metric is one sum over windows divided by another (``METRICS``), never a mean of batch means,
    so its value does not depend on the batch size (METHOD 1.1). A window whose target does not
    reach a horizon holds 0 there in every field. All sums have shape ``(N, n_horizons)``, float64.

    Attributes:
        horizons: Horizons in steps, increasing.
        count: Observed target steps.
        squared_error: Squared error of the median, z units.
        absolute_error: Absolute error of the median, z units.
        pinball: Twice the mean over levels of the pinball loss, z units.
        absolute_target: Absolute target, z units.
        covered: Targets inside the band from level 0.1 to 0.9, both ends included.
        band_count: Steps at which that band is known: ``count``, or 0 without these levels.
        scaled_absolute_error: Absolute error of the median divided by the row's in-sample seasonal
            error, where that error is known and positive.
        scaled_count: Steps that ``scaled_absolute_error`` sums over.
        raw_pinball: ``pinball`` in raw units.
        raw_absolute_target: Absolute target in raw units.
        symmetric_error: ``200 |y - f| / (|y| + |f|)`` in raw units, 0 where both are 0; percent.
        crossings: Adjacent levels whose quantiles are in the wrong order.
        comparisons: Adjacent levels compared.
    """

    horizons: tuple[int, ...]
    count: Sums
    squared_error: Sums
    absolute_error: Sums
    pinball: Sums
    absolute_target: Sums
    covered: Sums
    band_count: Sums
    scaled_absolute_error: Sums
    scaled_count: Sums
    raw_pinball: Sums
    raw_absolute_target: Sums
    symmetric_error: Sums
    crossings: Sums
    comparisons: Sums

    def __len__(self) -> int:
        return len(self.count)

    def parts(self, metric: str) -> tuple[Sums, Sums]:
        """Return numerator and denominator of a metric, each of shape ``(N, n_horizons)``."""
        numerator, denominator = METRICS[metric]
        return getattr(self, numerator), getattr(self, denominator)

    def metrics(
        self, horizon_index: int, where: NDArray[np.bool_] | NDArray[np.int64] | None = None
    ) -> dict[str, float]:
        """Evaluate every metric of ``METRICS`` at one horizon.

        Args:
            horizon_index: Position in ``horizons``.
            where: Windows to count, as a mask of shape ``(N,)`` or as positions; all by default.

        Returns:
            Metric values by name, NaN where nothing is countable.
        """
        values = {}
        for name in METRICS:
            numerator, denominator = (part[:, horizon_index] for part in self.parts(name))
            if where is not None:
                numerator, denominator = numerator[where], denominator[where]
            total = denominator.sum()
            values[name] = float(numerator.sum() / total) if total else float("nan")
        return values


def score_windows(
    quantiles: Float,
    target: Float,
    *,
    levels: Sequence[float] | NDArray[np.floating],
    horizons: Sequence[int],
    complete: NDArray[np.bool_],
    std: NDArray[np.floating],
    mean: NDArray[np.floating],
    seasonal_error: NDArray[np.floating],
) -> WindowScores:
    """Score the forecasts of a batch of windows at every horizon in one pass.

    Args:
        quantiles: Forecast quantiles in z units. Shape ``(B, Q, H)``.
        target: Targets in z units, NaN where unknown (masked). Shape ``(B, H)``.
        levels: Quantile levels, increasing, one of them 0.5. Shape ``(Q,)``.
        horizons: Horizons in steps, increasing, none beyond ``H``.
        complete: Whether a window's target reaches a horizon; where it does not, the window
            counts for nothing there. Shape ``(B, n_horizons)``.
        std: Training standard deviation of each window's row, raw units. Shape ``(B,)``.
        mean: Training mean of each window's row, raw units. Shape ``(B,)``.
        seasonal_error: In-sample seasonal error of each window's row, raw units; NaN or 0 where
            there is none. Shape ``(B,)``.

    Returns:
        The sums of each window.

    Raises:
        ValueError: If shapes disagree, levels or horizons are not as above, or a forecast at an
            observed step is not finite.
    """
    grid = np.asarray(levels, dtype=np.float64)
    steps = tuple(int(horizon) for horizon in horizons)
    _check_grids(grid, steps)
    _check_shapes(quantiles, target, len(grid), steps, complete, std, mean, seasonal_error)
    std, mean, seasonal_error = (np.asarray(v, np.float64) for v in (std, mean, seasonal_error))
    quantiles, target = quantiles[:, :, : steps[-1]], target[:, : steps[-1]]
    sums = {
        name: np.where(complete, _sum_to(values, steps), 0.0)
        for name, values in per_step(quantiles, target, grid, std, mean)
    }
    if not np.isfinite(sums["pinball"]).all():
        bad = int((~np.isfinite(sums["pinball"])).any(axis=1).sum())
        raise ValueError(
            f"the forecasts of {bad} of {len(target)} windows are not finite at observed steps; "
            "check the model's output before scoring it"
        )
    usable = np.isfinite(seasonal_error) & (seasonal_error > 0)
    scale = np.where(usable, std / np.where(usable, seasonal_error, 1.0), 0.0)
    count = sums["count"]
    return WindowScores(
        horizons=steps,
        **sums,
        band_count=count * (band_index(grid) is not None),
        scaled_absolute_error=sums["absolute_error"] * scale[:, None],
        scaled_count=count * usable[:, None],
        raw_pinball=sums["pinball"] * std[:, None],
        comparisons=count * (len(grid) - 1),
    )


def concatenate(scores: Sequence[WindowScores]) -> WindowScores:
    """Join the scores of consecutive batches of windows.

    Raises:
        ValueError: If there is nothing to join or the horizons differ.
    """
    horizons = _shared_horizons(scores)
    return WindowScores(
        horizons=horizons,
        **{name: np.concatenate([getattr(s, name) for s in scores]) for name in _sum_names()},
    )


def mean_over(scores: Sequence[WindowScores]) -> WindowScores:
    """Average the sums of the same windows over seeds.

    Raises:
        ValueError: If there is nothing to average, or horizons or windows differ.
    """
    horizons = _shared_horizons(scores)
    if any(not np.array_equal(scores[0].count, other.count) for other in scores[1:]):
        raise ValueError("scores of different windows cannot be averaged; score the same windows")
    return WindowScores(
        horizons=horizons,
        **{name: np.mean([getattr(s, name) for s in scores], axis=0) for name in _sum_names()},
    )


def _sum_to(values: Sums, horizons: tuple[int, ...]) -> Sums:
    """Sums over the first steps up to each horizon, from ``(B, H)`` to ``(B, n_horizons)``."""
    return np.cumsum(values, axis=1)[:, np.array(horizons) - 1]


def _check_grids(levels: Sums, horizons: tuple[int, ...]) -> None:
    """Refuse level grids and horizons that are empty, out of range or out of order."""
    if levels.ndim != 1 or not len(levels) or np.any(np.diff(levels) <= 0):
        raise ValueError(f"quantile levels must increase, got {levels.tolist()}")
    if levels[0] <= 0 or levels[-1] >= 1:
        raise ValueError(f"quantile levels must lie between 0 and 1, got {levels.tolist()}")
    median_index(levels)
    if not horizons or horizons[0] < 1 or np.any(np.diff(horizons) <= 0):
        raise ValueError(f"horizons must be positive and increase, got {list(horizons)}")


def _check_shapes(
    quantiles: Float,
    target: Float,
    n_levels: int,
    horizons: tuple[int, ...],
    complete: NDArray[np.bool_],
    *per_window: NDArray[np.floating],
) -> None:
    """Refuse arrays that do not describe the same windows, levels and steps."""
    windows, length = target.shape
    if quantiles.shape != (windows, n_levels, length):
        raise ValueError(
            f"quantiles have shape {quantiles.shape}, expected {(windows, n_levels, length)} from "
            "the target and the levels"
        )
    if horizons[-1] > length:
        raise ValueError(f"horizon {horizons[-1]} reaches beyond the {length} forecast steps")
    if complete.shape != (windows, len(horizons)):
        raise ValueError(
            f"complete has shape {complete.shape}, expected {(windows, len(horizons))}"
        )
    if any(values.shape != (windows,) for values in per_window):
        raise ValueError(f"std, mean and seasonal_error need one value for each of {windows}")


def _shared_horizons(scores: Sequence[WindowScores]) -> tuple[int, ...]:
    """The horizons that all scores share."""
    if not scores:
        raise ValueError("no scores to combine")
    found = {score.horizons for score in scores}
    if len(found) > 1:
        raise ValueError(f"scores of different horizons cannot be combined: {sorted(found)}")
    return scores[0].horizons


def _sum_names() -> list[str]:
    """Names of the fields that hold sums."""
    return [field.name for field in fields(WindowScores) if field.name != "horizons"]
