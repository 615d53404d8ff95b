"""Wiring of the pipeline ``windowing``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.windowing.nodes import (
    list_forecast_origins,
    list_windows,
    scale_series,
)


def create_pipeline(**_: Any) -> Pipeline:
    """Panel > rows in z units > window index, and the forecasts that it needs."""
    return Pipeline(
        [
            Node(
                scale_series,
                inputs=["panel", "panel_summary", "scaler"],
                outputs="series_set",
                name="scale_series",
            ),
            Node(
                list_windows,
                inputs=["series_set", "borders", "params:windowing"],
                outputs=["window_index", "window_counts"],
                name="list_windows",
            ),
            Node(
                list_forecast_origins,
                inputs=["series_set", "window_index", "params:windowing"],
                outputs="forecast_origins",
                name="list_forecast_origins",
            ),
        ],
        namespace="windowing",
        prefix_datasets_with_namespace=False,
    )
