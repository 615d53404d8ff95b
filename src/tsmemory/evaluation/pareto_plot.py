"""The figure of the masks study: loss against weights of all masks, and of those confirmed."""

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

_FRONT = METHODS["trace"].colour
_PANELS = ("trained anew, later part of validation", "trials, earlier part of validation")
_SEEN = 98  # per cent of the trials that the figure has to show; the rest may lie above it
_ROOM = 0.08  # share of the shown range that is left free above and below


def draw_pareto(trials: pd.DataFrame, confirmed: pd.DataFrame) -> go.Figure:
    """Draw both objectives of all masks that were tried, and what became of the best.

    Args:
        trials: Table ``number, mask, sites, parameters, loss, front``.
        confirmed: Table ``mask, sites, parameters, loss, gain, p_value, chosen``.

    Returns:
        The trials with their Pareto front above, the masks that were trained anew below.
    """
    figure = new_figure("LoRA masks: loss against weights", _PANELS, shares=(0.4, 0.6))
    seeded = trials["mask"].astype(str) != ""
    front = trials[trials["front"].astype(bool)].drop_duplicates("parameters")
    traces = [
        _dots(trials[~seeded], "a mask that was tried", tint(GREY, 0.7), "circle", 6),
        _dots(trials[seeded], "a mask to begin with", TRUTH, "diamond", 9),
        _line(front.sort_values("parameters")),
    ]
    for trace in traces:
        figure.add_trace(trace, row=2, col=1)
    chosen = confirmed["chosen"].astype(bool)
    ordered = confirmed.sort_values("parameters")
    lower = [
        _line(ordered).update(name="trained anew", line_color=SECOND, line_shape="linear"),
        _dots(confirmed[~chosen], "trained anew, not chosen", SECOND, "circle-open", 10),
        _dots(confirmed[chosen], "chosen", SECOND, "circle", 12),
    ]
    lower[0].update(showlegend=False)
    for trace in lower:
        figure.add_trace(trace, row=1, col=1)
    figure.update_xaxes(title_text=axis_title("LoRA weights"), rangemode="tozero", row=1, col=1)
    for row, loss, seen in ((1, confirmed["loss"], 100), (2, trials["loss"], _SEEN)):
        figure.update_yaxes(title_text=axis_title("loss"), range=_range(loss, seen), row=row, col=1)
    return figure


def _dots(lines: pd.DataFrame, name: str, colour: str, symbol: str, size: int) -> go.Scatter:
    return go.Scatter(
        x=lines["parameters"].tolist(),
        y=lines["loss"].tolist(),
        name=name,
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": size},
        text=[_hover(line) for line in lines.to_dict("records")],
        hoverinfo="text",
    )


def _line(lines: pd.DataFrame) -> go.Scatter:
    """A front: between two of its points the smaller mask is the best there is."""
    return go.Scatter(
        x=lines["parameters"].tolist(),
        y=lines["loss"].tolist(),
        name="Pareto front",
        mode="lines",
        line={"color": _FRONT, "width": 2, "shape": "hv"},
        hoverinfo="skip",
    )


def _hover(line: dict[object, object]) -> str:
    """What is said of a mask."""
    name = literal(str(line["mask"]).replace("_", " ")) or "a mask"
    parts = [
        f"{name}: {line['sites']} sites, {line['parameters']:,} weights",
        f"loss {line['loss']:.5g}",
    ]
    if "gain" in line:
        parts += [f"{line['gain']:.2%} below no LoRA", f"best one better: p {line['p_value']:.2g}"]
    return "<br>".join(parts)


def _range(loss: pd.Series, seen: int) -> list[float] | None:
    """An axis on which nearly all losses are seen, not squeezed by the worst."""
    known = loss[np.isfinite(loss)]
    if known.empty or known.min() == known.max():
        return None
    low, high = float(known.min()), float(np.percentile(known, seen))
    room = _ROOM * max(high - low, 1e-9)
    return [low - room, high + room]
