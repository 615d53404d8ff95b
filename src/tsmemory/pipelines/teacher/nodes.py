"""Nodes of the pipeline ``teacher``."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.pipelines.base_params import Seed
from tsmemory.pipelines.lazy_types import BackboneForecasts, Datastore, Neighbours, ShardCache
from tsmemory.pipelines.teacher.configured import configured_teacher, search_settings
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.scaleout.config import IN_THIS_PROCESS, ShardsConfig
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows

_SEARCHED_TOGETHER = 64  # queries of a sample, which lie too far apart to share much embargo

logger = logging.getLogger(__name__)


def search_neighbours(
    datastore: Datastore,
    train_forecasts: BackboneForecasts,
    series: SeriesSet,
    window_index: pd.DataFrame,
    workspace: ShardCache,
    windowing: WindowingParams,
    params: TeacherParams,
    shards: ShardsConfig = IN_THIS_PROCESS,
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
        shards: Who works through shards of queries.

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
        **search_settings(params),
        embargo=params.embargo,
        shard_size=params.shard_size,
        cache=workspace,
        sharing=shards,
    )


def calibrate_teacher(
    datastore: Datastore,
    neighbours: Neighbours,
    series: SeriesSet,
    window_index: pd.DataFrame,
    train_forecasts: BackboneForecasts,
    windowing: WindowingParams,
    params: TeacherParams,
    seed: Seed,
) -> dict[str, Any]:
    """Find out of fold how much wider the teacher's spread has to be.

    Args:
        datastore: Stored training windows.
        neighbours: Neighbours of the training windows.
        series: The rows.
        window_index: All windows.
        train_forecasts: Holds the quantile levels.
        windowing: Lengths.
        params: How targets are formed and calibrated.
        seed: Draws the queries that are looked at.

    Returns:
        ``block, factor, fold_edges, fold_factor``.
    """
    from tsmemory.teacher.calibration import SpreadCalibration
    from tsmemory.teacher.calibration_fit import fit_calibration

    calibration = params.calibration
    if not calibration.enabled:
        return SpreadCalibration.none(windowing.longest, calibration.block).to_json()
    return fit_calibration(
        configured_teacher(datastore, series, train_forecasts.levels, params),
        Windows.from_table(window_index, "train", windowing.context_length, windowing.longest),
        neighbours,
        block=calibration.block,
        folds=calibration.folds,
        queries=calibration.queries,
        rng=np.random.default_rng(seed),
    ).to_json()


def diagnose_teacher(
    datastore: Datastore,
    neighbours: Neighbours,
    calibration: dict[str, Any],
    series: SeriesSet,
    window_index: pd.DataFrame,
    train_forecasts: BackboneForecasts,
    windowing: WindowingParams,
    params: TeacherParams,
    validation_forecasts: BackboneForecasts,
    margin: float,
    confidence_threshold: float,
    seed: Seed,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Measure the teacher under every embargo, and on validation, where nothing can leak.

    Args:
        datastore: Stored training windows.
        neighbours: Neighbours of the training windows.
        calibration: Factors on the spread.
        series: The rows.
        window_index: All windows.
        train_forecasts: The backbone on training windows.
        windowing: Lengths.
        params: How targets are formed.
        validation_forecasts: The backbone on validation windows.
        margin: Of distillation's advantage gate.
        confidence_threshold: Of distillation's confidence gate.
        seed: Draws the queries that are looked at.

    Returns:
        The figures that matter most; and the table ``split, embargo, horizon, metric, value,
        queries``.
    """
    from tsmemory.teacher import diagnosis
    from tsmemory.teacher.neighbours import find_neighbours

    lengths, rng = (windowing.context_length, windowing.longest), np.random.default_rng(seed)

    def sample(split: str, forecasts: Any) -> diagnosis.Queries:
        windows = Windows.from_table(window_index, split, *lengths)
        queries = diagnosis.Queries(windows, forecasts.keys, forecasts.quantiles)
        return queries.sample(params.diagnosis_queries, series, rng)

    def search(queries: diagnosis.Queries, embargo: Any) -> Neighbours:
        return find_neighbours(
            datastore,
            queries.keys,
            queries.windows,
            series,
            **search_settings(params),
            embargo=embargo,
            shard_size=_SEARCHED_TOGETHER,
            own_nearest=neighbours.own_nearest,
        )

    table = diagnosis.diagnose(
        configured_teacher(datastore, series, train_forecasts.levels, params, calibration),
        sample("train", train_forecasts),
        sample("validation", validation_forecasts),
        search,
        embargo=params.embargo,
        horizons=windowing.horizons,
        gates=diagnosis.Gates(margin, confidence_threshold),
    )
    figures = diagnosis.summarise(table, embargo=params.embargo)
    leak = figures["leak"][str(windowing.longest)]
    logger.info(
        "Teacher, MAE to %d steps: %.3f on training queries under %s, %.3f on validation "
        "(without an embargo it would look like %.3f)",
        windowing.longest,
        leak[params.embargo],
        params.embargo,
        leak["validation"],
        leak["self"],
    )
    settings = {
        "embargo": params.embargo,
        "alignment": params.alignment,
        "key": datastore.summary()["key"],
        "index_kind": datastore.index_kind,
        "recall_at_20": datastore.recall,
    }
    return {**settings, **neighbours.summary(), "calibration": calibration, **figures}, table
