"""Nodes of the pipeline ``evaluation`` that write the report."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from tsmemory.pipelines.base_params import Seed
from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.evaluation.params import EvaluationParams
from tsmemory.pipelines.indexing.params import BackboneParams, IndexingParams
from tsmemory.pipelines.ingestion.params import IngestionParams
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.windowing.params import WindowingParams


def describe_run(
    panel_summary: dict[str, Any],
    window_counts: dict[str, Any],
    skipped_series: pd.DataFrame,
    backbone_card: dict[str, Any],
    ingestion: IngestionParams,
    windowing: WindowingParams,
    backbone: BackboneParams,
    indexing: IndexingParams,
    teacher: TeacherParams,
    distillation: DistillationParams,
    evaluation: EvaluationParams,
    domain: str,
    seed: Seed,
) -> dict[str, Any]:
    """Say what the run was given, as far as results depend on it.

    Args:
        panel_summary: What the input is.
        window_counts: What became of the windows.
        skipped_series: What is left out, with reasons.
        backbone_card: What the backbone is.
        ingestion: Parameters, of this and the following pipelines.
        windowing: Lengths and strides.
        backbone: Which backbone.
        indexing: Keys and index.
        teacher: Retrieval and targets.
        distillation: Adapter, objective, fusion and guard.
        evaluation: Bootstrap and cost.
        domain: Name of the dataset.
        seed: Of everything random but training.

    Returns:
        Data, windows, backbone, parameters and fingerprints as one JSON value.
    """
    from tsmemory.evaluation.report import content
    from tsmemory.fingerprint import digest, installed_versions, package_digest
    from tsmemory.resolvers import domain as domain_name
    from tsmemory.runs.parameters import essence

    skipped = [
        {str(name): str(value) for name, value in line.items()}
        for line in skipped_series.to_dict("records")
    ]
    parameters = {
        "ingestion": essence(ingestion),
        "windowing": essence(windowing),
        "backbone": essence(backbone),
        "indexing": essence(indexing),
        "teacher": essence(teacher),
        "distillation": essence(distillation),
        "evaluation": essence(evaluation),
        "seed": seed,
    }
    return content.describe_run(
        domain=domain_name(domain, None),
        panel=panel_summary,
        windows=window_counts,
        skipped=skipped,
        backbone=backbone_card,
        parameters=parameters,
        fingerprints={
            "input": panel_summary["sha256"],
            "parameters": digest(parameters),
            "backbone": backbone_card["fingerprint"],
            "code": package_digest(),
            "packages": installed_versions(),
        },
    )


def write_report(
    leaderboard: pd.DataFrame,
    skill: pd.DataFrame,
    calibration: pd.DataFrame,
    cost: pd.DataFrame,
    forecast_fans: pd.DataFrame,
    fusion: dict[str, Any],
    oracle_gap: pd.DataFrame,
    teacher_diagnosis: dict[str, Any],
    teacher_diagnosis_table: pd.DataFrame,
    neighbour_examples: pd.DataFrame,
    run_card: dict[str, Any],
) -> tuple[str, dict[str, Any]]:
    """Put all results on one page that needs no network.

    Args:
        leaderboard: Every method, horizon and metric.
        skill: Against the frozen backbone.
        calibration: Observed shares of each level.
        cost: Latency and sizes.
        forecast_fans: Forecasts of three windows.
        fusion: Weights and the guard's verdicts, for each seed.
        oracle_gap: The chosen weights beside those that the test split would have chosen.
        teacher_diagnosis: Single figures of the teacher.
        teacher_diagnosis_table: The teacher under each embargo and on validation.
        neighbour_examples: Neighbours of three validation queries.
        run_card: What :func:`describe_run` returned.

    Returns:
        The page, and the figures behind its tables.
    """
    from tsmemory.evaluation.report.content import Results, build_report
    from tsmemory.evaluation.report.page import render_data, render_page

    results = Results(
        leaderboard=leaderboard,
        skill=skill,
        calibration=calibration,
        cost=cost,
        fans=forecast_fans,
        fusion=fusion,
        oracle_gap=oracle_gap,
        teacher=teacher_diagnosis,
        teacher_diagnosis=teacher_diagnosis_table,
        neighbours=neighbour_examples,
        run=run_card,
    )
    report = build_report(results, datetime.now(UTC))
    return render_page(report), render_data(report)
