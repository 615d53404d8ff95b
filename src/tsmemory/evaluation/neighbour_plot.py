"""The figure of what the teacher retrieves: neighbours laid over a query."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tsmemory.evaluation.house_style import (
    GREY,
    METHODS,
    SECOND,
    TRUTH,
    axis_title,
    line_trace,
    literal,
    new_figure,
    style_of,
    tint,
)

_NEIGHBOUR = METHODS["seasonal_naive"].colour  # no other line of this figure is near it
_FAINTEST, _STRONGEST = 0.35, 0.85
_BAND = (0.1, 0.9)


def draw_neighbours(examples: pd.DataFrame) -> go.Figure:
    """Draw the neighbours of a few queries, aligned as the teacher aligns them.

    Args:
        examples: What :func:`tsmemory.evaluation.retrieved.collect_retrieved` returned; may be
            empty.

    Returns:
        One panel for each query: its neighbours, the stronger the heavier, the teacher's median and
        band that they make up, the frozen backbone's median and the truth.
    """
    examples = examples.assign(value=examples["value"].map(_short))
    queries = examples.groupby("kind", sort=False)[["label", "confidence", "skill"]].first()[::-1]
    figure = new_figure(
        "What the teacher retrieves for validation queries",
        [
            f"{kind}: {literal(label)}, confidence {confidence:.2f}{_in_words(skill)}"
            for kind, label, confidence, skill in queries.itertuples()
        ]
        or ["no query has a neighbour"],
        spacing=0.1,
    )
    for row, kind in enumerate(queries.index, start=1):
        panel = examples[examples["kind"] == kind]
        for trace in (*_neighbours(panel), *_teacher(panel), *_others(panel)):
            trace.update(showlegend=row == 1 and bool(trace.showlegend))
            figure.add_trace(trace, row=row, col=1)
        figure.add_vline(x=0.5, line={"color": GREY, "width": 1, "dash": "dot"}, row=row, col=1)
    figure.update_yaxes(title_text=axis_title("raw units"))
    figure.update_xaxes(title_text=axis_title("steps ahead"), row=1)
    figure.update_layout(height=640)
    return figure


def _in_words(skill: float) -> str:
    """The teacher's skill, where there is one."""
    return f", skill {skill:.1%}" if np.isfinite(skill) else ""


def _short(value: float) -> float:
    """As many digits as can be seen: long horizons would make the figure megabytes large."""
    return float(f"{value:.5g}")


def _neighbours(panel: pd.DataFrame) -> list[go.Scatter]:
    """One line for each neighbour, the heaviest last, on top, and named."""
    lines = panel[panel["source"] == "neighbour"]
    heaviest = lines["weight"].max()
    traces = []
    for rank, own in sorted(lines.groupby("rank"), reverse=True):
        weight, stored = float(own["weight"].iloc[0]), str(own["stored"].iloc[0])
        share = weight / heaviest if heaviest > 0 else 0.0
        colour = tint(_NEIGHBOUR, _FAINTEST + (_STRONGEST - _FAINTEST) * share)
        trace = line_trace(own["step"] + 1, own["value"], colour, "neighbours", 1)
        trace.update(
            legendgroup="neighbours",
            showlegend=rank == 1,
            hovertemplate=f"{literal(stored)}<br>weight {weight:.1%}<extra>neighbour</extra>",
        )
        traces.append(trace)
    return traces


def _teacher(panel: pd.DataFrame) -> list[go.Scatter]:
    """The teacher's band and median."""
    lines = panel[panel["source"] == "teacher"]

    def at(level: float, width: float) -> go.Scatter:
        nearest = lines["level"].iloc[(lines["level"] - level).abs().argmin()]
        own = lines[lines["level"] == nearest].sort_values("step")
        trace = line_trace(own["step"] + 1, own["value"], SECOND, None, width)
        return trace.update(legendgroup="teacher", showlegend=False)

    lower, upper = (at(level, 0).update(hoverinfo="skip") for level in _BAND)
    upper.update(fill="tonexty", fillcolor=tint(SECOND, 0.22))
    return [lower, upper, at(0.5, 2.5).update(name="teacher, 10 to 90 % band", showlegend=True)]


def _others(panel: pd.DataFrame) -> list[go.Scatter]:
    """The frozen backbone's median and the truth."""
    traces = []
    frozen = style_of("frozen")
    for source, name, colour, width in (
        ("frozen", f"{frozen.label}, median", frozen.colour, 2.0),
        ("truth", "truth", TRUTH, 2.0),
    ):
        own = panel[panel["source"] == source].sort_values("step")
        trace = line_trace(own["step"] + 1, own["value"], colour, name, width)
        traces.append(trace.update(legendgroup=source, showlegend=True))
    return traces
