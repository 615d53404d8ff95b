"""Marks of plotly figures, drawn by matplotlib for print."""

import html
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#333333"
_DASHES: dict[str, Any] = {"dash": (0, (5, 2.5)), "dot": (0, (1.2, 1.8)), "dashdot": "-."}
_SYMBOLS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "cross": "P",
    "x": "X",
    "triangle-up": "^",
    "triangle-down": "v",
    "pentagon": "p",
    "hexagon": "h",
    "asterisk": "*",
}
_SCALE = 0.62  # points of print for each pixel of the screen
_BAR = 0.36  # width of a bar, two beside each other in a place of 1

Colour = tuple[float, float, float, float]


def read_colour(text: str | None) -> Colour:
    """A colour of plotly's as red, green, blue and opacity, each from 0 to 1."""
    from matplotlib.colors import to_rgba

    if text is not None and (found := re.fullmatch(r"rgba\((.*)\)", text)):
        red, green, blue, alpha = (float(part) for part in found[1].split(","))
        return red / 255, green / 255, blue / 255, alpha
    return to_rgba(text or INK)


def plain_text(text: str) -> str:
    """Text without plotly's tags, on as many lines."""
    return html.unescape(re.sub(r"<[^>]*>", "", text.replace("<br>", "\n")))


def draw_trace(axes: "Axes", trace: Any, below: Any, place: int) -> Any:
    """Draw one trace.

    Args:
        axes: Where to.
        trace: A ``Scatter``, ``Bar`` or ``Heatmap`` of plotly's.
        below: The trace before it, up to which an area is filled.
        place: How many bars of the same axes were drawn before.

    Returns:
        What stands for it in a legend; ``None`` for a heat map.
    """
    draw: Callable[..., Any] = {"bar": _bars, "heatmap": _cells}.get(trace.type, _line)
    return draw(axes, trace, below, place)


def _line(axes: "Axes", trace: Any, below: Any, _: int) -> Any:
    """Lines and markers, with error bars and the area down to the trace before."""
    x, y = (_numbers(values) for values in (trace.x, trace.y))
    if trace.fill == "tonexty":
        lower = _numbers(below.y)
        axes.fill_between(x, lower, y, color=read_colour(trace.fillcolor), linewidth=0)
    mode = trace.mode or "lines"
    colour = read_colour(trace.line.color if "lines" in mode else trace.marker.color)
    style: dict[str, Any] = {"color": colour, "alpha": trace.opacity}
    width = trace.line.width if trace.line.width is not None else 2
    style |= {"linewidth": _SCALE * width if "lines" in mode else 0}
    style |= {"linestyle": _DASHES.get(trace.line.dash, "-")}
    if trace.line.shape == "hv":
        style["drawstyle"] = "steps-post"
    if "markers" in mode:
        style |= _marker(trace, colour)
    for name in ("error_x", "error_y"):
        if trace[name].array is not None:
            _errors(axes, trace[name], x, y, name, colour)
    if "text" in mode:
        above: Any = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center"}
        for text, *at in zip(trace.text, x, y, strict=True):
            axes.annotate(text, (at[0], at[1]), fontsize=7, color=INK, **above)
    return axes.plot(x, y, **style)[0]


def _marker(trace: Any, colour: Colour) -> dict[str, Any]:
    """A marker; open ones have no filling."""
    symbol = trace.marker.symbol or "circle"
    return {
        "marker": _SYMBOLS.get(symbol.removesuffix("-open"), "o"),
        "markersize": _SCALE * (trace.marker.size or 6),
        "markerfacecolor": "none" if symbol.endswith("-open") else colour,
    }


def _errors(axes: "Axes", bars: Any, x: Any, y: Any, name: str, colour: Colour) -> None:
    """Error bars, none where there is no interval."""
    lengths = np.nan_to_num(np.array([_numbers(bars.arrayminus), _numbers(bars.array)]))
    axes.errorbar(
        x,
        y,
        xerr=lengths if name == "error_x" else None,
        yerr=lengths if name == "error_y" else None,
        fmt="none",
        ecolor=colour,
        elinewidth=_SCALE * (bars.thickness or 1.5),
    )


def _bars(axes: "Axes", trace: Any, _: Any, place: int) -> Any:
    """Bars beside those that were drawn before, each with its text."""
    at = np.arange(len(trace.x)) + (place - 0.5) * _BAR
    bars = axes.bar(at, _numbers(trace.y), _BAR, color=read_colour(trace.marker.color))
    axes.set_xticks(np.arange(len(trace.x)), [plain_text(text) for text in trace.x])
    axes.bar_label(bars, labels=list(trace.text or []), fontsize=7, padding=1.5)
    return bars


def _cells(axes: "Axes", trace: Any, *_: Any) -> None:
    """A heat map, its colours from the least to the most."""
    from matplotlib.colors import LinearSegmentedColormap

    values = np.array([_numbers(row) for row in trace.z])
    scale = [read_colour(colour) for _, colour in trace.colorscale]
    colours = LinearSegmentedColormap.from_list("house", scale)
    axes.pcolormesh(
        np.arange(values.shape[1] + 1) - 0.5,
        np.arange(values.shape[0] + 1) - 0.5,
        np.ma.masked_invalid(values),
        cmap=colours,
        vmin=trace.zmin,
        vmax=trace.zmax,
        edgecolors="white",
        linewidth=1.5,
    )


def _numbers(values: Any) -> Any:
    """Numbers, missing ones as NaN; names as they are."""
    values = list(values)
    if any(isinstance(value, str) for value in values):
        return [plain_text(value) for value in values]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
