import sys

import numpy as np
import plotly.graph_objects as go
import pytest

from tsmemory.errors import UserError
from tsmemory.evaluation.house_style import METHODS, new_figure
from tsmemory.evaluation.print_figures import PrintedFigures, print_figure, print_figures
from tsmemory.evaluation.print_traces import plain_text, read_colour

matplotlib = pytest.importorskip("matplotlib")

ACCENT = METHODS["tsmemory"].colour


def two_panels():
    """Steps with a shaded stretch below, points with intervals above."""
    figure = new_figure("Title", ("below", "above &lt;x&gt;"))
    steps = {"mode": "lines", "line": {"color": "rgba(213,94,0,0.5)", "shape": "hv", "dash": "dot"}}
    figure.add_trace(go.Scatter(x=[0, 4, 8], y=[1, 3, 3], name="steps", **steps), row=1, col=1)
    marker = {"color": ACCENT, "symbol": "diamond-open", "size": 10}
    errors = {"array": [0.5, np.nan], "arrayminus": [1.0, np.nan]}
    points = go.Scatter(x=[0, 8], y=[2, None], mode="markers", marker=marker, name="points")
    figure.add_trace(points.update(error_y=errors), row=2, col=1)
    hidden = go.Scatter(x=[0], y=[100], visible=False, name="hidden")
    figure.add_trace(hidden, row=2, col=1)
    closed = {"name": "closed", "showlegend": True, "fillcolor": "rgba(140,140,140,0.25)"}
    figure.add_vrect(x0=4, x1=8, layer="below", line_width=0, **closed, row=1, col=1)
    figure.add_vline(x=0.5, line={"color": "#8C8C8C", "dash": "dot"}, row=2, col=1)
    figure.update_xaxes(range=[0, 8], dtick=4)
    figure.update_xaxes(title_text='<span style="font-size:13px">steps</span>', row=1)
    figure.update_yaxes(tickvals=[1, 3], ticktext=["one", "three"], row=1)
    return figure


def test_lines_markers_and_axes_are_those_of_the_screen():
    drawn = print_figure(two_panels())
    below, above = drawn.axes
    assert (below.get_title(loc="left"), above.get_title(loc="left")) == ("below", "above <x>")
    assert below.get_position().y1 < above.get_position().y0
    assert below.get_xlabel() == "steps"
    assert below.get_xlim() == above.get_xlim() == (0, 8)
    assert {0, 4, 8} == {tick for tick in below.get_xticks() if 0 <= tick <= 8}
    assert [label.get_text() for label in below.get_yticklabels()] == ["one", "three"]
    (steps,) = below.lines
    assert steps.get_ydata().tolist() == [1, 3, 3]
    assert steps.get_drawstyle() == "steps-post"
    assert steps.get_color() == pytest.approx((213 / 255, 94 / 255, 0, 0.5))
    points = next(line for line in above.lines if line.get_marker() == "D")
    assert points.get_ydata() == pytest.approx([2, np.nan], nan_ok=True)
    assert points.get_markerfacecolor() == "none"
    (bars,) = above.collections
    assert bars.get_segments()[0].tolist() == [[0, 1], [0, 2.5]]
    assert above.get_ylim()[1] < 100


def test_the_legend_names_what_the_screen_names():
    (legend,) = print_figure(two_panels()).legends
    assert [text.get_text() for text in legend.get_texts()] == ["steps", "points", "closed"]


def test_areas_bars_and_cells():
    figure = new_figure("", ("area", "bars", "cells"), stacked=False)
    edges = [go.Scatter(x=[1, 2], y=y, line={"color": ACCENT}) for y in ([0, 1], [2, 3])]
    edges[1].update(fill="tonexty", fillcolor="rgba(0,149,122,0.2)")
    figure.add_traces(edges, rows=[1, 1], cols=[1, 1])
    for y, text in (([3, 1], None), ([4, 2], ["x 1.33", "x 2.00"])):
        bar = go.Bar(x=["a<br>b", "c"], y=y, text=text, marker={"color": ACCENT})
        figure.add_trace(bar, row=1, col=2)
    scale = [[0, "rgba(194,85,127,0.06)"], [1, "rgba(194,85,127,0.95)"]]
    cells = go.Heatmap(z=[[0.5, None], [1, 0]], zmin=0, zmax=1, colorscale=scale)
    figure.add_trace(cells, row=1, col=3)
    area, bars, heat = print_figure(figure).axes
    box = area.collections[0].get_paths()[0].get_extents()
    assert (box.x0, box.x1, box.y0, box.y1) == (1, 2, 0, 3)
    assert [patch.get_height() for patch in bars.patches] == [3, 1, 4, 2]
    assert bars.patches[0].get_x() < bars.patches[2].get_x() < bars.patches[1].get_x()
    assert [label.get_text() for label in bars.get_xticklabels()] == ["a\nb", "c"]
    assert {"x 1.33", "x 2.00"} <= {text.get_text() for text in bars.texts}
    (mesh,) = heat.collections
    np.testing.assert_array_equal(mesh.get_array().mask, [[False, True], [False, False]])
    assert mesh.get_array()[1, 0] == 1


def test_named_rows_keep_their_order_and_logarithms_their_ends():
    figure = new_figure("", ("names", "sizes"), stacked=False)
    names = ["low", "middle", "high"]
    shown = {"mode": "markers", "marker": {"color": ACCENT}}
    figure.add_trace(go.Scatter(x=[3, 1], y=["high", "low"], **shown), row=1, col=1)
    text = {"mode": "markers+text", "text": ["10 kB"], "marker": {"color": ACCENT}}
    figure.add_trace(go.Scatter(x=["a"], y=[1e4], **text), row=1, col=2)
    figure.update_yaxes(type="category", categoryarray=names, col=1)
    figure.update_yaxes(tickvals=names, ticktext=names, col=1)
    figure.update_yaxes(type="log", range=[3, 6], col=2)
    left, right = print_figure(figure).axes
    assert [label.get_text() for label in left.get_yticklabels()] == names
    assert list(left.convert_yunits(["low", "high"])) == [0, 2]
    assert right.get_yscale() == "log"
    assert right.get_ylim() == (1e3, 1e6)
    assert "10 kB" in {note.get_text() for note in right.texts}


def test_equal_figures_are_equal_files_that_can_be_kept(tmp_path):
    figures = {"one": two_panels(), "two": two_panels()}
    printed = print_figures(figures)
    assert printed == print_figures(figures)
    assert printed.files["one.pdf"].startswith(b"%PDF-")
    printed.save_pretrained(tmp_path)
    assert PrintedFigures.from_pretrained(tmp_path) == printed
    assert printed.summary() == {name: len(printed.files[name]) for name in ("one.pdf", "two.pdf")}


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r'pip install "tsmemory\[print\]"'):
        print_figure(two_panels())


def test_tags_and_colours_of_the_screen_are_read():
    assert plain_text("a<br><b>b</b> &amp; c") == "a\nb & c"
    assert read_colour("rgba(255,0,51,0.5)") == pytest.approx((1, 0, 0.2, 0.5))
    assert read_colour("#00FF00") == pytest.approx((0, 1, 0, 1))
