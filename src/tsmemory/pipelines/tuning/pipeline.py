"""Wiring of the pipeline ``tuning``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.tuning.nodes import (
    score_tuned,
    search_gates,
    search_masks,
    tabulate_overtuning,
)
from tsmemory.pipelines.tuning.report_nodes import plot_gates, plot_masks, write_tuning


def create_pipeline(**_: Any) -> Pipeline:
    """Artefacts of the main way > studies > settings on test > tables, plots and page."""
    return Pipeline(
        [
            Node(
                search_gates,
                inputs=[
                    "series_set",
                    "window_index",
                    "train_forecasts",
                    "validation_forecasts",
                    "datastore",
                    "closed_form",
                    "studies",
                    "gates_workspace",
                    "params:windowing",
                    "params:backbone",
                    "params:teacher",
                    "params:distillation",
                    "params:tuning.gates",
                    "params:seed",
                ],
                outputs=["tuned_gates", "gate_trials", "gate_promotions", "gate_importance"],
                name="search_gates",
            ),
            Node(
                search_masks,
                inputs=[
                    "series_set",
                    "window_index",
                    "studies",
                    "masks_workspace",
                    "params:windowing",
                    "params:backbone",
                    "params:trace",
                    "params:tuning.masks",
                    "params:seed",
                ],
                outputs=["tuned_mask", "mask_trials", "mask_confirmed", "mask_samplers"],
                name="search_masks",
            ),
            Node(
                score_tuned,
                inputs=[
                    "series_set",
                    "window_index",
                    "borders",
                    "train_forecasts",
                    "validation_forecasts",
                    "test_forecasts",
                    "datastore",
                    "neighbours",
                    "teacher_calibration",
                    "closed_form",
                    "tuned_gates",
                    "tuned_workspace",
                    "params:windowing",
                    "params:teacher",
                    "params:distillation",
                    "params:evaluation.batch_size",
                    "params:tuning.seeds",
                    "params:seed",
                ],
                outputs="tuned_scores",
                name="score_tuned",
            ),
            Node(
                tabulate_overtuning,
                inputs=["tuned_scores", "tuned_gates", "params:evaluation", "params:seed"],
                outputs="overtuning",
                name="tabulate_overtuning",
            ),
            Node(
                plot_gates,
                inputs=["gate_trials", "gate_importance"],
                outputs=["gate_history_plot", "gate_importance_plot", "gate_slice_plot"],
                name="plot_gates",
            ),
            Node(
                plot_masks,
                inputs=["mask_trials", "mask_confirmed"],
                outputs="mask_front_plot",
                name="plot_masks",
            ),
            Node(
                write_tuning,
                inputs=[
                    "tuned_gates",
                    "gate_trials",
                    "gate_promotions",
                    "gate_importance",
                    "overtuning",
                    "tuned_mask",
                    "mask_trials",
                    "mask_confirmed",
                    "mask_samplers",
                    "studies",
                    "params:evaluation",
                    "params:tuning",
                    "params:domain",
                ],
                outputs=["tuning_report", "tuning_data"],
                name="write_tuning",
            ),
        ],
        namespace="tuning",
        prefix_datasets_with_namespace=False,
    )
