"""The figure of skill against the frozen backbone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from tsmemory.evaluation.house_style import (
    GREY,
    TEXT,
    axis_title,
    in_order,
    literal,
    new_figure,
    style_of,
    tint,
)

_METRICS = {"crps": "CRPS", "mse": "MSE", "mae": "MAE"}  # the first is shown first
_METHOD = "tsmemory"
_DODGE = 0.6  # share of a horizon's place that its markers are spread over
_LEAST_REACH = 5.0  # percent
_MOST_NAMES = 24
_LONGEST_NAME = 16


def draw_skill(skill: pd.DataFrame) -> go.Figure:
    """Draw skill against the frozen backbone, with buttons for the metric.

    Args:
        skill: Table ``method, horizon, channel, metric, skill, low, high, dm_p``. Skill is a share;
            ``low, high, dm_p`` may be NaN. Channel ``all`` stands for all together.

    Returns:
        All channels together by horizon, and tsmemory by channel at the longest horizon, in
        percent. Methods so bad that they would flatten the rest are pinned to the lower edge.
    """
    longest = skill["horizon"].max()
    figure = new_figure(
        "Skill against the frozen backbone, 95 % intervals",
        ("all channels", f"{style_of(_METHOD).label}, {longest} steps ahead"),
        stacked=False,
        shares=(0.6, 0.4),
    )
    metrics = [name for name in _METRICS if name in set(skill["metric"])]
    horizons = sorted(skill["horizon"].unique().tolist())
    overall = skill[skill["channel"] == "all"]
    by_channel = skill[(skill["channel"] != "all") & (skill["horizon"] == longest)]
    by_channel = by_channel[by_channel["method"] == _METHOD]
    ranges = {}
    for metric in metrics:
        lines = overall[overall["metric"] == metric]
        ranges[metric] = _skill_range(lines)
        left = _by_horizon(lines, horizons, ranges[metric])
        right = _by_channel(by_channel[by_channel["metric"] == metric])
        for trace in (*left, right):
            trace.update(visible=metric == metrics[0], meta=metric)
            figure.add_trace(trace, row=1, col=2 if trace is right else 1)
    order = by_channel[by_channel["metric"] == metrics[0]].sort_values("skill")["channel"]
    _label_axes(figure, horizons, order.tolist(), ranges[metrics[0]])
    figure.update_layout(updatemenus=[_metric_buttons(figure, ranges)])
    return figure


def _label_axes(
    figure: go.Figure, horizons: Sequence[int], channels: Sequence[str], ends: Sequence[float]
) -> None:
    """Name the axes; horizons are evenly spaced and channels ascend by skill."""
    # Names that have room: shortened ones, and not all of them where there are many.
    named = channels[:: 1 + len(channels) // _MOST_NAMES]
    short = [n if len(n) <= _LONGEST_NAME else f"{n[: _LONGEST_NAME - 1]}…" for n in named]
    zero = {"zeroline": True, "zerolinewidth": 2}
    figure.update_layout(
        xaxis={
            "title_text": axis_title("horizon, steps"),
            "tickvals": list(range(len(horizons))),
            "ticktext": [str(horizon) for horizon in horizons],
            "range": [-0.5, len(horizons) - 0.5],
            "showgrid": False,
        },
        yaxis={"title_text": axis_title("skill, % (▼ lower)"), "range": ends, **zero},
        xaxis2={"title_text": axis_title("skill, %"), "rangemode": "tozero", **zero},
        yaxis2={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": channels,
            "tickvals": named,
            "ticktext": [literal(name) for name in short],
        },
    )


def _by_horizon(
    lines: pd.DataFrame, horizons: Sequence[int], ends: Sequence[float]
) -> list[go.Scatter]:
    """Methods side by side at each horizon, with arrows for what lies below the axis."""
    methods = in_order(lines["method"].unique().tolist())
    width = _DODGE / len(methods)
    edge = ends[0] + 0.02 * (ends[1] - ends[0])
    traces = []
    for number, method in enumerate(methods):
        own = lines[lines["method"] == method].sort_values("horizon")
        middle = (number - (len(methods) - 1) / 2) * width
        own = own.assign(x=[horizons.index(horizon) + middle for horizon in own["horizon"]])
        low = 100 * own["skill"] < ends[0]
        # The method keeps its entry in the legend even where all of its points are pinned.
        shown = own.assign(skill=own["skill"].mask(low))
        points = {"x": own["x"].tolist(), "y": (100 * shown["skill"]).tolist()}
        traces.append(go.Scatter(**points, **_points(own, method), error_y=_error_bars(shown)))
        if low.any():
            pinned = {"x": own["x"][low].tolist(), "y": [edge] * int(low.sum())}
            arrow = go.Scatter(**pinned, **_points(own[low], method))
            arrow.update(marker_symbol="triangle-down", showlegend=False)
            traces.append(arrow)
    return traces


def _by_channel(lines: pd.DataFrame) -> go.Scatter:
    """One point for each channel."""
    return go.Scatter(
        x=(100 * lines["skill"]).tolist(),
        y=lines["channel"].tolist(),
        error_x=_error_bars(lines),
        showlegend=False,
        **_points(lines, _METHOD),
    )


def _points(lines: pd.DataFrame, method: str) -> dict[str, Any]:
    """What all points share: looks and hover text."""
    style = style_of(method)
    size = 10 if method == _METHOD else 7
    return {
        "name": style.label,
        "legendgroup": method,
        "mode": "markers",
        "marker": {"color": style.colour, "symbol": style.symbol, "size": size},
        "hoverinfo": "text",
        "hovertext": [_describe(line) for _, line in lines.iterrows()],
    }


def _error_bars(lines: pd.DataFrame) -> dict[str, Any]:
    """Bars from low to high in percent; NaN, which draws none, where there is no interval."""
    return {
        "type": "data",
        "symmetric": False,
        "array": (100 * (lines["high"] - lines["skill"])).tolist(),
        "arrayminus": (100 * (lines["skill"] - lines["low"])).tolist(),
        "thickness": 1.5,
        "width": 0,
    }


def _describe(line: pd.Series) -> str:
    """One point in words."""
    parts = [
        f"{style_of(line['method']).label}, {line['horizon']} steps, {literal(line['channel'])}",
        f"skill {line['skill']:.1%}",
    ]
    if np.isfinite([line["low"], line["high"]]).all():
        parts[1] += f", from {line['low']:.1%} to {line['high']:.1%}"
    if np.isfinite(line["dm_p"]):
        parts.append(f"Diebold-Mariano p = {line['dm_p']:.3g}")
    return "<br>".join(parts)


def _skill_range(lines: pd.DataFrame) -> list[float]:
    """Ends of the axis in percent: all that is good, and as far down as up.

    A method that loses by half would squeeze differences of a few percent into one line.
    """
    values = 100 * lines[["skill", "low", "high"]]
    own = values[lines["method"] == _METHOD]
    top = float(np.nanmax([0.0, *values.to_numpy().ravel()]))
    reach = float(np.nanmax([_LEAST_REACH, top, *(-own.to_numpy().ravel())]))
    bottom = max(float(np.nanmin([0.0, *values.to_numpy().ravel()])), -reach)
    padding = 0.06 * max(top - bottom, 1.0)
    return [bottom - padding, top + padding]


def _metric_buttons(figure: go.Figure, ranges: dict[str, list[float]]) -> dict[str, Any]:
    """Buttons that show one metric's traces and fit the axis to them."""
    buttons = [
        {
            "label": _METRICS[metric],
            "method": "update",
            "args": [
                {"visible": [trace.meta == metric for trace in figure.data]},
                {"yaxis.range": ends},
            ],
        }
        for metric, ends in ranges.items()
    ]
    return {
        "type": "buttons",
        "direction": "down",
        "buttons": buttons,
        "x": 1.02,
        "xanchor": "left",
        "y": 0,
        "yanchor": "bottom",
        "bgcolor": tint(GREY, 0.15),
        "bordercolor": tint(GREY, 0.5),
        "font": {"color": TEXT},  # the pressed button is white on either page
    }
