"""The figures of pretraining: the loss curve of a run, and those of several beside each other."""

from collections.abc import Mapping
from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from tsmemory.evaluation.house_style import (
    GREY,
    METHODS,
    axis_title,
    line_trace,
    new_figure,
    style_of,
    tint,
)
from tsmemory.pretraining.curve import HELD_OUT, check_columns, held_out_loss

Axis = Literal["step", "samples", "seconds"]

_COLOURS = ("#D55E00", "#3B82E6", "#00957A", "#A63FB5", "#B58A62", "#C2557F", "#8A8A2E", "#7D6BE0")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_AXES: dict[Axis, str] = {"step": "steps", "samples": "windows seen", "seconds": "hours"}
_LAST = 1001  # rank in the legend; plotly gives the rest 1000


def draw_pretraining(
    curve: pd.DataFrame, scores: pd.DataFrame | None = None, metric: str = "mae"
) -> go.Figure:
    """Draw the loss curve of one run.

    Args:
        curve: Table ``step, samples, seconds, train_loss, held_out_<L>, <check>_<metric>``.
        scores: Table ``check, method, <metric>``; the seasonal naive forecast's values become
            dotted lines.
        metric: Which of the checks' metrics is drawn.

    Returns:
        Losses on synthetic windows below, zero-shot checks above.
    """
    figure = _two_panels("Pretraining", metric)
    training = line_trace(curve["step"], curve["train_loss"], GREY, "training", 1.5)
    figure.add_trace(training, row=1, col=1)
    lengths = sorted((c for c in curve if str(c).startswith(HELD_OUT)), key=_length)
    for number, column in enumerate(lengths):
        name = f"held out, context {_length(column)}"
        colour = tint(METHODS["tsmemory"].colour, 1 - 0.45 * number / max(1, len(lengths) - 1))
        figure.add_trace(line_trace(curve["step"], curve[column], colour, name), row=1, col=1)
    for number, (check, column) in enumerate(check_columns(curve, metric).items()):
        colour = _COLOURS[(number + 1) % len(_COLOURS)]
        trace = line_trace(curve["step"], curve[column], colour, check)
        figure.add_trace(trace.update(legendgroup=check), row=2, col=1)
        if (level := _naive(scores, check, metric)) is not None:
            ends = pd.Series([curve["step"].min(), curve["step"].max()])
            label = f"{check}, {style_of('seasonal_naive').label}"
            naive = line_trace(ends, pd.Series([level, level]), colour, label, 1.2, "dot")
            figure.add_trace(naive.update(legendrank=_LAST), row=2, col=1)
    figure.update_xaxes(title_text=axis_title(_AXES["step"]), row=1)
    return figure


def plot_curves(
    curves: Mapping[str, pd.DataFrame], *, x: Axis = "samples", metric: str = "mae"
) -> go.Figure:
    """Draw the loss curves of several runs, of other sizes or recipes, beside each other.

    Args:
        curves: Loss curves by the run's name, as :func:`tsmemory.pretraining.curve.read_curves`
            returns them.
        x: What is compared at equal amounts: steps, windows seen, or time.
        metric: Which of the checks' metrics is drawn.

    Returns:
        Held-out loss (mean over context lengths) below, zero-shot checks above. One colour for each
        run, one kind of line for each check.
    """
    figure = _two_panels("Pretraining: sizes and recipes", metric)
    checks = list(
        dict.fromkeys(c for curve in curves.values() for c in check_columns(curve, metric))
    )
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        place = curve[x] / 3600 if x == "seconds" else curve[x]
        held_out = line_trace(place, held_out_loss(curve), colour, name)
        figure.add_trace(held_out.update(legendgroup=name), row=1, col=1)
        for check, column in check_columns(curve, metric).items():
            dash = _DASHES[checks.index(check) % len(_DASHES)]
            trace = line_trace(place, curve[column], colour, f"{name}, {check}", dash=dash)
            figure.add_trace(trace.update(legendgroup=name, showlegend=False), row=2, col=1)
    for number, check in enumerate(checks):
        nothing = pd.Series([None])
        dash = _DASHES[number % len(_DASHES)]
        key = line_trace(nothing, nothing, GREY, check, dash=dash)
        figure.add_trace(key.update(legendrank=_LAST), row=2, col=1)
    figure.update_xaxes(title_text=axis_title(_AXES[x]), row=1)
    return figure


def _two_panels(title: str, metric: str) -> go.Figure:
    figure = new_figure(
        title, ("synthetic windows: loss", "zero-shot, validation splits"), shares=(0.5, 0.5)
    )
    figure.update_yaxes(title_text=axis_title("pinball"), row=1)
    figure.update_yaxes(title_text=axis_title(metric.upper()), row=2)
    return figure


def _length(column: object) -> int:
    """Context length that a held-out loss belongs to."""
    return int(str(column).removeprefix(HELD_OUT))


def _naive(scores: pd.DataFrame | None, check: str, metric: str) -> float | None:
    """The seasonal naive forecast's value on a check, where it is known."""
    if scores is None:
        return None
    lines = scores[(scores["check"] == check) & (scores["method"] == "seasonal_naive")]
    return None if lines.empty else float(lines[metric].iloc[0])
