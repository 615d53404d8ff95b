"""Wiring of the pipeline ``ingestion``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.ingestion.nodes import read_panel, split_and_scale


def create_pipeline(**_: Any) -> Pipeline:
    """Raw file > panel > borders and scaler."""
    return Pipeline(
        [
            Node(
                read_panel,
                inputs=["raw_table", "params:ingestion"],
                outputs=["panel", "panel_summary"],
                name="read_panel",
            ),
            Node(
                split_and_scale,
                inputs=["panel", "params:ingestion", "params:windowing"],
                outputs=["borders", "scaler", "skipped_series"],
                name="split_and_scale",
            ),
        ],
        namespace="ingestion",
        prefix_datasets_with_namespace=False,
    )
