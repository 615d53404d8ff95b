"""The figures of a run for print: the same lines as on the screen, as vectors on white."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from tsmemory.errors import UserError
from tsmemory.evaluation.print_traces import INK, draw_trace, plain_text, read_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 6.9, 3.1  # inches: two columns of a paper
_TALL = 5.2  # of three panels on top of each other
_LEFT, _BOTTOM, _TOP = 0.09, 0.14, 0.9  # of the panels, as shares of the figure
_LEGEND_ABOVE = 0.22  # inches above the panels
_MOST_BESIDE = 5  # entries of the legend in one row
_LINES = "#BBBBBB"
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 8,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class PrintedFigures:
    """Figures as PDF files.

    Attributes:
        files: Content by file name.
    """

    files: Mapping[str, bytes]

    def summary(self) -> dict[str, Any]:
        """Names and sizes in bytes, for the catalog's preview."""
        return {name: len(content) for name, content in self.files.items()}

    def save_pretrained(self, folder: Path) -> None:
        """Write the files."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "PrintedFigures":
        """Read the files."""
        return cls({path.name: path.read_bytes() for path in sorted(folder.glob("*.pdf"))})


def print_figures(figures: Mapping[str, go.Figure]) -> PrintedFigures:
    """Draw figures for print.

    Args:
        figures: Figures of this package by name.

    Returns:
        One PDF for each, the same bytes for the same figure.

    Raises:
        UserError: matplotlib is not installed.
    """
    return PrintedFigures({f"{name}.pdf": _pdf(figure) for name, figure in figures.items()})


def print_figure(figure: go.Figure) -> "Figure":
    """Draw one figure of this package with matplotlib.

    What is only for the screen is left out: the title, which print has in its caption, and buttons,
    of which the first one's choice is drawn.

    Args:
        figure: A figure of lines, markers, bars or cells.

    Returns:
        A matplotlib figure, which any caller may change or save in any format.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            'figures for print need matplotlib: pip install "tsmemory[print]"'
        ) from error

    layout = figure.layout
    stacked = len({tuple(axis.domain or (0, 1)) for axis in figure.select_yaxes()}) > 2
    with mpl.rc_context(_STYLE):
        drawn = Figure(figsize=(_WIDTH, _TALL if stacked else _HEIGHT))
        panels = _add_panels(drawn, figure)
        keys = _draw_traces(panels, figure)
        for shape in layout.shapes:
            _draw_shape(panels[shape.xref.removesuffix(" domain")], shape, keys)
        for annotation in layout.annotations:
            name = annotation.xref.removesuffix(" domain")
            panels[name].set_title(plain_text(annotation.text), loc="left", fontsize=8, pad=4)
        if keys:
            above = _TOP + _LEGEND_ABOVE / drawn.get_figheight()
            drawn.legend(
                keys.values(),
                keys.keys(),
                title=plain_text(layout.legend.title.text or ""),
                loc="lower left",
                bbox_to_anchor=(_LEFT, above),
                ncols=min(len(keys), _MOST_BESIDE),
                frameon=False,
                fontsize=7.5,
                title_fontsize=7.5,
                alignment="left",
            )
    return drawn


def _pdf(figure: go.Figure) -> bytes:
    """One figure as a PDF without a date, so that equal figures are equal files."""
    import matplotlib as mpl

    drawn = print_figure(figure)
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        drawn.savefig(buffer, format="pdf", bbox_inches="tight", metadata={"CreationDate": None})
    return buffer.getvalue()


def _add_panels(drawn: "Figure", figure: go.Figure) -> dict[str, "Axes"]:
    """A pair of axes for each panel, by the name of its horizontal axis."""
    left, bottom, width, height = _LEFT, _BOTTOM, 1 - _LEFT - 0.02, _TOP - _BOTTOM
    panels: dict[str, Axes] = {}
    for number in range(1, 1 + len(list(figure.select_xaxes()))):
        suffix = "" if number == 1 else str(number)
        horizontal = figure.layout[f"xaxis{suffix}"]
        vertical = figure.layout[f"yaxis{suffix}"]
        (x0, x1), (y0, y1) = (axis.domain or (0, 1) for axis in (horizontal, vertical))
        place = (left + x0 * width, bottom + y0 * height, (x1 - x0) * width, (y1 - y0) * height)
        axes = drawn.add_axes(place, sharex=panels.get(horizontal.matches))
        axes.spines[["top", "right"]].set_visible(False)
        for spine in axes.spines.values():
            spine.set_color(_LINES)
        axes.tick_params(color=_LINES, labelcolor=INK, length=3)
        axes.grid(color="#E8E8E8", linewidth=0.5)
        axes.set_axisbelow(True)
        if vertical.categoryarray is not None:
            names: Any = axes.yaxis
            names.update_units(list(vertical.categoryarray))  # in this order
        panels[f"x{suffix}"] = axes
    return panels


def _draw_traces(panels: Mapping[str, "Axes"], figure: go.Figure) -> dict[str, Any]:
    """Draw all visible traces and set the axes; return what the legend shows, by name."""
    keys: dict[str, Any] = {}
    bars = dict.fromkeys(panels, 0)
    below = None
    ranked = []
    for trace in figure.data:
        if trace.visible is False:
            continue
        name = getattr(trace, "xaxis", None) or "x"
        key = draw_trace(panels[name], trace, below, bars[name])
        bars[name] += trace.type == "bar"
        below = trace
        if trace.name and trace.showlegend is not False and key is not None:
            ranked.append((trace.legendrank or 1000, trace.name, key))
    for _, label, key in sorted(ranked, key=lambda part: part[0]):
        keys.setdefault(label, key)
    for name, axes in panels.items():
        suffix = name.removeprefix("x")
        _set_axis(axes, figure.layout[f"xaxis{suffix}"], "x")
        _set_axis(axes, figure.layout[f"yaxis{suffix}"], "y")
    return keys


def _set_axis(axes: "Axes", axis: Any, which: str) -> None:
    """Title, range, ticks and scale of one axis, as on the screen."""
    from matplotlib.ticker import MultipleLocator, NullLocator, PercentFormatter

    side = getattr(axes, f"{which}axis")
    if axis.type == "log":
        getattr(axes, f"set_{which}scale")("log")
    if axis.tickvals is not None:
        side.set_ticks(list(axis.tickvals), [plain_text(text) for text in axis.ticktext])
        side.set_minor_locator(NullLocator())
    elif axis.dtick is not None:
        side.set_major_locator(MultipleLocator(axis.dtick))
    if axis.range is not None:
        low, high = (10**end if axis.type == "log" else end for end in axis.range)
        getattr(axes, f"set_{which}lim")(low, high)
    if axis.tickformat:
        side.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if axis.showticklabels is False:
        side.set_tick_params(**{"labelbottom" if which == "x" else "labelleft": False})
    side.set_label_text(plain_text(axis.title.text or ""), color=INK)
    if axis.showgrid is False:
        side.grid(visible=False)
    if axis.zeroline:
        line = axes.axhline if which == "y" else axes.axvline
        line(0, color=_LINES, linewidth=1, zorder=0.5)


def _draw_shape(axes: "Axes", shape: Any, keys: dict[str, Any]) -> None:
    """A shaded stretch, or a vertical line."""
    if shape.type == "rect":
        colour = read_colour(shape.fillcolor)
        patch = axes.axvspan(shape.x0, shape.x1, color=colour, linewidth=0, zorder=0)
        if shape.showlegend:
            keys[shape.name] = patch
    else:
        axes.axvline(shape.x0, color=read_colour(shape.line.color), linewidth=0.8, linestyle=":")
