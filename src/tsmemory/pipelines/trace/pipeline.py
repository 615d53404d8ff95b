"""Wiring of the pipeline ``trace``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.trace.nodes import (
    plot_importance,
    score_trace,
    tabulate_trace,
    write_trace,
)


def create_pipeline(**_: Any) -> Pipeline:
    """Windows and the frozen backbone's test forecasts > adapted backbones > tables and page."""
    return Pipeline(
        [
            Node(
                score_trace,
                inputs=[
                    "series_set",
                    "window_index",
                    "borders",
                    "panel_summary",
                    "test_forecasts",
                    "trace_workspace",
                    "params:windowing",
                    "params:backbone",
                    "params:evaluation.batch_size",
                    "params:evaluation.cost.batches",
                    "params:trace",
                ],
                outputs=["trace_scores", "trace_backbone", "trace_importance", "trace_curve"],
                name="score_trace",
            ),
            Node(
                tabulate_trace,
                inputs=["trace_scores", "params:evaluation", "params:seed"],
                outputs=["trace_table", "trace_summary", "trace_skill", "trace_runs"],
                name="tabulate_trace",
            ),
            Node(
                plot_importance,
                inputs="trace_importance",
                outputs="importance_plot",
                name="plot_importance",
            ),
            Node(
                write_trace,
                inputs=[
                    "trace_table",
                    "trace_summary",
                    "trace_skill",
                    "trace_importance",
                    "params:evaluation",
                    "params:trace",
                    "params:domain",
                ],
                outputs="trace_report",
                name="write_trace",
            ),
        ],
        namespace="trace",
        prefix_datasets_with_namespace=False,
    )
