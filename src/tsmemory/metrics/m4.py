"""Errors and reference of the M4 competition (Makridakis et al., 2020).

All work on one value for each series and step, in raw units; NaN targets count for nothing.
"""

import numpy as np
from numpy.typing import NDArray

from tsmemory.metrics.seasonality import seasonal_error
from tsmemory.series.series_set import Float

Array = NDArray[np.float64]
_CRITICAL = 1.645  # of the normal distribution, 90 % on both sides


def naive2(history: Float, horizon: int, season: int) -> Float:
    """Naive2: the last value, seasonally adjusted where the history is seasonal.

    Adjustment is by classical multiplicative decomposition, or additive where a value is not
    positive, since M4's series are all positive and have no answer to that. Gaps are bridged
    linearly.

    Args:
        history: Values of one series, NaN where missing. Shape ``(T,)``.
        horizon: H, steps to forecast.
        season: Season in steps.

    Returns:
        Shape ``(H,)``.

    Raises:
        ValueError: The history holds no value, or the season has no step.
    """
    if season < 1:
        raise ValueError(f"a season has at least one step, got {season}")
    values = _bridged(history)
    if not is_seasonal(values, season):
        return np.full(horizon, values[-1], dtype=np.float32)
    multiplicative = bool((values > 0).all())
    ahead = (len(values) + np.arange(horizon)) % season
    last = (len(values) - 1) % season
    index = _seasonal_index(values, season, multiplicative=multiplicative)
    forecast = values[-1] / index[last] * index[ahead]
    if not multiplicative:
        forecast = values[-1] - index[last] + index[ahead]
    return np.asarray(forecast, dtype=np.float32)


def is_seasonal(values: NDArray[np.floating], season: int) -> bool:
    """M4's test: whether the autocorrelation at the season exceeds its 90 % limit.

    Args:
        values: Without NaN. Shape ``(T,)``.
        season: Season in steps.

    Returns:
        ``False`` for histories shorter than three seasons, and without a season (1).
    """
    if season == 1 or len(values) < 3 * season:
        return False
    centred = values - np.mean(values, dtype=np.float64)
    power = float(centred @ centred)
    if power <= 1e-12 * len(values) * max(float(np.abs(values).max()) ** 2, 1e-30):
        return False
    lags = [float(centred[lag:] @ centred[:-lag]) / power for lag in range(1, season + 1)]
    limit = _CRITICAL * np.sqrt((1 + 2 * np.square(lags[:-1]).sum()) / len(values))
    return bool(abs(lags[-1]) > limit)


def symmetric_errors(target: Float, forecast: Float) -> Array:
    """SMAPE of each series in percent: the mean of ``200 |y - f| / (|y| + |f|)``.

    Args:
        target: NaN where unknown. Shape ``(B, H)``.
        forecast: Shape ``(B, H)``.

    Returns:
        NaN for a series without a known step. A step at which both are 0 has no error. ``(B,)``.
    """
    error = np.abs(target.astype(np.float64) - forecast)
    size = np.abs(target).astype(np.float64) + np.abs(forecast)
    share = np.where(size == 0, 0.0, 200 * error / np.where(size == 0, 1.0, size))
    return _mean_known(share)


def scaled_errors(target: Float, forecast: Float, scale: NDArray[np.floating]) -> Array:
    """MASE of each series.

    Args:
        target: NaN where unknown. Shape ``(B, H)``.
        forecast: Shape ``(B, H)``.
        scale: In-sample error of the seasonal naive forecast of each series. Shape ``(B,)``.

    Returns:
        NaN for a series without a known step, or whose scale is 0 or unknown. Shape ``(B,)``.
    """
    error = _mean_known(np.abs(target.astype(np.float64) - forecast))
    usable = np.nan_to_num(scale) > 0
    return np.asarray(np.where(usable, error / np.where(usable, scale, 1.0), np.nan))


def in_sample_scale(history: Float, season: int) -> float:
    """Scale of MASE: mean absolute seasonal difference, of lag 1 where a season is not there."""
    error = seasonal_error(history, season)
    return seasonal_error(history, 1) if np.isnan(error) else error


def _bridged(history: Float) -> Array:
    """The history without gaps, from its first value on, float64."""
    known = np.flatnonzero(~np.isnan(history))
    if not len(known):
        raise ValueError("the history holds no value")
    steps = np.arange(known[0], len(history))
    return np.asarray(np.interp(steps, known, history[known].astype(np.float64)))


def _seasonal_index(values: Array, season: int, *, multiplicative: bool) -> Array:
    """Index of each phase by classical decomposition, as R's ``decompose``. Shape ``(season,)``."""
    weights = np.full(season, 1.0)
    if season % 2 == 0:
        weights = np.concatenate([[0.5], np.ones(season - 1), [0.5]])
    trend = np.convolve(values, weights / season, mode="valid")
    first = len(weights) // 2
    inner = values[first : first + len(trend)]
    detrended = inner / trend if multiplicative else inner - trend
    phase = (first + np.arange(len(trend))) % season
    index = np.bincount(phase, detrended, minlength=season) / np.bincount(phase, minlength=season)
    return np.asarray(index / index.mean() if multiplicative else index - index.mean())


def _mean_known(values: Array) -> Array:
    """Mean over the known steps of each line, NaN where there is none. Shape ``(B,)``."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=1)
    return np.asarray(np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan))
