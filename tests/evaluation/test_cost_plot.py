import json

import numpy as np
import pandas as pd
import plotly.io as pio
import pytest

from tsmemory.evaluation.cost_plot import draw_cost
from tsmemory.evaluation.report.formats import times


def cost(missing=""):
    """As it is made, or with what a CSV file makes of cells that are empty."""
    lines = []
    for batch, horizon, frozen, ours in ((1, 24, 4.0, 5.0), (256, 24, 0.5, 0.6)):
        lines.append(("frozen", horizon, batch, "latency_ms_per_window", frozen))
        lines.append(("tsmemory", horizon, batch, "latency_ms_per_window", ours))
        lines.append(("tsmemory", horizon, batch, "latency_ratio", ours / frozen))
    lines.append(("tsmemory", missing, missing, "artefact_bytes", 661_008.0))
    lines.append(("online_knn", missing, missing, "datastore_bytes_at_inference", 14_074_640.0))
    return pd.DataFrame(lines, columns=["method", "horizon", "batch", "metric", "value"])


@pytest.mark.parametrize("missing", ["", np.nan])
def test_bars_of_each_call_and_their_ratio(missing):
    figure = draw_cost(cost(missing))
    frozen, ours, *_ = figure.data
    assert frozen.x == ours.x == ("1<br>24 steps", "256<br>24 steps")
    assert frozen.y == (4, 0.5)
    assert ours.y == (5, 0.6)
    assert ours.text == (times(1.25), times(1.2))
    assert set(frozen.text) == {""}
    text = pio.to_json(figure)
    assert json.loads(pio.to_json(pio.from_json(text))) == json.loads(text)


def test_sizes_lie_within_the_axis():
    figure = draw_cost(cost())
    sizes = figure.data[2:]
    assert [(trace.y, trace.text) for trace in sizes] == [
        ((661_008.0,), ("661.0 kB",)),
        ((14_074_640.0,), ("14.1 MB",)),
    ]
    low, high = figure.layout.yaxis2.range
    assert low < np.log10(661_008) < np.log10(14_074_640) < high
    assert not any(trace.showlegend for trace in sizes)


def test_without_latencies():
    table = cost()
    figure = draw_cost(table[table["batch"] == ""])
    assert [len(trace.y) for trace in figure.data] == [0, 0, 1, 1]
