"""The figure of what the memory costs, beside the frozen backbone."""

import pandas as pd
import plotly.graph_objects as go

from tsmemory.evaluation.house_style import (
    axis_title,
    new_figure,
    style_of,
)
from tsmemory.evaluation.report.formats import size, times

_LATENCY, _RATIO = "latency_ms_per_window", "latency_ratio"
_SIZES = {  # what has to be there at inference
    "artefact_bytes": "memory<br>adapter",
    "datastore_bytes_at_inference": "datastore of<br>online kNN",
}
_UNITS = {3: "1 kB", 6: "1 MB", 9: "1 GB", 12: "1 TB"}


def draw_cost(cost: pd.DataFrame) -> go.Figure:
    """Draw latency and what has to be held at inference.

    Args:
        cost: Table ``method, horizon, batch, metric, value``; without latencies where the backbone
            looks its forecasts up.

    Returns:
        Milliseconds a window by call, with the ratio beside each pair of bars, and bytes on a
        logarithmic axis.
    """
    figure = new_figure(
        "What the memory costs",
        ("time of a forecast", "held at inference beside the backbone"),
        stacked=False,
        shares=(0.6, 0.4),
        spacing=0.2,
    )
    for method in ("frozen", "tsmemory"):
        figure.add_trace(_times(cost, method), row=1, col=1)
    for trace in _sizes(cost):
        figure.add_trace(trace, row=1, col=2)
    figure.update_yaxes(title_text=axis_title("ms a window"), rangemode="tozero", col=1)
    figure.update_xaxes(
        title_text=axis_title("windows in a call, and steps ahead"), col=1, type="category"
    )
    figure.update_yaxes(
        type="log",
        title_text=axis_title("size"),
        tickvals=[10.0**power for power in _UNITS],
        ticktext=list(_UNITS.values()),
        range=[3, 1 + _power(cost)],
        col=2,
    )
    figure.update_xaxes(type="category", range=[-0.6, 1.6], col=2)
    figure.update_layout(barmode="group", bargap=0.35)
    return figure


def _times(cost: pd.DataFrame, method: str) -> go.Bar:
    """Latency of one method by batch and horizon; ours says how many times the frozen one it is."""
    own = cost[cost["method"] == method]
    lines = own[own["metric"] == _LATENCY]
    ratios = own[own["metric"] == _RATIO].set_index(["batch", "horizon"])["value"].to_dict()
    calls = list(zip(lines["batch"], lines["horizon"], strict=True))
    style = style_of(method)
    texts = [times(ratios[call]) if call in ratios else "" for call in calls]
    return go.Bar(
        x=[f"{int(float(batch))}<br>{int(float(horizon))} steps" for batch, horizon in calls],
        y=lines["value"].tolist(),
        name=style.label,
        marker={"color": style.colour},
        text=texts,
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x}: %{y:.3g} ms",
    )


def _sizes(cost: pd.DataFrame) -> list[go.Scatter]:
    """Bytes of the adapter, and of the datastore that online retrieval would need."""
    lines = cost[cost["metric"].isin(_SIZES)].drop_duplicates("metric")
    return [
        go.Scatter(
            x=[_SIZES[line["metric"]]],
            y=[float(line["value"])],
            name=style_of(line["method"]).label,
            mode="markers+text",
            marker={"color": style_of(line["method"]).colour, "size": 14},
            text=[size(float(line["value"]))],
            textposition="top center",
            cliponaxis=False,
            showlegend=False,
            hovertemplate="%{text}",
        )
        for line in lines.to_dict("records")
    ]


def _power(cost: pd.DataFrame) -> int:
    """Digits of the largest size."""
    largest = cost.loc[cost["metric"].isin(_SIZES), "value"].astype(float).max()
    return len(str(int(largest))) if largest > 0 else 6
