"""Forecasting tasks of fev: a memory is made for each task and judged beside the frozen backbone.

Example:
    >>> tasks = [fev.Task("m4_hourly.parquet", horizon=24, quantile_levels=[0.1, 0.5, 0.9])]
    >>> run_tasks(tasks, backbone="amazon/chronos-bolt-small")[["model_name", "test_error"]]
"""

import time
from collections.abc import Iterable
from typing import Any

import pandas as pd

from tsmemory.integrations.extras import require
from tsmemory.memory.forecaster import MemoryForecaster
from tsmemory.memory.reference import without_memory

METHOD, REFERENCE = "tsmemory", "frozen"


def run_tasks(
    tasks: Iterable[Any],
    forecaster: MemoryForecaster | None = None,
    *,
    batch_size: int = 256,
    **options: Any,
) -> pd.DataFrame:
    """Run tasks with the memory and without it.

    Args:
        tasks: ``fev.Task`` each.
        forecaster: Used for every task. If not given, each task gets a memory of its own, made
            from what lies before the task's first cutoff; see :func:`fit_task`.
        batch_size: Series in one pass; the answer does not depend on it.
        **options: Passed to :meth:`MemoryForecaster.fit` where no forecaster is given.

    Returns:
        Two rows for each task, ``tsmemory`` and ``frozen``: fev's evaluation summaries, with the
        ``backbone`` and what the ``guard`` decided. ``fev.leaderboard`` and ``fev.pivot_table``
        take the table.

    Raises:
        MissingExtraError: fev is not installed.
        ForecasterError: A task whose series cannot be forecast or are too short to learn from.
    """
    require("fev", extra="fev")
    rows = []
    for task in tasks:
        begin = time.monotonic()
        used = fit_task(task, **options) if forecaster is None else forecaster
        training = 0.0 if forecaster is not None else time.monotonic() - begin
        for name, model, seconds in (
            (METHOD, used, training),
            (REFERENCE, without_memory(used), 0.0),
        ):
            predictions, inference = predict_task(task, model, batch_size=batch_size)
            rows.append(
                task.evaluation_summary(
                    predictions,
                    model_name=name,
                    training_time_s=seconds,
                    inference_time_s=inference,
                    extra_info={
                        "backbone": model.backbone.name,
                        "guard": model.fusion.describe(),
                    },
                )
            )
    return pd.DataFrame(rows)


def fit_task(task: Any, **options: Any) -> MemoryForecaster:
    """Make a memory from what a task shows before its first cutoff, and nothing later.

    Args:
        task: A ``fev.Task``.
        **options: Passed to :meth:`MemoryForecaster.fit`.

    Returns:
        The forecaster.
    """
    window = task.get_window(0)
    return MemoryForecaster.fit(
        _past(window),
        id_column=window.id_column,
        timestamp_column=window.timestamp_column,
        target=window.target_columns,
        freq=task.freq,
        **{"prediction_length": task.horizon, **options},
    )


def predict_task(
    task: Any, forecaster: MemoryForecaster, *, batch_size: int = 256
) -> tuple[list[Any], float]:
    """Forecast all windows of a task, as ``predict_fev`` of chronos-forecasting does.

    Every target is forecast on its own and covariates are not read. The point forecast is the
    median, also where the task is judged by squared errors.

    Args:
        task: A ``fev.Task``.
        forecaster: The forecaster.
        batch_size: Series in one pass.

    Returns:
        A ``datasets.DatasetDict`` of predictions for each window, and the seconds it took.
    """
    utils = require("fev.utils", extra="fev")
    predictions, seconds = [], 0.0
    for window in task.iter_windows():
        past = _past(window)
        begin = time.monotonic()
        table = forecaster.predict_df(
            past,
            id_column=window.id_column,
            timestamp_column=window.timestamp_column,
            target=window.target_columns,
            prediction_length=task.horizon,
            quantile_levels=task.quantile_levels or [0.5],
            batch_size=batch_size,
            freq=task.freq,
        )
        seconds += time.monotonic() - begin
        predictions.append(
            utils.convert_forecast_df_to_predictions(
                table,
                horizon=task.horizon,
                quantile_levels=task.quantile_levels,
                target_columns=window.target_columns,
            )
        )
    return predictions, seconds


def _past(window: Any) -> pd.DataFrame:
    """What a window shows of the past, as a long table of identifiers, times and targets."""
    past: pd.DataFrame = require("fev", extra="fev").convert_input_data(window, adapter="pandas")[0]
    return past[[window.id_column, window.timestamp_column, *window.target_columns]]
