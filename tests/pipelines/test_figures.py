import plotly.graph_objects as go
import pytest

from tsmemory.pipeline_registry import register_pipelines
from tsmemory.pipelines.figures import create_pipeline
from tsmemory.pipelines.figures.nodes import print_figures


def test_wiring():
    pipeline = create_pipeline()
    assert {node.short_name: node.outputs for node in pipeline.nodes} == {
        "print_figures": ["printed_figures"]
    }
    plots = {
        name for name in register_pipelines()["__default__"].all_outputs() if name.endswith("_plot")
    }
    assert pipeline.inputs() == plots


def test_each_figure_becomes_a_file():
    pytest.importorskip("matplotlib")
    figures = [go.Figure(go.Scatter(x=[1, 2], y=[1, 2])) for _ in range(7)]
    assert sorted(print_figures(*figures).files) == [
        "calibration.pdf",
        "cost.pdf",
        "forecasts.pdf",
        "fusion.pdf",
        "loss.pdf",
        "neighbours.pdf",
        "skill.pdf",
    ]
