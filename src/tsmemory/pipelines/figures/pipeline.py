"""Wiring of the pipeline ``figures``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.figures.nodes import print_figures


def create_pipeline(**_: Any) -> Pipeline:
    """Plots of the main way > the same as PDF files."""
    return Pipeline(
        [
            Node(
                print_figures,
                inputs=[
                    "skill_plot",
                    "fan_plot",
                    "calibration_plot",
                    "fusion_plot",
                    "neighbour_plot",
                    "loss_plot",
                    "cost_plot",
                ],
                outputs="printed_figures",
                name="print_figures",
            )
        ],
        namespace="figures",
        prefix_datasets_with_namespace=False,
    )
