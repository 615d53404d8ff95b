"""Nodes of the pipeline ``trace``."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.pipelines.base_params import Seed
from tsmemory.pipelines.evaluation.params import CostParams, EvaluationParams
from tsmemory.pipelines.indexing.params import BackboneParams
from tsmemory.pipelines.lazy_types import (
    BackboneForecasts,
    ModelFiles,
    ShardCache,
    TraceScores,
)
from tsmemory.pipelines.loading import load_configured_backbone
from tsmemory.pipelines.trace.jobs import Judge, RowJobs, training_windows
from tsmemory.pipelines.trace.params import TraceParams
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows


def score_trace(
    series: SeriesSet,
    window_index: pd.DataFrame,
    borders: pd.DataFrame,
    panel_summary: dict[str, Any],
    test_forecasts: BackboneForecasts,
    workspace: ShardCache,
    windowing: WindowingParams,
    backbone: BackboneParams,
    batch_size: int,
    batches: Any,
    params: TraceParams,
) -> tuple[TraceScores, ModelFiles, pd.DataFrame, pd.DataFrame]:
    """Adapt the backbone in every way that is asked for, and score them all on the test windows.

    Args:
        series: The rows.
        window_index: All windows.
        borders: Ends of the training splits.
        panel_summary: Holds the panel's frequency.
        test_forecasts: The frozen backbone on test windows.
        workspace: Where finished runs are kept until all are.
        windowing: Lengths and strides.
        backbone: Which backbone.
        batch_size: Test windows at a time.
        batches: Windows in a call that is timed, as :class:`CostParams` reads them.
        params: Rows, seeds, and how the backbone is adapted.

    Returns:
        Scores of all rows; TRACE's model of the first seed; the importance of sites by seed and
        round; and the loss curves.
    """
    from tsmemory.evaluation.importance_plot import COLUMNS
    from tsmemory.evaluation.model_files import ModelFiles as Files
    from tsmemory.evaluation.trace_scores import collect_runs
    from tsmemory.scaleout.shards import map_shards
    from tsmemory.trace.base import load_base
    from tsmemory.trace.bench import Bench
    from tsmemory.trace.splits import TraceWindows

    lengths = (windowing.context_length, windowing.longest)
    train = training_windows(window_index, windowing, params.train_stride)
    validation = Windows.from_table(window_index, "validation", *lengths)
    judge = Judge(
        series=series,
        windows=Windows.from_table(window_index, "test", *lengths),
        borders=borders,
        forecasts=test_forecasts,
        backbone=load_configured_backbone(backbone, panel_summary),
        windowing=windowing,
        batch_size=batch_size,
        timed=CostParams(batches=batches).batches,
    )
    bench = Bench(
        load_base(backbone.name, revision=backbone.revision, device=backbone.device),
        series,
        TraceWindows.split(series, train, validation, params.selection.scoring_share),
        params.config(),
        horizons=windowing.horizons,
        levels=backbone.quantile_levels,
    )
    jobs = RowJobs(judge, bench, params)
    shards = map_shards(
        jobs.run,
        jobs.names,
        cache=workspace.part("runs").open(jobs.fingerprint()),
        description="TRACE",
    )
    scores, tables, files = collect_runs(shards)
    importance = tables["importance"].reindex(columns=list(COLUMNS))
    return scores, Files(files), importance, tables["history"]


def tabulate_trace(
    trace_scores: TraceScores, evaluation: EvaluationParams, seed: Seed
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Turn the scores of the rows into tables.

    Args:
        trace_scores: The scores.
        evaluation: Bootstrap.
        seed: Draws the bootstrap.

    Returns:
        The table by horizon, the summary by row, skill against frozen, linear probing, LoRA and
        random K in every metric, and every run on its own line.
    """
    from tsmemory.evaluation import trace_tables

    table, summary, skill = trace_tables.tabulate_trace(
        trace_scores,
        samples=evaluation.bootstrap.samples,
        level=evaluation.bootstrap.level,
        rng=np.random.default_rng(seed),
    )
    return table, summary, skill, trace_tables.tabulate_runs(trace_scores)


def plot_importance(importance: pd.DataFrame) -> Any:
    """Draw the importance of the encoder's modules.

    Args:
        importance: Scores by seed, round and site.

    Returns:
        A plotly figure.
    """
    from tsmemory.evaluation.importance_plot import draw_importance

    return draw_importance(importance)


def write_trace(
    table: pd.DataFrame,
    summary: pd.DataFrame,
    skill: pd.DataFrame,
    importance: pd.DataFrame,
    evaluation: EvaluationParams,
    params: TraceParams,
    domain: str,
) -> str:
    """Put the tables of TRACE and the importance of modules on one page that needs no network.

    Args:
        table: Errors by row and horizon.
        summary: Means, gains, sizes and time by row.
        skill: Skills in every metric.
        importance: Scores by seed, round and site.
        evaluation: Level of the intervals.
        params: How the backbone was adapted.
        domain: Name of the dataset.

    Returns:
        The page.
    """
    from tsmemory.evaluation.report.page import render_page
    from tsmemory.evaluation.report.trace import TraceTables, build_trace_report
    from tsmemory.resolvers import domain as domain_name

    report = build_trace_report(
        domain_name(domain, None),
        TraceTables(table, summary, skill, importance),
        level=evaluation.bootstrap.level,
        settings=params.model_dump(mode="json"),
        made_at=datetime.now(UTC),
    )
    return render_page(report)
