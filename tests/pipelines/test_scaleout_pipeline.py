import pandas as pd
import pytest

from tsmemory.pipelines.scaleout import create_pipeline, nodes
from tsmemory.pipelines.scaleout.params import ScaleoutParams


def test_wiring():
    assert {node.short_name: node.outputs for node in create_pipeline().nodes} == {
        "measure_communication": ["communication"],
        "plot_communication": ["communication_plot"],
        "count_steps": ["step_model"],
        "plot_step_model": ["step_model_plot"],
    }


def test_defaults_are_those_of_the_model(defaults):
    assert ScaleoutParams(**defaults["scaleout"]) == ScaleoutParams()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"ranks": 5}, "take an even number"),
        ({"ranks": 2}, "scaleout.ranks = 2: "),
        ({"steps": 0}, "scaleout.steps = 0: "),
        ({"slow_link": "slow"}, "scaleout.slow_link = 'slow': "),
        ({"rank": 4}, "did you mean scaleout.ranks?"),
    ],
)
def test_nonsense_is_refused_once(refusal, params, said):
    assert refusal(scaleout=params).count(said) == 1


def test_what_is_counted_is_drawn_as_a_model():
    steps = nodes.count_steps(ScaleoutParams(model_ranks=(16, 1024), model_groups=(16,)))
    assert steps.set_index("ranks")["plain"].to_dict() == {16: 30, 1024: 2046}
    assert steps.set_index("ranks")["hierarchical"].to_dict() == {16: 60, 1024: 186}
    figure = nodes.plot_step_model(steps)
    assert "model" in figure.layout.title.text
    assert [list(trace.y) for trace in figure.data] == [[30, 2046], [60, 186]]


def test_what_is_measured_is_drawn(monkeypatch):
    asked = []
    found = pd.DataFrame({"link": ["loopback"], "way": ["plain DDP"], "steps_per_second": [3.0]})

    def compare(ranks, task, rate):
        asked.append((ranks, task.steps, rate))
        return found

    monkeypatch.setattr("tsmemory.scaleout.bench_communication.compare_ways", compare)
    measured = nodes.measure_communication(ScaleoutParams(ranks=6, steps=3, slow_link=None))
    assert asked == [(6, 3, None)]
    (bars,) = nodes.plot_communication(measured).data
    assert (list(bars.y), list(bars.x)) == (["plain DDP"], [3.0])
