"""How figures look: one template, one colour and one name for each method.

kedro-viz has a light and a dark page and lays its own theme over a figure's first pair of axes.
So backgrounds are transparent, every colour has a contrast of at least 3 : 1 on both pages, and the
template copies kedro-viz's ticks and margins, lest the axes of one figure differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from plotly.subplots import make_subplots

TEMPLATE = "tsmemory"
GREY = "#8C8C8C"
TRUTH = "#3B82E6"
SECOND = "#00957A"  # a second quantity of the same method
TEXT = "#808080"
_FAINT = "rgba(128,128,128,0.22)"
_LINE = "rgba(128,128,128,0.5)"


@dataclass(frozen=True)
class MethodStyle:
    """How a method is drawn; the marker tells apart what colour-blind people may not.

    Attributes:
        label: Name for people.
        colour: Hexadecimal colour.
        symbol: Marker symbol of plotly.
    """

    label: str
    colour: str
    symbol: str


METHODS = {
    "last_value": MethodStyle("last value", "#B58A62", "triangle-up"),
    "seasonal_naive": MethodStyle("seasonal naive", "#A63FB5", "square"),
    "ridge": MethodStyle("ridge", "#3B82E6", "diamond"),
    "frozen": MethodStyle("frozen backbone", GREY, "diamond-open"),
    "online_knn": MethodStyle("online kNN", "#00957A", "cross"),
    "lora": MethodStyle("LoRA", "#7D6BE0", "pentagon"),
    "trace": MethodStyle("TRACE", "#C2557F", "hexagon"),
    "trace_tsmemory": MethodStyle("tsmemory on TRACE", "#C2557F", "hexagon-open"),
    "no_teacher": MethodStyle("tsmemory, no teacher", "#D55E00", "circle-open"),
    "paper": MethodStyle("tsmemory, paper profile", "#8A8A2E", "x"),
    "tsmemory": MethodStyle("tsmemory", "#D55E00", "circle"),
}


def style_of(method: str) -> MethodStyle:
    """Style of a method, grey for one that is not known."""
    return METHODS.get(method, MethodStyle(method.replace("_", " "), GREY, "asterisk-open"))


def in_order(methods: Sequence[str]) -> list[str]:
    """The methods in the order of every figure: unknown ones first, tsmemory last, on top."""
    known = list(METHODS)
    return sorted(methods, key=lambda name: known.index(name) if name in known else -1)


def literal(text: str) -> str:
    """A name as plotly should show it: plotly takes tags and links in any text for its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def tint(colour: str, alpha: float) -> str:
    """A hexadecimal colour made translucent."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def register_template() -> str:
    """Register the house template with plotly and return its name."""
    axis = {
        "automargin": True,
        "gridcolor": _FAINT,
        "linecolor": _LINE,
        "showline": True,
        "tickcolor": _LINE,
        "ticklen": 12,
        "ticks": "outside",
        "title": {"standoff": 12},
        "zeroline": False,
        "zerolinecolor": _LINE,
    }
    pio.templates[TEMPLATE] = go.layout.Template(
        layout={
            "autosize": True,
            "font": {"color": TEXT, "size": 12},
            "hoverlabel": {"align": "left"},
            "hovermode": "closest",
            "legend": {"x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top"},
            "margin": {"l": 72, "r": 40, "t": 64, "b": 72},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "title": {"font": {"size": 16}, "x": 0, "xanchor": "left", "xref": "paper"},
            "xaxis": axis,
            "yaxis": axis,
        }
    )
    return TEMPLATE


def new_figure(
    title: str,
    panels: Sequence[str] = ("",),
    *,
    stacked: bool = True,
    shares: Sequence[float] | None = None,
    spacing: float = 0.16,
) -> go.Figure:
    """An empty figure in the house style, in one column or one row.

    Stacked panels count from the bottom: kedro-viz forces labels upon the first horizontal axis, so
    that it has to be the one that should have them.

    Args:
        title: A few words.
        panels: Title of each panel, from the bottom or from the left.
        stacked: Whether panels lie on top of each other and share the horizontal axis.
        shares: Size of each panel, in the same order.
        spacing: Share of the figure between two panels.

    Returns:
        The figure.
    """
    figure = make_subplots(
        rows=len(panels) if stacked else 1,
        cols=1 if stacked else len(panels),
        start_cell="bottom-left",
        shared_xaxes=stacked,
        **{
            "row_heights" if stacked else "column_widths": shares,
            "vertical_spacing" if stacked else "horizontal_spacing": spacing,
        },
    )
    figure.update_layout(template=register_template(), title_text=title)
    for number, text in enumerate(panels, start=1):
        suffix = "" if number == 1 else str(number)
        figure.add_annotation(
            text=text,
            xref=f"x{suffix} domain",
            yref=f"y{suffix} domain",
            x=0,
            y=1,
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            font_size=13,
        )
    return figure


def axis_title(text: str) -> str:
    """Title of an axis, of one size for all: kedro-viz resizes only those of the first axes."""
    return f'<span style="font-size:13px">{text}</span>'


def line_trace(
    x: pd.Series,
    y: pd.Series,
    colour: str,
    name: str | None = None,
    width: float = 2,
    dash: str = "solid",
) -> go.Scatter:
    """A line with plain lists in it, so that it survives JSON unchanged."""
    return go.Scatter(
        x=x.tolist(),
        y=y.tolist(),
        name=name,
        mode="lines",
        line={"color": colour, "width": width, "dash": dash},
    )
