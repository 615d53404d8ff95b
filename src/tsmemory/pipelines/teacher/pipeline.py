"""Wiring of the pipeline ``teacher``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.teacher.example_nodes import collect_neighbours, plot_neighbours
from tsmemory.pipelines.teacher.nodes import (
    calibrate_teacher,
    diagnose_teacher,
    search_neighbours,
)

TRAINING = [
    "series_set",
    "window_index",
    "train_forecasts",
    "params:windowing",
    "params:teacher",
]


def create_pipeline(**_: Any) -> Pipeline:
    """Datastore and queries > weighted neighbours > calibrated spread > diagnosis, pictures."""
    return Pipeline(
        [
            Node(
                search_neighbours,
                inputs=[
                    "datastore",
                    "train_forecasts",
                    "series_set",
                    "window_index",
                    "teacher_workspace",
                    "params:windowing",
                    "params:teacher",
                    "params:shards",
                ],
                outputs="neighbours",
                name="search_neighbours",
            ),
            Node(
                calibrate_teacher,
                inputs=["datastore", "neighbours", *TRAINING, "params:seed"],
                outputs="teacher_calibration",
                name="calibrate_teacher",
            ),
            Node(
                diagnose_teacher,
                inputs=[
                    "datastore",
                    "neighbours",
                    "teacher_calibration",
                    *TRAINING,
                    "validation_forecasts",
                    "params:distillation.objective.margin",
                    "params:distillation.objective.confidence_threshold",
                    "params:seed",
                ],
                outputs=["teacher_diagnosis", "teacher_diagnosis_table"],
                name="diagnose_teacher",
            ),
            Node(
                collect_neighbours,
                inputs=[
                    "datastore",
                    "neighbours",
                    "teacher_calibration",
                    "series_set",
                    "window_index",
                    "validation_forecasts",
                    "params:windowing",
                    "params:teacher",
                    "params:seed",
                ],
                outputs="neighbour_examples",
                name="collect_neighbours",
            ),
            Node(
                plot_neighbours,
                inputs="neighbour_examples",
                outputs="neighbour_plot",
                name="plot_neighbours",
            ),
        ],
        namespace="teacher",
        prefix_datasets_with_namespace=False,
    )
