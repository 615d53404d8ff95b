"""Errors, quantile scores, intervals and naive forecasts."""

from tsmemory.metrics.bootstrap import (
    MIN_BLOCKS,
    block_length,
    moving_block_weights,
    n_blocks,
    one_sided_improvement,
    per_origin,
    ratio_interval,
    skill_interval,
    typical_step,
)
from tsmemory.metrics.diebold_mariano import DieboldMarianoResult, diebold_mariano
from tsmemory.metrics.errors import METRICS, WindowScores, concatenate, mean_over, score_windows
from tsmemory.metrics.naive import last_value, seasonal_naive
from tsmemory.metrics.seasonality import season_length, seasonal_error

__all__ = [
    "METRICS",
    "MIN_BLOCKS",
    "DieboldMarianoResult",
    "WindowScores",
    "block_length",
    "concatenate",
    "diebold_mariano",
    "last_value",
    "mean_over",
    "moving_block_weights",
    "n_blocks",
    "one_sided_improvement",
    "per_origin",
    "ratio_interval",
    "score_windows",
    "season_length",
    "seasonal_error",
    "seasonal_naive",
    "skill_interval",
    "typical_step",
]
