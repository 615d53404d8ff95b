"""Nodes of the pipeline ``tuning`` that draw and tell."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from tsmemory.pipelines.evaluation.params import EvaluationParams
from tsmemory.pipelines.lazy_types import StudyJournal
from tsmemory.pipelines.tuning.params import TuningParams


def plot_gates(trials: pd.DataFrame, importance: pd.DataFrame) -> tuple[Any, Any, Any]:
    """Draw the course of the gates study, what matters in it, and where good values lie.

    Args:
        trials: The trials.
        importance: The importance of parameters.

    Returns:
        Three plotly figures.
    """
    from tsmemory.evaluation import tuning_plots

    return (
        tuning_plots.draw_history(trials),
        tuning_plots.draw_parameter_importance(importance),
        tuning_plots.draw_slices(trials, importance),
    )


def plot_masks(trials: pd.DataFrame, confirmed: pd.DataFrame) -> Any:
    """Draw loss against parameters of all masks that were tried.

    Args:
        trials: The trials.
        confirmed: The masks that were trained anew.

    Returns:
        A plotly figure.
    """
    from tsmemory.evaluation.pareto_plot import draw_pareto

    return draw_pareto(_named(trials), _named(confirmed))


def write_tuning(
    tuned_gates: dict[str, Any],
    gate_trials: pd.DataFrame,
    gate_promotions: pd.DataFrame,
    gate_importance: pd.DataFrame,
    overtuning: pd.DataFrame,
    tuned_mask: dict[str, Any],
    mask_trials: pd.DataFrame,
    mask_confirmed: pd.DataFrame,
    mask_samplers: pd.DataFrame,
    studies: StudyJournal,
    evaluation: EvaluationParams,
    params: TuningParams,
    domain: str,
) -> tuple[str, dict[str, Any]]:
    """Put both studies, and what is left of their gains on test, on one page.

    Args:
        tuned_gates: What is taken of the gates study.
        gate_trials: Its trials.
        gate_promotions: The settings that were distilled.
        gate_importance: The importance of parameters.
        overtuning: Gains on validation and on test.
        tuned_mask: What is taken of the masks study.
        mask_trials: Its trials.
        mask_confirmed: The masks that were trained anew.
        mask_samplers: NSGA-II beside random search.
        studies: Where trials are kept.
        evaluation: Level of the intervals.
        params: How the studies were made.
        domain: Name of the dataset.

    Returns:
        The page, and the figures behind its tables.
    """
    from tsmemory.evaluation.report.page import render_data, render_page
    from tsmemory.evaluation.report.tuning import TuningTables, build_tuning_report
    from tsmemory.resolvers import domain as domain_name
    from tsmemory.tuning.overtuning import describe_overtuning

    level = evaluation.bootstrap.level
    report = build_tuning_report(
        domain_name(domain, None),
        TuningTables(
            gates=tuned_gates,
            trials=gate_trials,
            promotions=gate_promotions,
            importance=gate_importance,
            overtuning=overtuning,
            mask=tuned_mask,
            masks=_named(mask_trials),
            confirmed=_named(mask_confirmed),
            samplers=mask_samplers,
        ),
        verdict=describe_overtuning(overtuning, tuned_gates, level=level),
        level=level,
        seeds=params.seeds,
        journal=studies.shown(),
        made_at=datetime.now(UTC),
    )
    return render_page(report), render_data(report)


def _named(masks: pd.DataFrame) -> pd.DataFrame:
    """Masks as they were before CSV, which tells neither an empty name nor the type of no line."""
    return masks.fillna({"mask": ""}).astype({"loss": float})
