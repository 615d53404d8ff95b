import pytest

from tsmemory.pipelines.teacher import create_pipeline
from tsmemory.pipelines.teacher.configured import search_settings
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.teacher.rerank import Rerank


def test_wiring():
    pipeline = create_pipeline()
    assert {node.short_name: node.outputs for node in pipeline.nodes} == {
        "search_neighbours": ["neighbours"],
        "calibrate_teacher": ["teacher_calibration"],
        "diagnose_teacher": ["teacher_diagnosis", "teacher_diagnosis_table"],
        "collect_neighbours": ["neighbour_examples"],
        "plot_neighbours": ["neighbour_plot"],
    }
    assert pipeline.inputs() == {
        "datastore",
        "train_forecasts",
        "validation_forecasts",
        "series_set",
        "window_index",
        "teacher_workspace",
        "params:windowing",
        "params:teacher",
        "params:shards",
        "params:distillation.objective.margin",
        "params:distillation.objective.confidence_threshold",
        "params:seed",
    }


def test_the_teacher_is_given_the_training_windows_alone():
    made = create_pipeline().only_nodes("teacher.search_neighbours", "teacher.calibrate_teacher")
    assert {name for name in made.inputs() if name.endswith("forecasts")} == {"train_forecasts"}


def test_defaults_are_those_of_the_model(defaults):
    assert TeacherParams(**defaults["teacher"]) == TeacherParams()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"k": 0}, "teacher.k = 0: "),
        ({"k": 2.5}, "teacher.k = 2.5: "),
        ({"k": 3}, "teacher: k_min (5) must not exceed k (3)"),
        ({"rerank_pool": -1}, "teacher.rerank_pool = -1: "),
        ({"rerank_pool": 19}, "teacher: k (20) must not exceed rerank_pool (19); 0 is no"),
        ({"temperature": 0}, "teacher.temperature = 0: "),
        ({"temperature": float("inf")}, "teacher.temperature = inf: "),
        ({"embargo": "none"}, "teacher.embargo = 'none': "),
        ({"shift_length": 0}, "teacher.shift_length = 0: "),
        ({"alignment": "scale"}, "teacher.alignment = 'scale': "),
        ({"quantile_method": "linear"}, "teacher.quantile_method = 'linear': "),
        ({"confidence": "weight"}, "teacher.confidence = 'weight': "),
        ({"calibration": {"enabled": "perhaps"}}, "teacher.calibration.enabled = 'perhaps': "),
        ({"calibration": {"block": 0}}, "teacher.calibration.block = 0: "),
        ({"calibration": {"folds": 1}}, "teacher.calibration.folds = 1: "),
        ({"calibration": {"queries": 0}}, "teacher.calibration.queries = 0: "),
        ({"calibration": {"fold": 3}}, "did you mean teacher.calibration.folds?"),
        ({"tau": 0.1}, "teacher.tau: unknown parameter"),
    ],
)
def test_nonsense_is_refused(refusal, params, said):
    assert said in refusal(teacher=params)


@pytest.mark.parametrize("seed", [-1, "many", 0.5, None])
def test_a_seed_is_a_whole_number(refusal, seed):
    assert f"seed = {seed!r}: " in refusal(seed=seed)


def test_a_pool_is_re_ranked_as_futures_are_aligned():
    assert search_settings(TeacherParams())["rerank"] is None
    params = TeacherParams(rerank_pool=50, shift_length=9, alignment="affine")
    assert search_settings(params)["rerank"] == Rerank(50, 9, "affine")
