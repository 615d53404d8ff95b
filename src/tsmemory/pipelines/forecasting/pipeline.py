"""Wiring of the pipeline ``forecasting``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.forecasting.nodes import forecast_new_tables, read_new_tables


def create_pipeline(**_: Any) -> Pipeline:
    """New tables and a saved forecaster > what they hold > quantile forecasts."""
    return Pipeline(
        [
            Node(
                read_new_tables,
                inputs=[
                    "new_tables",
                    "saved_forecaster",
                    "params:ingestion",
                    "params:forecasting",
                    "params:domain",
                ],
                outputs=["forecast_survey", "forecast_skipped"],
                name="read_new_tables",
            ),
            Node(
                forecast_new_tables,
                inputs=[
                    "new_tables",
                    "saved_forecaster",
                    "forecast_survey",
                    "forecasting_workspace",
                    "params:ingestion",
                    "params:forecasting",
                    "params:shards",
                ],
                outputs="forecasts",
                name="forecast_new_tables",
            ),
        ],
        namespace="forecasting",
        prefix_datasets_with_namespace=False,
    )
