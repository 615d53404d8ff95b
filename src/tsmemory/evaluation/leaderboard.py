"""Tables from scores: the leaderboard, skill against the frozen backbone, calibration."""

import numpy as np
import pandas as pd

from tsmemory.evaluation.scores import MethodScores
from tsmemory.metrics import (
    diebold_mariano,
    moving_block_weights,
    n_blocks,
    per_origin,
    ratio_interval,
    skill_interval,
)
from tsmemory.series.series_set import SeriesSet

LEADERBOARD_METRICS = ("mse", "mae", "crps", "wql", "mase", "coverage_80", "crossing_rate")
SKILL_METRICS = ("mse", "mae", "crps")
REFERENCE = "frozen"


def build_leaderboard(
    scores: MethodScores, *, samples: int, level: float, rng: np.random.Generator
) -> pd.DataFrame:
    """One line for each method, horizon and metric.

    Intervals come from a moving-block bootstrap over forecast origins with blocks of at least H
    steps; they are empty where fewer than two blocks fit.

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
        weights = _weights(scores, horizon, samples, rng)
        for method, windows in scores.methods.items():
            values = windows.metrics(number)
            for metric in LEADERBOARD_METRICS:
                numerator, denominator = (part[:, number] for part in windows.parts(metric))
                _, sums = per_origin(np.stack([numerator, denominator], 1), scores.origin_time)
                low, high = ratio_interval(sums[:, 0], sums[:, 1], weights, level)
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
        weights = _weights(scores, horizon, samples, rng)
        for channel in ["all", *np.unique(names)]:
            where = np.ones(len(names)) if channel == "all" else (names == channel).astype(float)
            for metric in SKILL_METRICS:
                reference = _by_origin(scores, REFERENCE, metric, number, where)
                for method in scores.methods:
                    if method == REFERENCE:
                        continue
                    own = _by_origin(scores, method, metric, number, where)
                    skill, low, high = skill_interval(*own, *reference, weights, level)
                    line = {
                        "method": method,
                        "horizon": horizon,
                        "channel": channel,
                        "metric": metric,
                        "skill": skill,
                        "low": low,
                        "high": high,
                    }
                    if channel == "all":
                        count = _by_origin(scores, REFERENCE, "mse", number, where)[1]
                        line |= _diebold_mariano(
                            own[0], reference[0], count, horizon, scores.stride
                        )
                    lines.append(line)
    return pd.DataFrame(lines)


def build_calibration(scores: MethodScores) -> pd.DataFrame:
    """Share of targets at or below each quantile.

    Returns:
        Table ``method, level, observed``.
    """
    return pd.DataFrame(
        [
            {"method": method, "level": level, "observed": float(share)}
            for method, shares in scores.below.items()
            for level, share in zip(scores.levels, shares, strict=True)
        ]
    )


def _weights(
    scores: MethodScores, horizon: int, samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Resamples of forecast origins in blocks of at least one horizon."""
    origins = len(np.unique(scores.origin_time))
    block = -(-horizon // scores.stride)
    if n_blocks(origins, block) < 2:
        return np.zeros((0, origins))
    return moving_block_weights(origins, block, samples, rng)


def _by_origin(
    scores: MethodScores, method: str, metric: str, number: int, where: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator of a metric, summed over the windows of each origin."""
    parts = [part[:, number] * where for part in scores.methods[method].parts(metric)]
    _, sums = per_origin(np.stack(parts, axis=1), scores.origin_time)
    return sums[:, 0], sums[:, 1]


def _diebold_mariano(
    own: np.ndarray, reference: np.ndarray, count: np.ndarray, horizon: int, stride: int
) -> dict[str, float]:
    """Diebold-Mariano on the mean loss of each origin."""
    known = count > 0
    losses = [total[known] / count[known] for total in (own, reference)]
    result = diebold_mariano(losses[0], losses[1], lag=-(-horizon // stride) - 1)
    return {"dm_statistic": result.statistic, "dm_p": result.p_value}
