import json

import pandas as pd
import plotly.io as pio
import pytest

from tsmemory.evaluation.house_style import TEMPLATE
from tsmemory.evaluation.pretraining_plots import draw_pretraining, plot_curves


def curve(factor=1.0, *, checks=("etth1", "tmy_weather")):
    points = []
    for number in range(1, 4):
        loss = factor / number
        points.append(
            {
                "step": 500 * number,
                "samples": 128_000 * number,
                "seconds": 3600.0 * number,
                "train_loss": loss,
                "held_out_2048": loss + 0.1,
                "held_out_512": loss + 0.3,
                **{f"{check}_mae": loss + 0.5 for check in checks},
                **{f"{check}_mse": loss + 0.7 for check in checks},
            }
        )
    return pd.DataFrame(points)


def scores():
    lines = [
        {"check": "etth1", "method": "pretrained", "mae": 0.4, "mse": 0.41},
        {"check": "etth1", "method": "seasonal_naive", "mae": 0.43, "mse": 0.51},
    ]
    return pd.DataFrame(lines)


def by_name(figure):
    return {trace.name: trace for trace in figure.data}


def test_a_run_shows_losses_below_and_checks_above():
    figure = draw_pretraining(curve(), scores())
    traces = by_name(figure)
    assert list(traces["training"].y) == pytest.approx([1, 1 / 2, 1 / 3])
    assert list(traces["held out, context 512"].y) == pytest.approx([1.3, 0.8, 1 / 3 + 0.3])
    assert list(traces["etth1"].y) == pytest.approx([1.5, 1.0, 1 / 3 + 0.5])
    assert list(traces["etth1"].x) == [500, 1000, 1500]
    assert traces["training"].yaxis == traces["held out, context 2048"].yaxis != "y2"
    assert traces["etth1"].yaxis == traces["tmy_weather"].yaxis == "y2"
    naive = traces["etth1, seasonal naive"]
    assert list(naive.y) == [0.43, 0.43]
    assert naive.line.dash == "dot"
    assert naive.line.color == traces["etth1"].line.color != traces["tmy_weather"].line.color
    assert "tmy_weather, seasonal naive" not in traces


def test_another_metric_and_no_scores():
    traces = by_name(draw_pretraining(curve(), metric="mse"))
    assert list(traces["etth1"].y) == pytest.approx([1.7, 1.2, 1 / 3 + 0.7])
    assert not [name for name in traces if "naive" in name]


@pytest.mark.parametrize(("axis", "first"), [("step", 500), ("samples", 128_000), ("seconds", 1.0)])
def test_runs_stand_beside_each_other(axis, first):
    runs = {"small": curve(), "large": curve(0.5, checks=("tmy_weather",))}
    figure = plot_curves(runs, x=axis)
    traces = by_name(figure)
    assert traces["small"].x[0] == first
    assert list(traces["large"].y) == pytest.approx([0.7, 0.45, 0.5 / 3 + 0.2])
    assert traces["small"].line.color != traces["large"].line.color
    checked = traces["small, tmy_weather"]
    assert checked.line.color == traces["small"].line.color
    assert checked.line.dash == traces["large, tmy_weather"].line.dash == "dash"
    assert traces["small, etth1"].line.dash == "solid"
    assert "large, etth1" not in traces
    shown = {trace.name for trace in figure.data if trace.showlegend is not False}
    assert shown == {"small", "large", "etth1", "tmy_weather"}


@pytest.mark.parametrize(
    "figure", [draw_pretraining(curve(), scores()), plot_curves({"one": curve()})]
)
def test_figures_are_in_the_house_style_and_survive_json(figure):
    assert figure.layout.template == pio.templates[TEMPLATE]
    again = pio.from_json(figure.to_json())
    assert json.loads(again.to_json()) == json.loads(figure.to_json())
    assert figure.layout.title.text
