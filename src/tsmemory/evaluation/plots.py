"""The figures of a run, as plotly figures for kedro-viz and notebooks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tsmemory.evaluation.house_style import (
    GREY,
    METHODS,
    SECOND,
    TRUTH,
    axis_title,
    in_order,
    line_trace,
    new_figure,
    style_of,
    tint,
)
from tsmemory.evaluation.skill_plot import draw_skill

__all__ = ["draw_calibration", "draw_fans", "draw_fusion", "draw_loss_curve", "draw_skill"]

_ACCENT = METHODS["tsmemory"].colour
_SEED_COLOURS = (_ACCENT, "#3B82E6", "#00957A", "#A63FB5", "#B58A62")
_LAST = 1001  # rank in the legend; plotly gives the rest 1000


def draw_loss_curve(loss_curve: pd.DataFrame) -> go.Figure:
    """Draw validation and training loss over the epochs.

    Args:
        loss_curve: Table ``seed, epoch, total, validation, best``; ``best`` marks every epoch that
            was the best so far, so that the last one marked is the best of all. Epoch 0 is the
            closed form, which has no training loss; without training there is no ``total``.

    Returns:
        Two panels, since the objective holds more than the validation loss. One colour per seed.
    """
    figure = new_figure(
        "Distillation",
        ("training: objective", "validation: fused forecast"),
        shares=(0.42, 0.58),
    )
    loss_curve = loss_curve.reindex(columns=["seed", "epoch", "total", "validation", "best"])
    for number, (seed, curve) in enumerate(loss_curve.groupby("seed", sort=False)):
        colour, name = _SEED_COLOURS[number % len(_SEED_COLOURS)], f"seed {seed}"
        trained, best = curve.dropna(subset="total"), curve[curve["best"].astype(bool)].tail(1)
        validation = line_trace(curve["epoch"], curve["validation"], colour, name)
        training = line_trace(trained["epoch"], trained["total"], colour, name, 1.2, "dash")
        mark = line_trace(best["epoch"], best["validation"], colour, "best epoch")
        validation.update(mode="lines+markers", legendgroup=name)
        training.update(legendgroup=name, showlegend=False)
        mark.update(mode="markers", legendgroup="best", legendrank=_LAST, showlegend=number == 0)
        mark.marker = {"symbol": "circle-open", "size": 14, "line_width": 2.5}
        figure.add_traces([validation, training, mark], rows=[2, 1, 2], cols=[1, 1, 1])
    figure.update_yaxes(title_text=axis_title("pinball, z units"), row=2)
    figure.update_yaxes(title_text=axis_title("loss, z units"), row=1)
    step = max(1, -(-int(loss_curve["epoch"].max()) // 10))
    figure.update_xaxes(dtick=step)
    figure.update_xaxes(title_text=axis_title("epoch (0: closed form)"), row=1)
    return figure


def draw_fusion(fusion: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Draw the fusion weights over the horizon, and where the guard closed them.

    Args:
        fusion: Fusions by seed, as :meth:`tsmemory.memory.fusion.Fusion.to_json` writes them. The
            first is the shipped one and stands out.

    Returns:
        Weights of location and spread above, factor of the spread below; blocks where the guard let
        only the backbone through are shaded.
    """
    figure = new_figure(
        "Fusion of memory and backbone",
        ("factor on the memory's spread", "weight of the memory"),
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
    _shade_closed(figure, weights)
    block, blocks = weights["block"], len(weights["location"])
    figure.update_xaxes(dtick=block * max(1, round(blocks / 8)), range=[0, block * blocks])
    figure.update_yaxes(title_text=axis_title("weight"), range=[-0.04, 1.04], row=2)
    figure.update_yaxes(title_text=axis_title("factor"), row=1)
    figure.update_xaxes(title_text=axis_title("steps ahead"), row=1)
    return figure


def draw_calibration(calibration: pd.DataFrame) -> go.Figure:
    """Draw how often targets fall below each quantile.

    Args:
        calibration: Table ``method, level, observed``, both shares in [0, 1].

    Returns:
        Observed against nominal share; the frozen backbone and tsmemory stand out.
    """
    figure = new_figure("Calibration of the quantiles")
    ends = pd.Series([0.0, 1.0])
    figure.add_trace(line_trace(ends, ends, GREY, name="calibrated", dash="dot", width=1.5))
    methods = in_order(calibration["method"].unique().tolist())
    for method in sorted(methods, key=("frozen", "tsmemory").__contains__):
        lines = calibration[calibration["method"] == method].sort_values("level")
        style, prominent = style_of(method), method in ("frozen", "tsmemory")
        trace = line_trace(
            lines["level"], lines["observed"], style.colour, style.label, 2.5 if prominent else 1
        )
        trace.update(
            mode="lines+markers",
            marker={"symbol": style.symbol, "size": 8 if prominent else 6},
            opacity=1 if prominent else 0.5,
            hovertemplate="%{y:.1%} of targets at or below the %{x:.0%} quantile",
        )
        figure.add_trace(trace)
    figure.update_xaxes(title_text=axis_title("nominal share"), range=[0, 1], tickformat=".0%")
    figure.update_yaxes(title_text=axis_title("observed share"), range=[0, 1], tickformat=".0%")
    return figure


def draw_fans(fans: pd.DataFrame) -> go.Figure:
    """Draw forecasts of a few windows beside the truth.

    Args:
        fans: Table ``kind, label, step, method, level, value``, values in raw units; step -1 is the
            last of the context, step 0 the first of the target; method ``truth`` has no level.

    Returns:
        One panel for each kind, with median and 10-90 % band of each method.
    """
    labels = fans.groupby("kind", sort=False)["label"].first()[::-1]
    figure = new_figure(
        "Forecasts of the best, median and worst window",
        [f"{kind}: {label}" for kind, label in labels.items()],
        spacing=0.1,
    )
    for row, kind in enumerate(labels.index, start=1):
        panel = fans[fans["kind"] == kind]
        methods = in_order([name for name in panel["method"].unique() if name != "truth"])
        traces = [t for name in methods for t in _fan(panel[panel["method"] == name], name)]
        truth = panel[panel["method"] == "truth"].sort_values("step")
        actual = line_trace(truth["step"] + 1, truth["value"], TRUTH, "truth", width=1.5)
        traces.append(actual.update(legendgroup="truth"))
        for trace in traces:
            # The edges of a band have no name; the entry of its median stands for them.
            trace.update(showlegend=row == 1 and trace.name is not None)
            figure.add_trace(trace, row=row, col=1)
        figure.add_vline(x=0.5, line={"color": GREY, "width": 1, "dash": "dot"}, row=row, col=1)
    figure.update_yaxes(title_text=axis_title("raw units"))
    figure.update_xaxes(title_text=axis_title("steps ahead"), row=1)
    figure.update_layout(height=640, legend_title_text="median, 10 to 90 % band")
    return figure


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


def _fan(lines: pd.DataFrame, method: str) -> list[go.Scatter]:
    """Both edges of the 10-90 % band and the median of one method in one panel."""
    style = style_of(method)

    def at(level: float, name: str | None, width: float) -> go.Scatter:
        chosen = lines[np.isclose(lines["level"], level)].sort_values("step")
        trace = line_trace(chosen["step"] + 1, chosen["value"], style.colour, name, width)
        return trace.update(legendgroup=method)

    upper = at(0.9, None, 0).update(
        fill="tonexty", fillcolor=tint(style.colour, 0.26), hoverinfo="skip"
    )
    return [at(0.1, None, 0).update(hoverinfo="skip"), upper, at(0.5, style.label, 2)]
