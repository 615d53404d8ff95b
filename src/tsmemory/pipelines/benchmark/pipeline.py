"""Wiring of the pipeline ``benchmark``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.benchmark.nodes import (
    describe_benchmark,
    measure_transfer,
    score_ablations,
    tabulate_ablations,
    write_benchmark,
)


def create_pipeline(**_: Any) -> Pipeline:
    """Artefacts of the main way > ablation and transfer tables."""
    return Pipeline(
        [
            Node(
                score_ablations,
                inputs=[
                    "series_set",
                    "window_index",
                    "borders",
                    "train_forecasts",
                    "validation_forecasts",
                    "test_forecasts",
                    "datastore",
                    "neighbours",
                    "teacher_calibration",
                    "closed_form",
                    "benchmark_workspace",
                    "params:windowing",
                    "params:teacher",
                    "params:distillation",
                    "params:evaluation.batch_size",
                    "params:benchmark.ablation",
                    "params:seed",
                ],
                outputs="ablation_scores",
                name="score_ablations",
            ),
            Node(
                tabulate_ablations,
                inputs=["ablation_scores", "params:evaluation", "params:seed"],
                outputs=["ablation", "ablation_skill"],
                name="tabulate_ablations",
            ),
            Node(
                measure_transfer,
                inputs=[
                    "series_set",
                    "window_index",
                    "borders",
                    "validation_forecasts",
                    "test_forecasts",
                    "params:windowing",
                    "params:distillation",
                    "params:evaluation",
                    "params:benchmark.transfer",
                    "params:seed",
                ],
                outputs="transfer",
                name="measure_transfer",
            ),
            Node(
                describe_benchmark,
                inputs=["ablation", "ablation_skill", "transfer", "params:benchmark"],
                outputs="benchmark",
                name="describe_benchmark",
            ),
            Node(
                write_benchmark,
                inputs=[
                    "ablation",
                    "ablation_skill",
                    "transfer",
                    "params:benchmark",
                    "params:domain",
                ],
                outputs="benchmark_report",
                name="write_benchmark",
            ),
        ],
        namespace="benchmark",
        prefix_datasets_with_namespace=False,
    )
