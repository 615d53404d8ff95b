"""Wiring of the pipeline ``short_term``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.short_term.nodes import score_short_term, tabulate_short_term


def create_pipeline(**_: Any) -> Pipeline:
    """Panel > errors at the end of every series > sMAPE, MASE and OWA."""
    return Pipeline(
        [
            Node(
                score_short_term,
                inputs=["panel", "panel_summary", "params:backbone", "params:short_term"],
                outputs="short_term_errors",
                name="score_short_term",
            ),
            Node(
                tabulate_short_term,
                inputs="short_term_errors",
                outputs="short_term",
                name="tabulate_short_term",
            ),
        ],
        namespace="short_term",
        prefix_datasets_with_namespace=False,
    )
