"""Naive point forecasts, the references that every model has to beat."""

import numpy as np

from tsmemory.series.series_set import Float


def last_value(contexts: Float, horizon: int) -> Float:
    """Repeat the last observed value.

    Args:
        contexts: Values, NaN where missing. Shape ``(B, L)``.
        horizon: H, steps to forecast.

    Returns:
        Forecasts of shape ``(B, H)``, 0 where a context holds no value.
    """
    last = np.nan_to_num(_last_observed(contexts), nan=0.0)
    return np.repeat(last[:, None], horizon, axis=1)


def seasonal_naive(contexts: Float, horizon: int, season: int) -> Float:
    """Repeat the last observed value at the same phase of the season.

    Missing steps on the left are no history: padding a context with NaN changes nothing.

    Args:
        contexts: Values, NaN where missing. Shape ``(B, L)``.
        horizon: H, steps to forecast.
        season: Season in steps.

    Returns:
        Forecasts of shape ``(B, H)``. The last observed value takes the place of phases that were
        never observed, and of every phase where the history is shorter than a season.

    Raises:
        ValueError: If ``season`` is below 1.
    """
    if season < 1:
        raise ValueError(f"a season has at least one step, got {season}")
    fallback = last_value(contexts, horizon)
    batch, length = contexts.shape
    cycles = length // season + 1
    padded = np.full((batch, cycles * season), np.nan, dtype=contexts.dtype)
    padded[:, cycles * season - length :] = contexts
    phases = padded.reshape(batch, cycles, season).transpose(0, 2, 1).reshape(-1, cycles)
    by_phase = _last_observed(phases).reshape(batch, season)
    forecast = by_phase[:, np.arange(horizon) % season]
    observed = ~np.isnan(contexts)
    history = np.where(observed.any(axis=1), length - observed.argmax(axis=1), 0)
    usable = ~np.isnan(forecast) & (history >= season)[:, None]
    return np.where(usable, forecast, fallback)


def _last_observed(values: Float) -> Float:
    """Last value of each line that is not NaN, NaN where there is none: ``(B, L)`` to ``(B,)``."""
    from_end = ~np.isnan(values[:, ::-1])
    position = values.shape[1] - 1 - from_end.argmax(axis=1)
    return np.asarray(values[np.arange(len(values)), position])
