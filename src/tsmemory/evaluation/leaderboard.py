"""Tables from scores: the leaderboard, skill against the frozen backbone, calibration."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.evaluation.scores import MethodScores
from tsmemory.metrics import (
    block_length,
    diebold_mariano,
    moving_block_weights,
    per_origin,
    ratio_interval,
    skill_interval,
    typical_step,
)
from tsmemory.series.series_set import SeriesSet

LEADERBOARD_METRICS = ("mse", "mae", "crps", "wql", "mase", "coverage_80", "crossing_rate")
SKILL_METRICS = ("mse", "mae", "crps")
REFERENCE = "frozen"
ALL_CHANNELS = "all"


@dataclass(frozen=True)
class Origins:
    """The forecast origins of one horizon, and their resamples.

    Attributes:
        number: Position of the horizon.
        counted: Windows whose target reaches the horizon. Shape ``(N,)``.
        time: Origin of each counted window. Shape ``(n,)``.
        ahead: Origins that one forecast spans.
        weights: Resamples of origins; none where too few blocks fit. Shape ``(samples, T)``.
        blocks: How many blocks a resample joins; ``None`` without resamples.
    """

    number: int
    counted: NDArray[np.bool_]
    time: NDArray[np.int64]
    ahead: int
    weights: NDArray[np.float64]
    blocks: float | None

    @classmethod
    def draw(
        cls, scores: MethodScores, number: int, samples: int, rng: np.random.Generator
    ) -> "Origins":
        """Resample the origins whose windows reach a horizon.

        Args:
            scores: The scores, the frozen backbone's among them.
            number: Position of the horizon.
            samples: Bootstrap samples.
            rng: Draws the bootstrap.
        """
        counted = scores.methods[REFERENCE].count[:, number] > 0
        time = scores.origin_time[counted]
        ahead = math.ceil(scores.horizons[number] / typical_step(time, scores.stride))
        count = len(np.unique(time))
        block = block_length(count, ahead)
        if block is None:
            return cls(number, counted, time, ahead, np.zeros((0, count)), None)
        weights = moving_block_weights(count, block, samples, rng)
        return cls(number, counted, time, ahead, weights, count / block)

    def sums(
        self,
        scores: MethodScores,
        method: str,
        metric: str,
        where: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Numerator and denominator of a metric by origin, over the windows of ``where``."""
        kept = 1.0 if where is None else where[self.counted].astype(float)
        parts = [
            part[self.counted, self.number] * kept for part in scores.methods[method].parts(metric)
        ]
        _, sums = per_origin(np.stack(parts, axis=1), self.time)
        return sums[:, 0], sums[:, 1]

    def skill(
        self,
        scores: MethodScores,
        method: str,
        reference: str,
        metric: str,
        level: float,
        where: NDArray[np.bool_] | None = None,
    ) -> tuple[float, float, float]:
        """Skill of a method against another, with the ends of its interval."""
        own = self.sums(scores, method, metric, where)
        other = self.sums(scores, reference, metric, where)
        return skill_interval(*own, *other, self.weights, level, blocks=self.blocks)


def build_leaderboard(
    scores: MethodScores, *, samples: int, level: float, rng: np.random.Generator
) -> pd.DataFrame:
    """One line for each method, horizon and metric.

    Intervals come from a moving-block bootstrap over forecast origins, with blocks of two horizons,
    or one where the test split is short; they are empty where not even five such blocks fit.

    Args:
        scores: The scores.
        samples: Bootstrap samples.
        level: Probability of the intervals.
        rng: Draws the bootstrap.

    Returns:
        Table ``method, horizon, metric, value, low, high, seeds``.
    """
    lines = []
    for number, horizon in enumerate(scores.horizons):
        origins = Origins.draw(scores, number, samples, rng)
        for method, windows in scores.methods.items():
            values = windows.metrics(number)
            for metric in LEADERBOARD_METRICS:
                low, high = ratio_interval(
                    *origins.sums(scores, method, metric),
                    origins.weights,
                    level,
                    blocks=origins.blocks,
                )
                lines.append(
                    {
                        "method": method,
                        "horizon": horizon,
                        "metric": metric,
                        "value": values[metric],
                        "low": low,
                        "high": high,
                        "seeds": scores.seeds[method],
                    }
                )
    return pd.DataFrame(lines)


def build_skill(
    scores: MethodScores,
    series: SeriesSet,
    *,
    samples: int,
    level: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Skill of every method against the frozen backbone, over all channels and for each.

    Args:
        scores: The scores.
        series: Names the channels.
        samples: Bootstrap samples.
        level: Probability of the intervals.
        rng: Draws the bootstrap.

    Returns:
        Table ``method, horizon, channel, metric, skill, low, high, dm_statistic, dm_p``; the
        Diebold-Mariano columns are filled for channel ``all``.
    """
    names = series.channel.astype(str)[scores.row]
    lines = []
    for number, horizon in enumerate(scores.horizons):
        origins = Origins.draw(scores, number, samples, rng)
        for channel in [ALL_CHANNELS, *np.unique(names)]:
            where = None if channel == ALL_CHANNELS else names == channel
            for metric in SKILL_METRICS:
                reference = origins.sums(scores, REFERENCE, metric, where)
                for method in scores.methods:
                    if method == REFERENCE:
                        continue
                    own = origins.sums(scores, method, metric, where)
                    skill, low, high = skill_interval(
                        *own, *reference, origins.weights, level, blocks=origins.blocks
                    )
                    line = {
                        "method": method,
                        "horizon": horizon,
                        "channel": channel,
                        "metric": metric,
                        "skill": skill,
                        "low": low,
                        "high": high,
                    }
                    if where is None:
                        count = origins.sums(scores, REFERENCE, "mse")[1]
                        line |= _diebold_mariano(own[0] / count, reference[0] / count, origins)
                    lines.append(line)
    return pd.DataFrame(lines)


def build_calibration(scores: MethodScores) -> pd.DataFrame:
    """Share of targets at or below each quantile, up to each horizon.

    Returns:
        Table ``method, horizon, level, observed``; calibrated quantiles have ``observed`` near
        ``level``. NaN where no window reaches the horizon.
    """
    return pd.DataFrame(
        [
            {"method": method, "horizon": horizon, "level": level, "observed": float(share)}
            for method, by_horizon in scores.below.items()
            for horizon, shares in zip(scores.horizons, by_horizon, strict=True)
            for level, share in zip(scores.levels, shares, strict=True)
        ]
    )


def _diebold_mariano(
    loss: NDArray[np.float64], reference: NDArray[np.float64], origins: Origins
) -> dict[str, float]:
    """Diebold-Mariano on the mean loss of each origin, NaN where no window reaches the horizon."""
    if not len(loss):
        return {"dm_statistic": math.nan, "dm_p": math.nan}
    result = diebold_mariano(loss, reference, lag=origins.ahead - 1)
    return {"dm_statistic": result.statistic, "dm_p": result.p_value}
