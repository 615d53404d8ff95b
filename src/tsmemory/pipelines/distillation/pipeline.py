"""Wiring of the pipeline ``distillation``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.distillation.nodes import (
    distil_adapter,
    export_forecaster,
    fit_linear_skip,
    fuse_and_guard,
    plot_fusion,
    plot_loss_curve,
)


def create_pipeline(**_: Any) -> Pipeline:
    """Neighbours and forecasts > closed form > adapter > guarded fusion > forecaster."""
    return Pipeline(
        [
            Node(
                fit_linear_skip,
                inputs=[
                    "series_set",
                    "window_index",
                    "train_forecasts",
                    "params:windowing",
                    "params:distillation",
                ],
                outputs="closed_form",
                name="fit_linear_skip",
            ),
            Node(
                distil_adapter,
                inputs=[
                    "series_set",
                    "window_index",
                    "train_forecasts",
                    "validation_forecasts",
                    "datastore",
                    "neighbours",
                    "teacher_calibration",
                    "closed_form",
                    "params:windowing",
                    "params:teacher",
                    "params:distillation",
                ],
                outputs=["adapter", "loss_curve"],
                name="distil_adapter",
            ),
            Node(
                fuse_and_guard,
                inputs=[
                    "series_set",
                    "window_index",
                    "validation_forecasts",
                    "adapter",
                    "closed_form",
                    "params:windowing",
                    "params:distillation",
                    "params:seed",
                ],
                outputs="fusion",
                name="fuse_and_guard",
            ),
            Node(
                export_forecaster,
                inputs=[
                    "adapter",
                    "fusion",
                    "series_set",
                    "window_index",
                    "panel_summary",
                    "params:windowing",
                    "params:backbone",
                    "params:domain",
                ],
                outputs="forecaster",
                name="export_forecaster",
            ),
            Node(plot_loss_curve, inputs="loss_curve", outputs="loss_plot", name="plot_loss_curve"),
            Node(plot_fusion, inputs="fusion", outputs="fusion_plot", name="plot_fusion"),
        ],
        namespace="distillation",
        prefix_datasets_with_namespace=False,
    )
