"""Nodes of the pipeline ``evaluation``."""

from typing import Any

import numpy as np
import pandas as pd

from tsmemory.pipelines.base_params import Seed
from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.evaluation.params import EvaluationParams
from tsmemory.pipelines.indexing.params import BackboneParams, IndexingParams
from tsmemory.pipelines.ingestion.params import IngestionParams
from tsmemory.pipelines.lazy_types import (
    BackboneForecasts,
    ClosedForm,
    ContentCache,
    Datastore,
    MemoryForecaster,
    MethodScores,
    SeededAdapters,
    ShardCache,
    TraceScores,
)
from tsmemory.pipelines.loading import forecast_split, load_configured_backbone
from tsmemory.pipelines.teacher.configured import configured_teacher, search_settings
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.scaleout.config import IN_THIS_PROCESS, ShardsConfig
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows


def describe_backbone(
    panel_summary: dict[str, Any], backbone: BackboneParams, ingestion: IngestionParams, domain: str
) -> dict[str, Any]:
    """Say what the backbone is, and whether it was trained on what it is judged on.

    Args:
        panel_summary: Holds the panel's frequency.
        backbone: Which backbone.
        ingestion: Names the file, and where it came from.
        domain: Name of the dataset.

    Returns:
        Name, licence and training data, the benchmark that the domain is, and a warning.
    """
    from tsmemory.backbones.card import backbone_card
    from tsmemory.backbones.pretraining_data import benchmark_of

    source = ingestion.source.url if ingestion.source else None
    return backbone_card(
        load_configured_backbone(backbone, panel_summary),
        benchmark_of(domain, ingestion.path, source),
    )


def forecast_test_windows(
    series: SeriesSet,
    window_index: pd.DataFrame,
    panel_summary: dict[str, Any],
    workspace: ShardCache,
    answers: ContentCache,
    windowing: WindowingParams,
    backbone: BackboneParams,
    params: IndexingParams,
    shards: ShardsConfig = IN_THIS_PROCESS,
) -> BackboneForecasts:
    """Ask the frozen backbone about the windows on which everything is judged."""
    return forecast_split(
        "test",
        series,
        window_index,
        panel_summary,
        workspace,
        answers,
        windowing,
        backbone,
        params,
        shards,
    )


def score_methods(
    series: SeriesSet,
    window_index: pd.DataFrame,
    borders: pd.DataFrame,
    panel_summary: dict[str, Any],
    validation_forecasts: BackboneForecasts,
    test_forecasts: BackboneForecasts,
    datastore: Datastore,
    closed_form: ClosedForm,
    adapter: SeededAdapters,
    fusion: dict[str, Any],
    windowing: WindowingParams,
    teacher: TeacherParams,
    distillation: DistillationParams,
    params: EvaluationParams,
) -> MethodScores:
    """Score the fused forecast and every cheap alternative on the test windows.

    Args:
        series: The rows.
        window_index: All windows.
        borders: Ends of the training splits, for the in-sample seasonal error.
        panel_summary: Holds the panel's frequency.
        validation_forecasts: The backbone on validation windows, to fit baselines on.
        test_forecasts: The backbone on test windows.
        datastore: Stored training windows, for the online kNN row.
        closed_form: Holds the ridge.
        adapter: The adapters of all seeds.
        fusion: Their fusions.
        windowing: Lengths and strides.
        teacher: Settings of retrieval.
        distillation: Horizon blocks and shrinkage.
        params: Batch size.

    Returns:
        Sums per window from which all tables are made.
    """
    from tsmemory.evaluation import scores
    from tsmemory.evaluation.rows import assemble_methods, in_sample_seasonal_error
    from tsmemory.memory.split import Split
    from tsmemory.metrics import season_length

    season = season_length(panel_summary["freq"])
    lengths = (windowing.context_length, windowing.longest)
    methods = assemble_methods(
        Split(
            series, Windows.from_table(window_index, "validation", *lengths), validation_forecasts
        ),
        configured_teacher(datastore, series, test_forecasts.levels, teacher),
        closed_form,
        adapter,
        fusion,
        season=season,
        k=teacher.k,
        temperature=teacher.temperature,
        embargo=teacher.embargo,
        rerank=search_settings(teacher)["rerank"],
        config=distillation.fusion,
    )
    return scores.score_methods(
        Split(series, Windows.from_table(window_index, "test", *lengths), test_forecasts),
        methods,
        horizons=windowing.horizons,
        seasonal_error=in_sample_seasonal_error(series, borders, season),
        stride=windowing.strides.test,
        batch_size=params.batch_size,
    )


def tabulate_results(
    scores: MethodScores,
    series: SeriesSet,
    fusion: dict[str, Any],
    teacher_diagnosis: dict[str, Any],
    backbone_card: dict[str, Any],
    trace_rows: TraceScores | None,
    together_rows: MethodScores | None,
    params: EvaluationParams,
    seed: Seed,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Turn scores into tables.

    Args:
        scores: The scores.
        series: Names the channels.
        fusion: Fusions by seed, for the guard's decisions.
        teacher_diagnosis: The teacher's own figures.
        backbone_card: What the backbone is, to be kept with the metrics.
        trace_rows: What the pipeline ``trace`` has scored, if it was run.
        together_rows: Scores of the memory on the backbone that it has adapted, if that was run.
        params: Bootstrap.
        seed: Draws the bootstrap.

    Returns:
        The leaderboard, the same to be kept by version, skill against the frozen backbone,
        calibration, and metrics as one JSON value.
    """
    from tsmemory.evaluation.costly_rows import add_together_row, add_trace_rows
    from tsmemory.evaluation.leaderboard import build_calibration, build_leaderboard, build_skill
    from tsmemory.evaluation.rows import collect_metrics

    scores = add_together_row(add_trace_rows(scores, trace_rows), together_rows)
    samples, level = params.bootstrap.samples, params.bootstrap.level
    leaderboard = build_leaderboard(
        scores, samples=samples, level=level, rng=np.random.default_rng(seed)
    )
    skill = build_skill(
        scores, series, samples=samples, level=level, rng=np.random.default_rng(seed)
    )
    metrics = collect_metrics(scores, series, leaderboard, skill, fusion, teacher_diagnosis)
    metrics["backbone"] = backbone_card
    return leaderboard, leaderboard, skill, build_calibration(scores), metrics


def measure_cost(
    forecaster: MemoryForecaster,
    series: SeriesSet,
    window_index: pd.DataFrame,
    datastore: Datastore,
    panel_summary: dict[str, Any],
    windowing: WindowingParams,
    backbone: BackboneParams,
    params: EvaluationParams,
) -> pd.DataFrame:
    """Time the frozen and the fused forecast side by side.

    Args:
        forecaster: What is shipped.
        series: The rows.
        window_index: All windows.
        datastore: What retrieval at inference would have to hold.
        panel_summary: Holds the panel's frequency.
        windowing: Lengths.
        backbone: Which backbone.
        params: Batch sizes.

    Returns:
        Table ``method, horizon, batch, metric, value``.
    """
    from tsmemory.evaluation import cost

    windows = Windows.from_table(window_index, "test", windowing.context_length, windowing.longest)
    return cost.measure_cost(
        forecaster,
        load_configured_backbone(backbone, panel_summary),
        np.nan_to_num(windows.take(slice(0, max(params.cost.batches))).contexts(series)),
        horizons=sorted({min(windowing.horizons), max(windowing.horizons)}),
        batches=params.cost.batches,
        datastore=datastore,
    )


def collect_fans(
    series: SeriesSet,
    window_index: pd.DataFrame,
    panel: pd.DataFrame,
    test_forecasts: BackboneForecasts,
    scores: MethodScores,
    adapter: SeededAdapters,
    fusion: dict[str, Any],
    windowing: WindowingParams,
) -> pd.DataFrame:
    """Collect forecasts of the best, the median and the worst test window.

    Args:
        series: The rows.
        window_index: All windows.
        panel: Holds the timestamps.
        test_forecasts: The backbone on test windows.
        scores: Rank the windows.
        adapter: The adapters; the shipped one is shown.
        fusion: Fusions by seed.
        windowing: Lengths.

    Returns:
        Table ``kind, label, step, method, level, value`` in raw units.
    """
    from tsmemory.evaluation import fans, methods
    from tsmemory.memory.fusion import Fusion
    from tsmemory.memory.split import Split

    windows = Windows.from_table(window_index, "test", windowing.context_length, windowing.longest)
    shipped = methods.Fused(adapter.shipped, Fusion.from_json(next(iter(fusion.values()))))
    return fans.collect_fans(
        Split(series, windows, test_forecasts),
        scores,
        {"frozen": methods.frozen, "tsmemory": shipped},
        {str(item): rows["timestamp"] for item, rows in panel.groupby("item_id", sort=False)},
    )


def plot_results(
    skill: pd.DataFrame, calibration: pd.DataFrame, fans: pd.DataFrame, cost: pd.DataFrame
) -> tuple[Any, Any, Any, Any]:
    """Draw skill with intervals, calibration, forecast fans and cost.

    Args:
        skill: Skill against the frozen backbone.
        calibration: Observed shares of each level.
        fans: Forecasts of three windows.
        cost: Latency and sizes.

    Returns:
        Four plotly figures.
    """
    from tsmemory.evaluation.cost_plot import draw_cost
    from tsmemory.evaluation.plots import draw_calibration, draw_fans, draw_skill

    return draw_skill(skill), draw_calibration(calibration), draw_fans(fans), draw_cost(cost)
