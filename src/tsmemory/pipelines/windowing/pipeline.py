"""Wiring of the pipeline ``windowing``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.windowing.nodes import list_windows, scale_series


def create_pipeline(**_: Any) -> Pipeline:
    """Panel > rows in z units > window index."""
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
        ]
    )
