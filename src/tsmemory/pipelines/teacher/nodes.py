"""Nodes of the pipeline ``teacher``."""

from typing import Any

import numpy as np
import pandas as pd

from tsmemory.pipelines.base_params import Seed
from tsmemory.pipelines.lazy_types import BackboneForecasts, Datastore, Neighbours, ShardCache
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows


def search_neighbours(
    datastore: Datastore,
    train_forecasts: BackboneForecasts,
    series: SeriesSet,
    window_index: pd.DataFrame,
    workspace: ShardCache,
    windowing: WindowingParams,
    params: TeacherParams,
) -> Neighbours:
    """Find the embargoed neighbours of every training window.

    Args:
        datastore: Stored training windows.
        train_forecasts: Keys of the queries.
        series: The rows.
        window_index: All windows.
        workspace: Where unfinished work is kept.
        windowing: Lengths.
        params: K, temperature and embargo.

    Returns:
        Neighbours and weights.

    Raises:
        ValueError: More neighbours are asked for than any group of the datastore holds.
    """
    from tsmemory.teacher.neighbours import find_neighbours

    windows = Windows.from_table(window_index, "train", windowing.context_length, windowing.longest)
    return find_neighbours(
        datastore,
        train_forecasts.keys,
        windows,
        series,
        k=params.k,
        k_min=params.k_min,
        temperature=params.temperature,
        embargo=params.embargo,
        shard_size=params.shard_size,
        cache=workspace,
    )


def diagnose_teacher(
    datastore: Datastore,
    neighbours: Neighbours,
    train_forecasts: BackboneForecasts,
    series: SeriesSet,
    window_index: pd.DataFrame,
    windowing: WindowingParams,
    params: TeacherParams,
    seed: Seed,
) -> dict[str, Any]:
    """Measure the teacher on its own training queries, under its embargo.

    Args:
        datastore: Stored training windows.
        neighbours: Neighbours of the queries.
        train_forecasts: Holds the quantile levels.
        series: The rows.
        window_index: All windows.
        windowing: Lengths.
        params: How targets are formed.
        seed: Draws the queries that are looked at.

    Returns:
        Error, coverage, confidence and counts.
    """
    from tsmemory.teacher.synthesis import Teacher, describe_teacher

    windows = Windows.from_table(window_index, "train", windowing.context_length, windowing.longest)
    teacher = Teacher(
        datastore, series, train_forecasts.levels, params.shift_length, params.quantile_method
    )
    return {
        "embargo": params.embargo,
        **describe_teacher(
            teacher,
            windows,
            neighbours,
            horizons=windowing.horizons,
            sample=params.diagnosis_queries,
            rng=np.random.default_rng(seed),
        ),
    }
