import json

import pandas as pd
import plotly.graph_objects as go
import pytest

from tsmemory.evaluation.pareto_plot import draw_pareto

COLUMNS = ["mask", "sites", "parameters", "loss", "gain", "p_value", "chosen"]


def trials():
    rows = [
        ("all_on", 24, 2400, 0.80, False),
        ("all_off", 0, 0, 0.90, True),
        ("", 12, 1200, 0.75, True),
        ("", 12, 1200, 0.85, False),
        ("", 6, 600, 0.82, True),
        ("", 12, 1200, 0.75, True),
    ]
    table = pd.DataFrame(rows, columns=["mask", "sites", "parameters", "loss", "front"])
    return table.assign(number=range(len(rows)))


def confirmed():
    rows = [
        ("all_off", 0, 0, 0.6, 0.0, 0.01, False),
        ("", 6, 600, 0.55, 0.08, 0.4, True),
        ("", 12, 1200, 0.54, 0.1, 1.0, False),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_trials_lie_above_and_confirmed_masks_below():
    figure = draw_pareto(trials(), confirmed())
    found = {trace.name: trace for trace in figure.data}
    assert list(found["a mask to begin with"].x) == [2400, 0]
    assert list(found["a mask that was tried"].y) == [0.75, 0.85, 0.82, 0.75]
    front = found["Pareto front"]
    assert list(front.x) == [0, 600, 1200]
    assert list(front.y) == [0.9, 0.82, 0.75]
    assert front.yaxis == found["a mask to begin with"].yaxis == "y2"
    assert list(found["chosen"].x) == [600]
    assert list(found["trained anew, not chosen"].x) == [0, 1200]
    assert list(found["trained anew"].x) == [0, 600, 1200]
    assert found["chosen"].yaxis in (None, "y")


def test_masks_are_told_by_name_size_and_gain():
    found = {trace.name: trace for trace in draw_pareto(trials(), confirmed()).data}
    assert found["a mask to begin with"].text[0].startswith("all on: 24 sites, 2,400 weights")
    assert "8.00% below no LoRA" in found["chosen"].text[0]


def test_every_confirmed_mask_is_in_sight():
    low, high = draw_pareto(trials(), confirmed()).layout.yaxis.range
    assert low < 0.54
    assert high > 0.6


@pytest.mark.parametrize("tried", [trials(), trials().iloc[:0]])
@pytest.mark.parametrize("anew", [confirmed(), confirmed().iloc[:0]])
def test_it_survives_json_and_empty_tables(tried, anew):
    figure = draw_pareto(tried, anew)
    assert len(go.Figure(json.loads(figure.to_json())).data) == len(figure.data)
