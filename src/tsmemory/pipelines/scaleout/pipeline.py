"""Wiring of the pipeline ``scaleout``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.scaleout.nodes import (
    count_steps,
    measure_communication,
    plot_communication,
    plot_step_model,
)


def create_pipeline(**_: Any) -> Pipeline:
    """Ways to exchange gradients: measured on this machine, and a model of many."""
    return Pipeline(
        [
            Node(
                measure_communication,
                inputs="params:scaleout",
                outputs="communication",
                name="measure_communication",
            ),
            Node(
                plot_communication,
                inputs="communication",
                outputs="communication_plot",
                name="plot_communication",
            ),
            Node(
                count_steps,
                inputs="params:scaleout",
                outputs="step_model",
                name="count_steps",
            ),
            Node(
                plot_step_model,
                inputs="step_model",
                outputs="step_model_plot",
                name="plot_step_model",
            ),
        ],
        namespace="scaleout",
        prefix_datasets_with_namespace=False,
    )
