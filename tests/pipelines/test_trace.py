from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tsmemory.pipeline_registry import register_pipelines
from tsmemory.pipelines.trace import create_pipeline
from tsmemory.pipelines.trace.jobs import PeakMemory, training_windows
from tsmemory.pipelines.trace.params import ROWS, TraceParams
from tsmemory.pipelines.windowing.params import StrideParams, WindowingParams
from tsmemory.trace.arms import ARMS
from tsmemory.trace.config import TraceConfig


def test_wiring():
    pipeline = create_pipeline()
    assert {node.short_name: node.outputs for node in pipeline.nodes} == {
        "score_trace": ["trace_scores", "trace_backbone", "trace_importance", "trace_curve"],
        "tabulate_trace": ["trace_table", "trace_summary", "trace_skill", "trace_runs"],
        "plot_importance": ["importance_plot"],
        "write_trace": ["trace_report"],
    }


def test_it_runs_on_its_own_and_shares_the_steps_of_the_main_way():
    pipelines = register_pipelines()
    free = {n for n in pipelines["trace"].inputs() if not n.startswith("params:")}
    assert free == {"raw_table", "indexing_workspace", "backbone_answers", "trace_workspace"}
    shared = set(pipelines["trace"].nodes) - set(create_pipeline().nodes)
    assert shared < set(pipelines["__default__"].nodes)


def test_the_main_way_does_not_wait_for_it():
    made = create_pipeline().all_outputs()
    assert not made & register_pipelines()["__default__"].inputs()


def test_defaults_are_those_of_the_library_but_shorter(defaults):
    params = TraceParams(**defaults["trace"])
    assert params == TraceParams()
    library = TraceConfig()
    assert (params.head, params.lora, params.scoring) == (
        library.head,
        library.lora,
        library.scoring,
    )
    assert params.training.steps < library.training.steps
    assert params.training.lora_rate > library.training.lora_rate  # fewer steps, longer ones
    long = {name: getattr(library.training, name) for name in ("steps", "batch_size", "lora_rate")}
    assert replace(params.training, **long) == library.training


def test_benchmarks_train_as_long_as_the_library(configure):
    params = TraceParams(**configure(env="etth1")["parameters"]["trace"])
    assert params.config() == TraceConfig()
    assert params.train_stride == 8


def test_every_row_of_the_library_can_be_asked_for():
    rows = set(ARMS) - {"frozen", "tuned_mask"}
    assert set(TraceParams(rows=tuple(rows)).trained_rows()) == rows


def test_trace_is_always_there_and_comes_last():
    assert TraceParams(rows=("trace", "head")).trained_rows() == ("head", "trace")
    assert TraceParams(rows=()).trained_rows() == ("trace",)
    assert TraceParams().trained_rows() == ROWS


def test_the_command_lines_lists_are_read(configure):
    given = {"rows": "lora_qv full", "seeds": 7}
    params = TraceParams(**configure(trace=given)["parameters"]["trace"])
    assert params.rows == ("lora_qv", "full")
    assert params.seeds == (7,)


@pytest.mark.parametrize(("asked", "stride", "every"), [(8, 4, 2), (8, 7, 1), (8, 3, 3), (1, 5, 1)])
def test_training_windows_lie_as_far_apart_as_is_asked_for(asked, stride, every):
    index = pd.DataFrame({"split": "train", "row": 0, "start": np.arange(40), "limit": 400})
    windowing = WindowingParams(strides=StrideParams(train=stride))
    found = training_windows(index, windowing, asked)
    assert found.start.tolist() == list(range(0, 40, every))


def test_memory_is_watched_only_inside_the_block():
    with PeakMemory() as peak:
        held = bytearray(1 << 20)
    assert peak.bytes > len(held)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"rows": ["lora"]}, "trace.rows.0 = 'lora': "),
        ({"rows": ["full", "full"]}, "a value is named twice"),
        ({"seeds": []}, "trace.seeds = []: "),
        ({"train_stride": 0}, "trace.train_stride = 0: "),
        ({"head": {"kind": "dense"}}, "trace.head.kind = 'dense': "),
        ({"lora": {"rank": 0}}, "rank must be above 0"),
        ({"lora": {"ranks": 2}}, "did you mean trace.lora.rank?"),
        ({"selection": {"kept_share": 2.0}}, "kept_share must lie in"),
        ({"training": {"steps": 10}}, "training.steps (10) must be above"),
        ({"training": {"head_rates": 1}}, "did you mean trace.training.head_rate?"),
    ],
)
def test_nonsense_is_refused_once(refusal, params, said):
    assert refusal(trace=params).count(said) == 1
