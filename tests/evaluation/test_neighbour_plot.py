import json

import numpy as np
import pandas as pd
import plotly.io as pio
import pytest

from tsmemory.evaluation.house_style import TEMPLATE
from tsmemory.evaluation.neighbour_plot import draw_neighbours
from tsmemory.evaluation.retrieved import COLUMNS

KINDS = ("most trusted", "median", "least trusted")


def examples(kinds=KINDS, weights=(0.6, 0.3, 0.1), skill=0.25):
    lines = []
    for kind in kinds:
        for step in range(-3, 2):
            lines.append((kind, step, "truth", None, None, None, None, 10.0 + step))
            for rank, weight in enumerate(weights, start=1):
                stored = f"shop <b>{rank}</b>"
                lines.append((kind, step, "neighbour", rank, weight, stored, None, rank + step / 7))
        for step in (0, 1):
            for level in (0.1, 0.5, 0.9):
                lines.append((kind, step, "teacher", None, None, None, level, 12 + 10 * level))
            lines.append((kind, step, "frozen", None, None, None, 0.5, 11.0))
    columns = ["kind", "step", "source", "rank", "weight", "stored", "level", "value"]
    table = pd.DataFrame(lines, columns=columns).assign(confidence=0.5, skill=skill)
    return table.assign(label="a & b")[list(COLUMNS)]


def named(figure, name, yaxis="y"):
    return [trace for trace in figure.data if (trace.name, trace.yaxis) == (name, yaxis)]


def test_a_panel_for_each_query_the_most_trusted_on_top():
    figure = draw_neighbours(examples())
    assert [note.text for note in figure.layout.annotations] == [
        f"{kind}: a &amp; b, confidence 0.50, skill 25.0%" for kind in KINDS[::-1]
    ]
    assert figure.layout.template.layout == pio.templates[TEMPLATE].layout
    text = pio.to_json(figure)
    assert json.loads(pio.to_json(pio.from_json(text))) == json.loads(text)


def test_heavier_neighbours_are_stronger_and_on_top():
    lines = named(draw_neighbours(examples()), "neighbours")
    opacity = [float(line.line.color.rstrip(")").split(",")[-1]) for line in lines]
    assert opacity == sorted(opacity)
    assert opacity[-1] == pytest.approx(0.85)
    assert "weight 60.0%" in lines[-1].hovertemplate
    assert "shop &lt;b&gt;1&lt;/b&gt;" in lines[-1].hovertemplate
    assert lines[-1].x == (-2, -1, 0, 1, 2)
    assert lines[-1].y == pytest.approx((0.57143, 0.71429, 0.85714, 1, 1.1429), rel=1e-9)


def test_the_teacher_is_a_band_and_a_median():
    figure = draw_neighbours(examples())
    lower, upper, median = (t for t in figure.data if t.legendgroup == "teacher" and t.yaxis == "y")
    assert (lower.y, upper.y, median.y) == ((13, 13), (21, 21), (17, 17))
    assert upper.fill == "tonexty"
    assert named(figure, "frozen backbone, median")[0].y == (11, 11)
    assert named(figure, "truth")[0].y == (7, 8, 9, 10, 11)


def test_each_kind_of_line_is_named_once():
    shown = [trace.name for trace in draw_neighbours(examples()).data if trace.showlegend]
    assert sorted(shown) == [
        "frozen backbone, median",
        "neighbours",
        "teacher, 10 to 90 % band",
        "truth",
    ]


def test_what_is_not_known_is_not_said():
    figure = draw_neighbours(examples(kinds=("median",), weights=(0.0,), skill=np.nan))
    assert figure.layout.annotations[0].text == "median: a &amp; b, confidence 0.50"
    empty = draw_neighbours(examples().iloc[:0])
    assert [note.text for note in empty.layout.annotations] == ["no query has a neighbour"]
    assert not empty.data
