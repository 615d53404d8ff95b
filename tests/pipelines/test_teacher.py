import pytest

from tsmemory.pipelines.teacher import create_pipeline
from tsmemory.pipelines.teacher.params import TeacherParams


def test_wiring():
    pipeline = create_pipeline()
    assert {node.name: node.outputs for node in pipeline.nodes} == {
        "search_neighbours": ["neighbours"],
        "diagnose_teacher": ["teacher_diagnosis"],
    }
    # Of the three splits it is given the training windows alone.
    assert pipeline.inputs() == {
        "datastore",
        "train_forecasts",
        "series_set",
        "window_index",
        "teacher_workspace",
        "params:windowing",
        "params:teacher",
        "params:seed",
    }


def test_defaults_are_those_of_the_model(defaults):
    assert TeacherParams(**defaults["teacher"]) == TeacherParams()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"k": 0}, "teacher.k = 0: "),
        ({"k": 2.5}, "teacher.k = 2.5: "),
        ({"k": 3}, "teacher: k_min (5) must not exceed k (3)"),
        ({"temperature": 0}, "teacher.temperature = 0: "),
        ({"temperature": float("inf")}, "teacher.temperature = inf: "),
        ({"embargo": "none"}, "teacher.embargo = 'none': "),
        ({"shift_length": 0}, "teacher.shift_length = 0: "),
        ({"quantile_method": "linear"}, "teacher.quantile_method = 'linear': "),
        ({"tau": 0.1}, "teacher.tau: unknown parameter"),
    ],
)
def test_nonsense_is_refused(refusal, params, said):
    assert said in refusal(teacher=params)


@pytest.mark.parametrize("seed", [-1, "many", 0.5, None])
def test_a_seed_is_a_whole_number(refusal, seed):
    assert f"seed = {seed!r}: " in refusal(seed=seed)
