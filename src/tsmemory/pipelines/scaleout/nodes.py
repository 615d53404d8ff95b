"""Nodes of the pipeline ``scaleout``."""

from typing import Any

import pandas as pd

from tsmemory.pipelines.scaleout.params import ScaleoutParams


def measure_communication(params: ScaleoutParams) -> pd.DataFrame:
    """Train a small network on several ranks, with each way to exchange gradients.

    Args:
        params: How many ranks, how long, over which link.

    Returns:
        Table ``link, way, steps_per_second, link_mb, loopback_mb, loss, of_plain``.
    """
    from tsmemory.scaleout.bench_communication import Task, compare_ways

    return compare_ways(params.ranks, Task(steps=params.steps), params.slow_link)


def plot_communication(communication: pd.DataFrame) -> Any:
    """Plot steps per second of each way and link.

    Args:
        communication: What was measured.

    Returns:
        A plotly figure.
    """
    from tsmemory.evaluation.scaleout_plots import draw_communication

    return draw_communication(communication)


def count_steps(params: ScaleoutParams) -> pd.DataFrame:
    """Count the messages of an all-reduce that follow on each other; nothing is measured.

    Args:
        params: Numbers of ranks and sizes of groups.

    Returns:
        Table ``ranks, group, plain, hierarchical``.
    """
    from tsmemory.scaleout.step_model import step_table

    return step_table(params.model_ranks, params.model_groups)


def plot_step_model(step_model: pd.DataFrame) -> Any:
    """Plot the model of steps, labelled as a model.

    Args:
        step_model: Steps of both ways.

    Returns:
        A plotly figure.
    """
    from tsmemory.evaluation.scaleout_plots import draw_step_model

    return draw_step_model(step_model)
