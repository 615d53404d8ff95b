"""Wiring of the pipeline ``pretraining``."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from tsmemory.pipelines.pretraining.nodes import (
    collect_check_windows,
    export_backbone,
    plot_pretraining,
    pretrain_backbone,
    score_zero_shot,
)


def create_pipeline(**_: Any) -> Pipeline:
    """Validation windows and a recipe > network and loss curve > results > backbone with card."""
    return Pipeline(
        [
            Node(
                collect_check_windows,
                inputs=["raw_table", "params:ingestion", "params:pretraining"],
                outputs="check_windows",
                name="collect_check_windows",
            ),
            Node(
                pretrain_backbone,
                inputs=["check_windows", "pretraining_checkpoints", "params:pretraining"],
                outputs=["pretrained_weights", "pretraining_curve"],
                name="pretrain_backbone",
            ),
            Node(
                score_zero_shot,
                inputs=["pretrained_weights", "check_windows", "params:pretraining"],
                outputs="zero_shot_scores",
                name="score_zero_shot",
            ),
            Node(
                export_backbone,
                inputs=[
                    "pretrained_weights",
                    "pretraining_curve",
                    "zero_shot_scores",
                    "params:pretraining",
                ],
                outputs="pretrained_backbone",
                name="export_backbone",
            ),
            Node(
                plot_pretraining,
                inputs=["pretraining_curve", "zero_shot_scores"],
                outputs="pretraining_plot",
                name="plot_pretraining",
            ),
        ],
        namespace="pretraining",
        prefix_datasets_with_namespace=False,
    )
