"""Wiring of the pipeline ``evaluation``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.evaluation.nodes import (
    collect_fans,
    describe_backbone,
    forecast_test_windows,
    measure_cost,
    plot_results,
    score_methods,
    tabulate_results,
)
from tsmemory.pipelines.evaluation.oracle_nodes import measure_oracle_gap
from tsmemory.pipelines.evaluation.report_nodes import describe_run, write_report


def create_pipeline(**_: Any) -> Pipeline:
    """Test forecasts > scores > tables, cost and plots > report."""
    return _test_forecasts() + Pipeline(
        [
            Node(
                describe_backbone,
                inputs=[
                    "panel_summary",
                    "params:backbone",
                    "params:ingestion",
                    "params:domain",
                ],
                outputs="backbone_card",
                name="describe_backbone",
            ),
            Node(
                score_methods,
                inputs=[
                    "series_set",
                    "window_index",
                    "borders",
                    "panel_summary",
                    "validation_forecasts",
                    "test_forecasts",
                    "datastore",
                    "closed_form",
                    "adapter",
                    "fusion",
                    "params:windowing",
                    "params:teacher",
                    "params:distillation",
                    "params:evaluation",
                ],
                outputs="scores",
                name="score_methods",
            ),
            Node(
                tabulate_results,
                inputs=[
                    "scores",
                    "series_set",
                    "fusion",
                    "teacher_diagnosis",
                    "backbone_card",
                    "trace_rows",
                    "together_rows",
                    "params:evaluation",
                    "params:seed",
                ],
                outputs=["leaderboard", "leaderboard_versions", "skill", "calibration", "metrics"],
                name="tabulate_results",
            ),
            Node(
                measure_cost,
                inputs=[
                    "forecaster",
                    "series_set",
                    "window_index",
                    "datastore",
                    "panel_summary",
                    "params:windowing",
                    "params:backbone",
                    "params:evaluation",
                ],
                outputs="cost",
                name="measure_cost",
            ),
            Node(
                measure_oracle_gap,
                inputs=[
                    "series_set",
                    "window_index",
                    "test_forecasts",
                    "adapter",
                    "fusion",
                    "params:windowing",
                    "params:distillation",
                ],
                outputs="oracle_gap",
                name="measure_oracle_gap",
            ),
            Node(
                collect_fans,
                inputs=[
                    "series_set",
                    "window_index",
                    "panel",
                    "test_forecasts",
                    "scores",
                    "adapter",
                    "fusion",
                    "params:windowing",
                ],
                outputs="forecast_fans",
                name="collect_fans",
            ),
            Node(
                plot_results,
                inputs=["skill", "calibration", "forecast_fans", "cost"],
                outputs=["skill_plot", "calibration_plot", "fan_plot", "cost_plot"],
                name="plot_results",
            ),
            Node(
                describe_run,
                inputs=[
                    "panel_summary",
                    "window_counts",
                    "skipped_series",
                    "backbone_card",
                    "params:ingestion",
                    "params:windowing",
                    "params:backbone",
                    "params:indexing",
                    "params:teacher",
                    "params:distillation",
                    "params:evaluation",
                    "params:domain",
                    "params:seed",
                ],
                outputs="run_card",
                name="describe_run",
            ),
            Node(
                write_report,
                inputs=[
                    "leaderboard",
                    "skill",
                    "calibration",
                    "cost",
                    "forecast_fans",
                    "fusion",
                    "oracle_gap",
                    "teacher_diagnosis",
                    "teacher_diagnosis_table",
                    "neighbour_examples",
                    "run_card",
                ],
                outputs=["report", "report_data"],
                name="write_report",
            ),
        ],
        namespace="evaluation",
        prefix_datasets_with_namespace=False,
    )


def _test_forecasts() -> Pipeline:
    """What the frozen backbone says of the test windows.

    The step stands with those that ask it about the other splits, though only evaluation needs it:
    Kedro orders steps of equal depth by name, and the check of the neighbour pools comes first.
    """
    return Pipeline(
        [
            Node(
                forecast_test_windows,
                inputs=[
                    "series_set",
                    "window_index",
                    "panel_summary",
                    "indexing_workspace",
                    "backbone_answers",
                    "params:windowing",
                    "params:backbone",
                    "params:indexing",
                    "params:shards",
                ],
                outputs="test_forecasts",
                name="forecast_test_windows",
            ),
        ],
        namespace="indexing",
        prefix_datasets_with_namespace=False,
    )
