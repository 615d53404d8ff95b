"""Wiring of the pipeline ``indexing``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.indexing.nodes import (
    count_neighbour_pools,
    forecast_training_windows,
    forecast_validation_windows,
    index_training_windows,
)

WINDOWS = [
    "series_set",
    "window_index",
    "panel_summary",
    "indexing_workspace",
    "backbone_answers",
]
PARAMETERS = ["params:windowing", "params:backbone", "params:indexing", "params:shards"]


def create_pipeline(**_: Any) -> Pipeline:
    """Windows > datastore, and the frozen backbone's forecasts of training and validation."""
    return Pipeline(
        [
            Node(  # Kedro orders steps of equal depth by name: this one comes before the long ones
                count_neighbour_pools,
                inputs=[
                    "window_index",
                    "series_set",
                    "params:indexing",
                    "params:teacher.k",
                    "params:teacher.shift_length",
                    "params:windowing.context_length",
                ],
                outputs="neighbour_pools",
                name="count_neighbour_pools",
            ),
            Node(
                index_training_windows,
                inputs=[*WINDOWS, "train_forecasts", *PARAMETERS],
                outputs="datastore",
                name="index_training_windows",
            ),
            Node(
                forecast_training_windows,
                inputs=[*WINDOWS, *PARAMETERS],
                outputs="train_forecasts",
                name="forecast_training_windows",
            ),
            Node(
                forecast_validation_windows,
                inputs=[*WINDOWS, *PARAMETERS],
                outputs="validation_forecasts",
                name="forecast_validation_windows",
            ),
        ],
        namespace="indexing",
        prefix_datasets_with_namespace=False,
    )
