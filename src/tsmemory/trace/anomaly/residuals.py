"""Scores from forecast residuals: how far what came lies from what was forecast.

A score is known at an observed step that some forecast covers, and NaN elsewhere. It depends on the
values up to its step alone: what comes later changes nothing.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tsmemory.backbones.protocol import Backbone
from tsmemory.series.series_set import Float, Int
from tsmemory.trace.errors import TraceError

_BATCH = 512
_BAND = (0.1, 0.5, 0.9)

ForecastError = Literal["quantile_loss", "absolute", "band"]


@dataclass(frozen=True)
class RollingForecasts:
    """When forecasts are made, and what counts as their error.

    The defaults won on made-up anomalies in series of other data sets (see
    :mod:`tsmemory.trace.anomaly.injection`), not on labels.

    Attributes:
        context_length: Steps of context; no more than the backbone reads are used.
        horizon_in_seasons: H, steps of each forecast, as a share of a season.
        overlap: Forecasts that cover a step, each from another origin: what a step scores then
            hardly depends on where origins happen to lie.
        error: ``quantile_loss``: mean pinball loss over the levels, half the CRPS of what came, in
            standard deviations of all values before the origin. ``absolute``: distance from the
            median, in the same unit. ``band``: that distance in half-widths of the forecast's own
            10-90 % band, of the half on its side. A band widens once the anomaly has entered the
            context, so that long anomalies fade in this unit.
        narrowest: The least half-width of a band, as a share of that standard deviation: on a flat
            stretch every ripple would otherwise be an event.
    """

    context_length: int = 2048
    horizon_in_seasons: float = 0.25
    overlap: int = 4
    error: ForecastError = "quantile_loss"
    narrowest: float = 0.1

    def __post_init__(self) -> None:
        if min(self.context_length, self.overlap) < 1:
            raise TraceError("context_length and overlap of anomaly scores start at 1")
        if min(self.horizon_in_seasons, self.narrowest) <= 0:
            raise TraceError("horizon_in_seasons and narrowest of anomaly scores are above 0")
        if self.error not in get_args(ForecastError):
            raise TraceError(f"error {self.error!r} is not one of {get_args(ForecastError)}")

    def horizon(self, season: int) -> int:
        """H, steps of each forecast."""
        return max(1, round(self.horizon_in_seasons * season))


def forecast_score(
    values: Float, backbone: Backbone, *, season: int, first: int, rolling: RollingForecasts
) -> Float:
    """Score steps by the error of the forecasts that cover them.

    Forecasts are made every ``H / overlap`` steps, and a step scores the mean over those that cover
    it.

    Args:
        values: NaN where missing. Shape ``(T,)``.
        backbone: Any backbone that reads contexts.
        season: Steps in a season.
        first: The first step to score.
        rolling: When forecasts are made.

    Returns:
        At least 0, NaN where unknown. Shape ``(T,)``.

    Raises:
        TraceError: A backbone whose forecasts are looked up, or that lacks the levels of a band.
    """
    if backbone.needs_origins:
        raise TraceError(
            f"anomaly scores need forecasts at origins of their own, and {backbone.name} only has "
            "those of its table; choose another backbone.name"
        )
    levels = np.asarray(backbone.quantile_levels)
    band = _band(levels) if rolling.error == "band" else None
    horizon, length = rolling.horizon(season), min(rolling.context_length, backbone.context_length)
    origins = np.arange(max(first, 1), len(values), max(1, horizon // rolling.overlap))
    spread = spread_so_far(values)
    padded = np.concatenate([np.full(length, np.nan, np.float32), values])
    contexts = np.lib.stride_tricks.sliding_window_view(padded, length)
    total, count = np.zeros(len(values)), np.zeros(len(values))
    for start in range(0, len(origins), _BATCH):
        batch = origins[start : start + _BATCH]
        quantiles = backbone.predict_quantiles(np.ascontiguousarray(contexts[batch]), horizon)
        error = _targets(values, batch, horizon)[:, None] - quantiles  # (B, Q, H)
        unit = spread[batch, None]
        if band is not None:
            scored = _in_half_widths(error, band, rolling.narrowest * unit)
        elif rolling.error == "absolute":
            scored = np.abs(error[:, list(levels).index(0.5)]) / unit
        else:
            scored = np.maximum(levels[:, None] * error, (levels[:, None] - 1) * error).mean(axis=1)
            scored = scored / unit
        _add(total, count, batch, scored)
    score = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return np.asarray(np.where(np.isnan(values), np.nan, score), dtype=np.float32)


def seasonal_naive_score(values: Float, *, season: int, first: int) -> Float:
    """Score steps by their distance from the last value at the same phase of the season.

    The plain reference: nothing is scaled, smoothed or learned. Where the phase was never observed,
    the last value observed at all stands in.

    Args:
        values: NaN where missing. Shape ``(T,)``.
        season: Steps in a season.
        first: The first step to score.

    Returns:
        At least 0, NaN where unknown. Shape ``(T,)``.
    """
    phases = np.pad(values, (0, -len(values) % season), constant_values=np.nan)
    by_phase = _last_before(phases.reshape(-1, season)).reshape(-1)[: len(values)]
    expected = np.where(np.isnan(by_phase), _last_before(values[:, None])[:, 0], by_phase)
    score = np.abs(values - expected)
    score[:first] = np.nan
    return np.asarray(score, dtype=np.float32)


def trailing_mean(scores: Float, steps: int) -> Float:
    """Mean of the scores known among the last steps, up to each one: an episode, not a point.

    Args:
        scores: NaN where unknown. Shape ``(T,)``.
        steps: How many steps, its own included.

    Returns:
        NaN where the step's own score is unknown. Shape ``(T,)``.
    """
    known = ~np.isnan(scores)
    total = np.cumsum(np.where(known, scores, 0), dtype=np.float64)
    count = np.cumsum(known)
    total[steps:] -= total[:-steps].copy()
    count[steps:] -= count[:-steps].copy()
    return np.asarray(np.where(known, total / np.maximum(count, 1), np.nan), dtype=np.float32)


def spread_so_far(values: Float) -> NDArray[np.float64]:
    """Standard deviation of the values before each step, 1 where they are constant. ``(T,)``."""
    seen = ~np.isnan(values)
    level = float(values[seen.argmax()]) if seen.any() else 0.0  # spares digits of the squares
    known = np.where(seen, values.astype(np.float64) - level, 0)
    count = np.maximum(_before(seen), 1)
    square = _before(known**2) / count
    variance = square - (_before(known) / count) ** 2
    alive = variance > 1e-9 * square  # below it is rounding
    return np.sqrt(np.where(alive, variance, 1.0))


def _band(levels: NDArray[np.float64]) -> tuple[int, int, int]:
    """Positions of the levels 0.1, 0.5 and 0.9."""
    found = [int(np.argmin(np.abs(levels - level))) for level in _BAND]
    if not np.allclose(levels[found], _BAND):
        raise TraceError(
            f"errors in half-widths of a band need the quantile levels {list(_BAND)}; the backbone "
            f"answers at {levels.tolist()}: change backbone.quantile_levels, or the error"
        )
    return found[0], found[1], found[2]


def _in_half_widths(
    error: Float, band: tuple[int, int, int], narrowest: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance from the median over the half-width of the band on its side. Shape ``(B, H)``.

    Args:
        error: What came less each quantile. Shape ``(B, Q, H)``.
        band: Positions of lower level, median and upper level.
        narrowest: The least half-width. Shape ``(B, 1)``.
    """
    low, middle, high = (error[:, level] for level in band)
    half = np.where(middle > 0, middle - high, low - middle)
    return np.asarray(np.abs(middle) / np.maximum(half, narrowest))


def _targets(values: Float, origins: Int, horizon: int) -> Float:
    """What came after each origin, NaN beyond the end. Shape ``(B, H)``."""
    padded = np.concatenate([values, np.full(horizon, np.nan, np.float32)])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, horizon)[origins])


def _add(
    total: NDArray[np.float64],
    count: NDArray[np.float64],
    origins: Int,
    scores: NDArray[np.float64],
) -> None:
    """Add the scores ``(B, H)`` after each origin, where known, to their steps."""
    steps = origins[:, None] + np.arange(scores.shape[1])
    known = ~np.isnan(scores)
    np.add.at(total, steps[known], scores[known])
    np.add.at(count, steps[known], 1)


def _last_before(values: Float) -> Float:
    """The last value observed above each one in its column, NaN if none. Shape as given."""
    row = np.arange(len(values))[:, None]
    latest = np.maximum.accumulate(np.where(np.isnan(values), -1, row), axis=0)
    latest = np.concatenate([np.full((1, values.shape[1]), -1), latest[:-1]])
    found = np.take_along_axis(values, np.maximum(latest, 0), axis=0)
    return np.asarray(np.where(latest >= 0, found, np.float32(np.nan)))


def _before(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Sum over the steps before each one. Shape ``(T,)``."""
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)[:-1]])
