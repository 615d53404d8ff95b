"""Node of the pipeline ``figures``."""

from typing import Any


def print_figures(
    skill_plot: Any,
    fan_plot: Any,
    calibration_plot: Any,
    fusion_plot: Any,
    neighbour_plot: Any,
    loss_plot: Any,
    cost_plot: Any,
) -> Any:
    """Draw the figures of the latest run once more, as vectors on white.

    Args:
        skill_plot: Plotly figures, this and the following.
        fan_plot: Forecasts.
        calibration_plot: Observed against nominal level.
        fusion_plot: Weights over the horizon.
        neighbour_plot: What the teacher retrieves.
        loss_plot: Losses over the epochs.
        cost_plot: Latency and sizes.

    Returns:
        One PDF for each.
    """
    from tsmemory.evaluation import print_figures as printing

    return printing.print_figures(
        {
            "skill": skill_plot,
            "forecasts": fan_plot,
            "calibration": calibration_plot,
            "fusion": fusion_plot,
            "neighbours": neighbour_plot,
            "loss": loss_plot,
            "cost": cost_plot,
        }
    )
