import json

import pandas as pd
import plotly.io as pio

from tsmemory.evaluation.scaleout_plots import draw_communication, draw_step_model
from tsmemory.scaleout.step_model import step_table


def test_the_model_says_that_it_is_one_and_reaches_2048_ranks():
    figure = draw_step_model(step_table())
    assert "model, not a measurement" in figure.layout.title.text
    ring, *groups = figure.data
    assert (ring.x[-1], ring.y[-1]) == (2048, 2 * 2047)
    assert len(groups) == 4
    sixteen = next(trace for trace in groups if "groups of 16" in trace.name)
    assert dict(zip(sixteen.x, sixteen.y, strict=True))[1024] == 186  # as the source has it


def test_every_link_has_a_bar_for_each_way():
    lines = [
        {"link": link, "way": way, "steps_per_second": speed}
        for link, way, speed in [
            ("none", "one process", 4.0),
            ("loopback", "plain DDP", 5.0),
            ("loopback", "fp16", 4.5),
            ("100mbit", "plain DDP", 1.0),
            ("100mbit", "fp16", 2.0),
        ]
    ]
    figure = draw_communication(pd.DataFrame(lines))
    bars = {bar.name: dict(zip(bar.y, bar.x, strict=True)) for bar in figure.data}
    assert bars == {
        "loopback": {"plain DDP": 5.0, "fp16": 4.5},
        "100mbit": {"plain DDP": 1.0, "fp16": 2.0},
    }
    assert pio.from_json(json.dumps(json.loads(figure.to_json()))) == figure
