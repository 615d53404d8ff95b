"""Wiring of the pipeline ``anomaly``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.anomaly.nodes import score_anomalies, tabulate_anomalies


def create_pipeline(**_: Any) -> Pipeline:
    """Panel or benchmark > scores of every step > table."""
    return Pipeline(
        [
            Node(
                score_anomalies,
                inputs=["panel", "panel_summary", "params:backbone", "params:anomaly"],
                outputs="anomaly_scores",
                name="score_anomalies",
            ),
            Node(
                tabulate_anomalies,
                inputs="anomaly_scores",
                outputs="anomalies",
                name="tabulate_anomalies",
            ),
        ],
        namespace="anomaly",
        prefix_datasets_with_namespace=False,
    )
