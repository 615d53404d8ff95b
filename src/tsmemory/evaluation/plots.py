"""The figures of a run, as plotly figures for kedro-viz and notebooks."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tsmemory.evaluation.fusion_plot import draw_fusion
from tsmemory.evaluation.house_style import (
    GREY,
    METHODS,
    SECOND,
    TRUTH,
    axis_title,
    in_order,
    line_trace,
    literal,
    new_figure,
    style_of,
    tint,
)
from tsmemory.evaluation.skill_plot import draw_skill
from tsmemory.evaluation.summary import choose_horizons

__all__ = ["draw_calibration", "draw_fans", "draw_fusion", "draw_loss_curve", "draw_skill"]

_ACCENT = METHODS["tsmemory"].colour
_SEED_COLOURS = (_ACCENT, "#3B82E6", "#00957A", "#A63FB5", "#B58A62")
_LAST = 1001  # rank in the legend; plotly gives the rest 1000


def draw_loss_curve(loss_curve: pd.DataFrame) -> go.Figure:
    """Draw validation and training loss over the epochs.

    Args:
        loss_curve: Table ``seed, epoch, total, validation, best``; ``best`` marks every epoch that
            was the best so far, so that the last one marked is the best of all. Epoch 0 is the
            closed form, which has no training loss; without training there is no ``total``. Lines
            with a value of ``rehearsal`` are those of the rehearsal, and hold no other loss.

    Returns:
        Two panels, since the objective holds more than the validation loss. One colour per seed.
    """
    figure = new_figure(
        "Distillation",
        ("training: objective, and rehearsed forecast", "validation: fused forecast"),
        shares=(0.42, 0.58),
    )
    columns = ["seed", "epoch", "total", "validation", "best", "rehearsal"]
    loss_curve = loss_curve.reindex(columns=columns)
    rehearsed = loss_curve.dropna(subset="rehearsal")
    loss_curve = loss_curve[loss_curve["rehearsal"].isna()]
    if len(rehearsed):
        name = "rehearsal, stretches left out"
        trace = line_trace(rehearsed["epoch"], rehearsed["rehearsal"], SECOND, name, 2, "dot")
        figure.add_trace(trace, row=1, col=1)
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
    epochs = max(loss_curve["epoch"].max(), rehearsed["epoch"].max() if len(rehearsed) else 0)
    step = max(1, -(-int(epochs) // 10))
    figure.update_xaxes(dtick=step)
    figure.update_xaxes(title_text=axis_title("epoch (0: closed form)"), row=1)
    return figure


def draw_calibration(calibration: pd.DataFrame) -> go.Figure:
    """Draw how often targets fall below each quantile.

    Args:
        calibration: Table ``method, horizon, level, observed``, both shares in [0, 1].

    Returns:
        Observed against nominal share, a panel for each of at most four horizons; the frozen
        backbone and tsmemory stand out.
    """
    horizons = choose_horizons(calibration["horizon"].tolist())
    figure = new_figure(
        "Calibration of the quantiles",
        [f"up to {horizon} steps ahead" for horizon in horizons],
        stacked=False,
        spacing=0.16 / len(horizons),
    )
    for column, horizon in enumerate(horizons, start=1):
        ends = pd.Series([0.0, 1.0])
        diagonal = line_trace(ends, ends, GREY, name="calibrated", dash="dot", width=1.5)
        traces = [diagonal, *_reliability(calibration[calibration["horizon"] == horizon])]
        for trace in traces:
            trace.update(legendgroup=trace.name, showlegend=column == 1)
            figure.add_trace(trace, row=1, col=column)
    figure.update_xaxes(
        title_text=axis_title("nominal share"), range=[0, 1], tickformat=".0%", dtick=0.25
    )
    figure.update_yaxes(range=[0, 1], tickformat=".0%", showticklabels=False)
    figure.update_yaxes(title_text=axis_title("observed share"), showticklabels=True, col=1)
    return figure


def _reliability(lines: pd.DataFrame) -> list[go.Scatter]:
    """Reliability curves of all methods at one horizon, the two that matter on top."""
    methods = in_order(lines["method"].unique().tolist())
    traces = []
    for method in sorted(methods, key=("frozen", "tsmemory").__contains__):
        curve = lines[lines["method"] == method].sort_values("level")
        style, prominent = style_of(method), method in ("frozen", "tsmemory")
        trace = line_trace(
            curve["level"], curve["observed"], style.colour, style.label, 2.5 if prominent else 1
        )
        traces.append(
            trace.update(
                mode="lines+markers",
                marker={"symbol": style.symbol, "size": 8 if prominent else 6},
                opacity=1 if prominent else 0.5,
                hovertemplate="%{y:.1%} of targets at or below the %{x:.0%} quantile",
            )
        )
    return traces


def draw_fans(fans: pd.DataFrame) -> go.Figure:
    """Draw forecasts of a few windows beside the truth.

    Args:
        fans: Table ``kind, label, skill, step, method, level, value``, values in raw units; step -1
            is the last of the context, step 0 the first of the target; method ``truth`` has no
            level. Skill is the window's own, over the frozen backbone.

    Returns:
        One panel for each kind, with median and 10-90 % band of each method.
    """
    labels = fans.groupby("kind", sort=False)[["label", "skill"]].first()[::-1]
    figure = new_figure(
        "Forecasts of the best, median and worst window",
        [
            f"{kind}: {literal(label)}, skill {skill:.1%}"
            for kind, label, skill in labels.itertuples()
        ],
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
