"""Figures of a study: its course, which parameters matter, and where good values lie."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tsmemory.evaluation.house_style import (
    GREY,
    METHODS,
    SECOND,
    TRUTH,
    axis_title,
    literal,
    new_figure,
    tint,
)

_OURS = METHODS["tsmemory"].colour
# Studies of the history, in the order of drawing: colour and marker.
_STUDIES = {"random": (GREY, "diamond-open"), "tpe": (_OURS, "circle"), "nsgaii": (_OURS, "circle")}
_LABELS = {"random": "random search", "tpe": "TPE", "nsgaii": "NSGA-II"}
_MOST_PANELS = 4
_SEEN = 98  # per cent of the losses that a figure has to show; the rest may lie above it


def draw_history(trials: pd.DataFrame) -> go.Figure:
    """Draw the losses of all trials in order, and the best so far.

    Args:
        trials: Table ``study, number, state, setting, loss``.

    Returns:
        A plotly figure.
    """
    figure = new_figure("Trials in order")
    for study, (colour, symbol) in _STUDIES.items():
        own = trials[(trials["study"] == study) & (trials["state"] == "complete")]
        if own.empty:
            continue
        own = own.sort_values("number")
        figure.add_trace(
            go.Scatter(
                x=own["number"].tolist(),
                y=own["loss"].tolist(),
                name=f"{_LABELS[study]}, trials",
                mode="markers",
                marker={"color": tint(colour, 0.7), "symbol": symbol, "size": 7},
                text=[_hover(line) for line in own.to_dict("records")],
                hoverinfo="text",
            )
        )
        figure.add_trace(
            go.Scatter(
                x=own["number"].tolist(),
                y=own["loss"].cummin().tolist(),
                name=f"{_LABELS[study]}, best so far",
                mode="lines",
                line={"color": colour, "width": 2, "shape": "hv"},
                hoverinfo="skip",
            )
        )
    default = trials.loc[trials["setting"] == "default", "loss"]
    if len(default):
        figure.add_hline(
            y=float(default.iloc[0]), line={"color": TRUTH, "dash": "dot", "width": 1.5}
        )
        figure.add_annotation(
            text="default",
            x=1,
            xref="x domain",
            y=float(default.iloc[0]),
            xanchor="right",
            yanchor="bottom",
            showarrow=False,
            font={"color": TRUTH},
        )
    figure.update_xaxes(title_text=axis_title("trial"))
    shown = trials.loc[trials["state"] == "complete", "loss"]
    figure.update_yaxes(title_text=axis_title("validation loss"), range=_range(shown))
    return figure


def draw_parameter_importance(importance: pd.DataFrame) -> go.Figure:
    """Draw how much of the order of the trials each parameter explains.

    Args:
        importance: Table ``parameter, importance``, the most important first.

    Returns:
        A plotly figure, bars from the top.
    """
    figure = new_figure("Importance of parameters")
    figure.add_trace(
        go.Bar(
            x=importance["importance"].tolist(),
            y=[literal(str(name)) for name in importance["parameter"]],
            orientation="h",
            marker={"color": _OURS},
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text=axis_title("share"), tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_layout(margin={"l": 160})
    return figure


def draw_slices(trials: pd.DataFrame, importance: pd.DataFrame) -> go.Figure:
    """Draw the loss over the values of the parameters that matter most.

    Args:
        trials: Table ``study, number, state, setting, loss`` and a column for each parameter.
        importance: Table ``parameter, importance``; without lines the first parameters are shown.

    Returns:
        A plotly figure, a panel for each parameter.
    """
    names = _to_show(trials, importance)
    figure = new_figure(
        "Loss by parameter", [literal(name) for name in names] or [""], stacked=False, spacing=0.06
    )
    done = trials[trials["state"] == "complete"]
    for column, name in enumerate(names, start=1):
        own = done[done[name].notna()]
        values = own[name]
        numeric = pd.to_numeric(values, errors="coerce").notna().all() and not (
            values.map(lambda value: isinstance(value, bool)).any()
        )
        figure.add_trace(
            go.Scatter(
                x=pd.to_numeric(values).tolist() if numeric else values.astype(str).tolist(),
                y=own["loss"].tolist(),
                mode="markers",
                marker={
                    "color": own["number"].tolist(),
                    "colorscale": [[0, tint(SECOND, 0.25)], [1, SECOND]],
                    "size": 7,
                },
                text=[_hover(line) for line in own.to_dict("records")],
                hoverinfo="text",
                showlegend=False,
            ),
            row=1,
            col=column,
        )
        if numeric and _spans_decades(pd.to_numeric(values)):
            figure.update_xaxes(type="log", row=1, col=column)
    figure.update_yaxes(range=_range(done["loss"]))
    figure.update_yaxes(title_text=axis_title("validation loss"), row=1, col=1)
    return figure


def _to_show(trials: pd.DataFrame, importance: pd.DataFrame) -> list[str]:
    """The most important parameters that any complete trial has."""
    known = [str(name) for name in importance["parameter"] if name in trials.columns]
    return [name for name in known if trials[name].notna().any()][:_MOST_PANELS]


def _range(loss: pd.Series) -> list[float] | None:
    """An axis on which nearly all losses are seen, not squeezed by the worst."""
    known = loss[np.isfinite(loss)]
    if known.empty or known.min() == known.max():
        return None
    low, high = float(known.min()), float(np.percentile(known, _SEEN, method="lower"))
    room = 0.08 * max(high - low, 1e-9)
    return [low - room, high + room]


def _spans_decades(values: pd.Series) -> bool:
    return bool(values.min() > 0 and values.max() / values.min() >= 50)


def _hover(line: dict[object, object]) -> str:
    return f"trial {line['number']}, {line['setting']}<br>loss {line['loss']:.5g}"
