"""The figure of the fusion weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from tsmemory.evaluation.house_style import (
    GREY,
    METHODS,
    SECOND,
    axis_title,
    line_trace,
    new_figure,
    tint,
)

_ACCENT = METHODS["tsmemory"].colour
_LAST = 1001  # rank in the legend; plotly gives the rest 1000


def draw_fusion(fusion: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Draw the fusion weights over the horizon, and where the guard closed them.

    Args:
        fusion: Fusions by seed, as :meth:`tsmemory.memory.fusion.Fusion.to_json` writes them. The
            first is the shipped one and stands out.

    Returns:
        Weights of location and spread above, those of naive forecasts and of training residuals
        where they have any, factor of the spread below; blocks where the guard let only the
        backbone through are shaded.
    """
    figure = new_figure(
        "Fusion of memory and backbone",
        ("factor on the memory's spread", "weight beside the backbone"),
        shares=(0.38, 0.62),
    )
    shipped, *others = fusion.items()
    for number, (seed, other) in enumerate(others):
        for name in ("location", "spread", "factor"):
            trace = _steps(other, name, tint(GREY, 0.45), width=1)
            trace.update(
                name="other seeds",
                legendgroup="other seeds",
                legendrank=_LAST,
                showlegend=number == 0 and name == "location",
                hovertext=[f"seed {seed}, {name}<br>{text}" for text in trace.hovertext],
            )
            figure.add_trace(trace, row=1 if name == "factor" else 2, col=1)
    seed, weights = shipped
    for name, colour in (("location", _ACCENT), ("spread", SECOND), ("factor", SECOND)):
        dash = "solid" if name == "location" else "dash"
        trace = _steps(weights, name, colour, width=2.5, dash=dash)
        trace.update(name=f"{name}, seed {seed}", showlegend=name != "factor")
        figure.add_trace(trace, row=1 if name == "factor" else 2, col=1)
    for name, values, colour, dash in _other_sources(weights):
        trace = _steps({**weights, name: values}, name, colour, width=2, dash=dash)
        figure.add_trace(trace.update(name=f"{name}, seed {seed}"), row=2, col=1)
    _shade_closed(figure, weights)
    block, blocks = weights["block"], len(weights["location"])
    figure.update_xaxes(dtick=block * max(1, round(blocks / 8)), range=[0, block * blocks])
    figure.update_yaxes(title_text=axis_title("weight"), range=[-0.04, 1.04], row=2)
    figure.update_yaxes(title_text=axis_title("factor"), row=1)
    figure.update_xaxes(title_text=axis_title("steps ahead"), row=1)
    return figure


def _other_sources(fusion: Mapping[str, Any]) -> list[tuple[str, Sequence[float], str, str]]:
    """What beside the memory has a weight: name, weights, colour and dash."""
    naive, residuals = fusion.get("naive") or {}, fusion.get("residuals") or {}
    sources = [
        ("last value", naive.get("last_value", ()), METHODS["last_value"].colour, "solid"),
        ("seasonal naive", naive.get("seasonal", ()), METHODS["seasonal_naive"].colour, "solid"),
        ("long-run level", naive.get("long_run", ()), METHODS["frozen"].colour, "dot"),
        ("residual spread", residuals.get("weight", ()), METHODS["ridge"].colour, "dash"),
    ]
    return [source for source in sources if any(source[1])]


def _steps(
    fusion: Mapping[str, Any], name: str, colour: str, width: float, dash: str = "solid"
) -> go.Scatter:
    """Values by block as a step line from the start of the first block to the end of the last."""
    block, values = int(fusion["block"]), list(fusion[name])
    verdicts = {verdict["block"]: verdict for verdict in _verdicts(fusion)}
    texts = []
    for number, value in enumerate(values):
        text = f"steps {number * block + 1} to {(number + 1) * block}: {name} {value:.3g}"
        if number in verdicts:
            verdict = verdicts[number]
            text += (
                f"<br>guard: skill {verdict['skill']:.1%}, p = {verdict['p_value']:.3g}"
                f"{', blocks pooled' if verdict['pooled'] else ''}"
            )
        texts.append(text)
    edges = pd.Series(range(0, (len(values) + 1) * block, block))
    trace = line_trace(edges, pd.Series([*values, values[-1]]), colour, width=width, dash=dash)
    return trace.update(line_shape="hv", hoverinfo="text", hovertext=[*texts, texts[-1]])


def _verdicts(fusion: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What the guard said of the whole fusion, block by block."""
    verdicts: Sequence[Mapping[str, Any]] = (
        fusion.get("report", {}).get("guard", {}).get("whole", ())
    )
    return verdicts


def _shade_closed(figure: go.Figure, fusion: Mapping[str, Any]) -> None:
    """Shade the stretches of blocks that the guard closed, with one entry in the legend."""
    closed = sorted(verdict["block"] for verdict in _verdicts(fusion) if not verdict["open"])
    stretches: list[list[int]] = []
    for number in closed:
        if stretches and number == stretches[-1][1]:
            stretches[-1][1] = number + 1
        else:
            stretches.append([number, number + 1])
    for row in (1, 2):
        for count, (first, end) in enumerate(stretches):
            figure.add_vrect(
                x0=first * fusion["block"],
                x1=end * fusion["block"],
                fillcolor=tint(GREY, 0.25),
                line_width=0,
                layer="below",
                name="guard: backbone only",
                legendgroup="guard",
                showlegend=row == 2 and count == 0,
                row=row,
                col=1,
            )
