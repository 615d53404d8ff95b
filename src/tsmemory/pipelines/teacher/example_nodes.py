"""Nodes of the pipeline ``teacher`` that show what it retrieves."""

from typing import Any

import numpy as np
import pandas as pd

from tsmemory.pipelines.base_params import Seed
from tsmemory.pipelines.lazy_types import BackboneForecasts, Datastore, Neighbours
from tsmemory.pipelines.teacher.configured import configured_teacher, search_settings
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows

_CHOSEN_FROM = 64  # validation queries that the examples are chosen from


def collect_neighbours(
    datastore: Datastore,
    neighbours: Neighbours,
    calibration: dict[str, Any],
    series: SeriesSet,
    window_index: pd.DataFrame,
    validation_forecasts: BackboneForecasts,
    windowing: WindowingParams,
    params: TeacherParams,
    seed: Seed,
) -> pd.DataFrame:
    """Collect the neighbours of the most, the median and the least trusted validation query.

    Args:
        datastore: Stored training windows.
        neighbours: Neighbours of the training windows, which say what is near.
        calibration: Factors on the spread.
        series: The rows.
        window_index: All windows.
        validation_forecasts: The backbone on validation windows.
        windowing: Lengths.
        params: Retrieval, and how targets are formed.
        seed: Draws the queries that are looked at.

    Returns:
        Table ``kind, label, confidence, skill, step, source, rank, weight, stored, level, value``.
    """
    from tsmemory.evaluation.retrieved import collect_retrieved
    from tsmemory.teacher.diagnosis import Queries
    from tsmemory.teacher.neighbours import find_neighbours

    lengths = (windowing.context_length, windowing.longest)
    windows = Windows.from_table(window_index, "validation", *lengths)
    every = Queries(windows, validation_forecasts.keys, validation_forecasts.quantiles)
    queries = every.sample(_CHOSEN_FROM, series, np.random.default_rng(seed))
    found = find_neighbours(
        datastore,
        queries.keys,
        queries.windows,
        series,
        **search_settings(params),
        embargo="self",  # what is stored lies before validation
        shard_size=_CHOSEN_FROM,
        own_nearest=neighbours.own_nearest,
    )
    levels = validation_forecasts.levels
    teacher = configured_teacher(datastore, series, levels, params, calibration)
    return collect_retrieved(teacher, queries, found)


def plot_neighbours(examples: pd.DataFrame) -> Any:
    """Draw neighbours over their queries.

    Args:
        examples: What :func:`collect_neighbours` returned.

    Returns:
        A plotly figure.
    """
    from tsmemory.evaluation.neighbour_plot import draw_neighbours

    return draw_neighbours(examples)
