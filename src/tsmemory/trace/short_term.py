"""Short-term forecasting of many series, judged as in the M4 competition (METHOD 2.4).

Each series is forecast once, from its end: sMAPE and MASE are means over series, and OWA compares
both with Naive2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.backbones.protocol import Backbone
from tsmemory.metrics import last_value, season_length, seasonal_naive
from tsmemory.metrics.m4 import (
    in_sample_scale,
    naive2,
    scaled_errors,
    symmetric_errors,
)
from tsmemory.series.series_set import Float
from tsmemory.trace.errors import TraceError

REFERENCE = "naive2"


@dataclass(frozen=True)
class ShortTermTask:
    """The ends of many series, to be forecast.

    Attributes:
        names: What the series are called. Shape ``(B,)``.
        histories: What is known of each, raw units, NaN where missing. Shapes ``(T_i,)``.
        targets: What follows, NaN where missing. Shape ``(B, H)``.
        season: Steps in a season.
    """

    names: tuple[str, ...]
    histories: tuple[Float, ...]
    targets: Float
    season: int

    @property
    def horizon(self) -> int:
        """H, steps to forecast."""
        return int(self.targets.shape[1])

    def contexts(self, length: int) -> Float:
        """The last steps of each history, NaN before its start. Shape ``(B, length)``."""
        found = np.full((len(self.histories), length), np.nan, dtype=np.float32)
        for row, history in zip(found, self.histories, strict=True):
            recent = history[-length:]
            row[length - len(recent) :] = recent
        return found


def short_term_task(
    panel: pd.DataFrame, freq: str, *, horizon: int, held_back: int = 0
) -> ShortTermTask:
    """Cut the end off every channel of every series of a panel.

    Args:
        panel: Regular long table ``item_id, timestamp, <channels>``, NaN where missing.
        freq: Its step.
        horizon: H, steps at the end of each series that are to be forecast.
        held_back: Steps behind them that are not read: of H, what is scored is the stretch on which
            settings may be chosen.

    Returns:
        The task. Series without a value before or in the stretch are left out.

    Raises:
        TraceError: A horizon below 1, or no series reaches back far enough.
    """
    if horizon < 1 or held_back < 0:
        raise TraceError(f"a horizon starts at 1 and held_back at 0, got {horizon}, {held_back}")
    channels = list(panel.columns[2:])
    names, histories, targets = [], [], []
    for item, group in panel.groupby("item_id", sort=False):
        for channel in channels:
            values = group[channel].to_numpy(dtype=np.float32)
            values = values[: len(values) - held_back]
            history, target = values[:-horizon], values[-horizon:]
            if np.isnan(history).all() or np.isnan(target).all():
                continue
            names.append(str(item) if len(channels) == 1 else f"{item}/{channel}")
            histories.append(history)
            targets.append(target)
    if not names:
        raise TraceError(
            f"no series has values before and in its last {horizon} steps (held back: {held_back});"
            " shorten the horizon or give longer series"
        )
    return ShortTermTask(tuple(names), tuple(histories), np.stack(targets), season_length(freq))


def median_forecasts(task: ShortTermTask, backbone: Backbone, *, context_length: int) -> Float:
    """A backbone's medians for every series of a task.

    Args:
        task: What is to be forecast.
        backbone: Any backbone that reads contexts.
        context_length: The most steps of context; no more than the backbone reads are used.

    Returns:
        Shape ``(B, H)``.

    Raises:
        TraceError: A backbone whose forecasts are looked up.
    """
    if backbone.needs_origins:
        raise TraceError(
            f"{backbone.name} only has the forecasts of its table; choose another backbone.name"
        )
    contexts = task.contexts(min(context_length, backbone.context_length))
    quantiles = backbone.predict_quantiles(contexts, task.horizon)
    return quantiles[:, backbone.quantile_levels.index(0.5)]


def naive_forecasts(task: ShortTermTask) -> dict[str, Float]:
    """The references: Naive2, the seasonal naive and the last value, each ``(B, H)``."""
    contexts = task.contexts(max(len(history) for history in task.histories))
    return {
        REFERENCE: np.stack([naive2(h, task.horizon, task.season) for h in task.histories]),
        "seasonal_naive": seasonal_naive(contexts, task.horizon, task.season),
        "last_value": last_value(contexts, task.horizon),
    }


def short_term_errors(task: ShortTermTask, forecasts: Mapping[str, Float]) -> pd.DataFrame:
    """SMAPE and MASE of every row on every series, from which tables and intervals are made.

    Args:
        task: What was to be forecast.
        forecasts: Point forecasts of each row, raw units. Shape ``(B, H)``.

    Returns:
        Table ``row, series, smape, mase``, the references among the rows. MASE is NaN for a series
        whose history never changes from season to season.

    Raises:
        TraceError: Forecasts of another shape, or that are not finite.
    """
    rows = {**forecasts, **naive_forecasts(task)}
    scale = np.array([in_sample_scale(history, task.season) for history in task.histories])
    return pd.concat(
        [_errors_of(row, each, task, scale) for row, each in rows.items()], ignore_index=True
    )


def short_term_table(errors: pd.DataFrame) -> pd.DataFrame:
    """Mean errors of every row over the series, the best first.

    Args:
        errors: What :func:`short_term_errors` gave.

    Returns:
        Table ``row, series, smape, mase, owa``: number of series, sMAPE in percent, MASE, and OWA:
        the mean of both relative to Naive2's.
    """
    means = errors.groupby("row", sort=False)[["smape", "mase"]].mean()
    owa = (means / means.loc[REFERENCE]).mean(axis=1)
    count = errors.groupby("row", sort=False)["series"].nunique()
    table = means.assign(owa=owa, series=count).sort_values("owa", kind="stable").reset_index()
    return table[["row", "series", "smape", "mase", "owa"]]


def _errors_of(
    row: str, forecast: Float, task: ShortTermTask, scale: NDArray[np.float64]
) -> pd.DataFrame:
    if forecast.shape != task.targets.shape:
        raise TraceError(
            f"row {row!r} has forecasts of shape {forecast.shape}, the task of {task.targets.shape}"
        )
    if not np.isfinite(forecast).all():
        raise TraceError(f"row {row!r} has forecasts that are not finite; check the model's output")
    return pd.DataFrame(
        {
            "row": row,
            "series": list(task.names),
            "smape": symmetric_errors(task.targets, forecast),
            "mase": scaled_errors(task.targets, forecast, scale),
        }
    )
