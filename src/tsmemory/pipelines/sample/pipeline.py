"""Wiring of the pipeline ``sample``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.sample.nodes import rebuild_weather


def create_pipeline(**_: Any) -> Pipeline:
    """Files that pvlib carries > ``data/01_raw/tmy_weather.parquet``."""
    return Pipeline(
        [
            Node(
                rebuild_weather,
                inputs="params:sample",
                outputs="tmy_weather",
                name="rebuild_weather",
            )
        ],
        namespace="sample",
        prefix_datasets_with_namespace=False,
    )
