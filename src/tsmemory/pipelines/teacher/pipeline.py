"""Wiring of the pipeline ``teacher``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.teacher.nodes import diagnose_teacher, search_neighbours


def create_pipeline(**_: Any) -> Pipeline:
    """Datastore and queries > neighbours with weights > diagnosis."""
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
                ],
                outputs="neighbours",
                name="search_neighbours",
            ),
            Node(
                diagnose_teacher,
                inputs=[
                    "datastore",
                    "neighbours",
                    "train_forecasts",
                    "series_set",
                    "window_index",
                    "params:windowing",
                    "params:teacher",
                    "params:seed",
                ],
                outputs="teacher_diagnosis",
                name="diagnose_teacher",
            ),
        ]
    )
