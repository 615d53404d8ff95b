import json
from dataclasses import replace

import pytest

from tsmemory.pipeline_registry import register_pipelines
from tsmemory.pipelines.benchmark.rows import Settings
from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.indexing.params import BackboneParams
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.trace.params import TraceParams
from tsmemory.pipelines.tuning import create_pipeline
from tsmemory.pipelines.tuning.params import TuningParams
from tsmemory.pipelines.tuning.rows import merged, overridden
from tsmemory.pipelines.tuning.use import refuse_other_profiles, refuse_tuned, tied_to, use_tuned
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.runs.errors import ParameterError
from tsmemory.runs.parameters import check_parameters, essence
from tsmemory.tuning.config import GatesConfig, MasksConfig

OVERRIDES = {
    "teacher": {"k": 50},
    "indexing": {"key_kind": "tail"},
    "distillation": {"objective": {"align": 2.0}, "fusion": {"gate": {"min_spread": 0.1}}},
}


@pytest.fixture
def write(tmp_path, configure):
    """Leave a version of what was tuned in a project's folder."""

    def leave(dataset, overrides, version="2026-01-01T00.00.00.000Z", **changes):
        parameters = configure()["parameters"]
        tied = tied_to(
            WindowingParams(**parameters["windowing"]), BackboneParams(**parameters["backbone"])
        )
        tuned = {"study": "abcd", "says": "trial 3 is taken", "overrides": overrides}
        folder = tmp_path / "data/06_models/tmy_weather" / f"{dataset}.json" / version
        folder.mkdir(parents=True)
        text = json.dumps({**tuned, "tied_to": tied, **changes})
        (folder / f"{dataset}.json").write_text(text)

    return leave


def test_wiring():
    pipeline = create_pipeline()
    assert {node.short_name: len(node.outputs) for node in pipeline.nodes} == {
        "search_gates": 4,
        "search_masks": 4,
        "score_tuned": 1,
        "tabulate_overtuning": 1,
        "plot_gates": 3,
        "plot_masks": 1,
        "write_tuning": 2,
    }


def test_it_runs_on_its_own_and_shares_the_steps_of_the_main_way():
    pipelines = register_pipelines()
    free = {n for n in pipelines["tuning"].inputs() if not n.startswith("params:")}
    assert free == {
        *("raw_table", "backbone_answers", "indexing_workspace"),
        *("teacher_workspace", "studies", "gates_workspace", "masks_workspace"),
        "tuned_workspace",
    }
    shared = set(pipelines["tuning"].nodes) - set(create_pipeline().nodes)
    assert shared < set(pipelines["__default__"].nodes)


def test_nothing_but_the_comparison_in_the_end_reads_the_test_split():
    pipeline = create_pipeline()
    readers = {node.short_name for node in pipeline.nodes if "test_forecasts" in node.inputs}
    assert readers == {"score_tuned"}
    after = pipeline.from_nodes("tuning.score_tuned").nodes
    assert not {"search_gates", "search_masks"} & {node.name for node in after}


def test_defaults_are_those_of_the_library_but_shorter(defaults):
    params, gates, masks = TuningParams(**defaults["tuning"]), GatesConfig(), MasksConfig()
    assert params == TuningParams()
    assert replace(params.gates, trials=gates.trials, promoted=gates.promoted) == gates
    sizes = ("steps", "confirmed", "retrain_steps")
    whole = replace(params.masks.study, **{n: getattr(masks.study, n) for n in sizes})
    assert replace(params.masks, trials=masks.trials, study=whole) == masks
    assert params.gates.trials < gates.trials
    assert params.masks.trials < masks.trials


def test_benchmarks_try_as_much_as_the_library(configure):
    params = TuningParams(**configure(env="etth1")["parameters"]["tuning"])
    assert (params.gates, params.masks) == (GatesConfig(), MasksConfig())


def test_workers_change_no_result():
    one, two = (TuningParams(gates={"workers": n}, masks={"workers": n}) for n in (1, 2))
    assert essence(one) == essence(two)
    assert essence(one) != essence(TuningParams(gates={"trials": 61}))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"gates": {"trials": 0}}, "trials must be at least 1"),
        ({"gates": {"metric": "wql"}}, "tuning.gates.metric = 'wql': "),
        ({"gates": {"timeout_minutes": 0}}, "timeout_minutes must be above 0"),
        ({"gates": {"trails": 3}}, "did you mean tuning.gates.trials?"),
        ({"masks": {"trials": -1}}, "trials must not be negative"),
        ({"masks": {"study": {"steps": 0}}}, "steps must be at least 1"),
        ({"seeds": [1, 1]}, "a seed is named twice"),
    ],
)
def test_nonsense_is_refused_once(refusal, params, said):
    assert refusal(tuning=params).count(said) == 1


def test_tuned_parameters_take_the_place_of_configured_ones(write, configure, tmp_path):
    write("tuned_gates", OVERRIDES)
    loader = configure(distillation={"use_tuned": True})
    assert use_tuned(loader, tmp_path)
    found = loader["parameters"]
    assert found["teacher"]["k"] == 50
    assert found["teacher"]["temperature"] == 0.12
    assert found["indexing"]["key_kind"] == "tail"
    params = DistillationParams(**found["distillation"])
    assert (params.objective.align, params.fusion.gate.min_spread) == (2.0, 0.1)
    assert params.tuned_by == "abcd"
    check_parameters(loader, register_pipelines())


def test_the_command_line_wins(write, configure, tmp_path):
    write("tuned_gates", OVERRIDES)
    loader = configure(
        distillation={"use_tuned": True, "objective": {"align": 3.0}}, teacher={"k": 7}
    )
    use_tuned(loader, tmp_path)
    found = loader["parameters"]
    assert (found["teacher"]["k"], found["distillation"]["objective"]["align"]) == (7, 3.0)
    assert found["distillation"]["fusion"]["gate"]["min_spread"] == 0.1


def test_nothing_changes_unless_asked(write, configure, tmp_path):
    write("tuned_gates", OVERRIDES)
    loader = configure(teacher={"k": 7})
    before = loader["parameters"]
    assert not use_tuned(loader, tmp_path)
    assert loader["parameters"] == before


def test_the_latest_version_that_fits_is_taken(write, configure, tmp_path):
    tied = {"windowing.context_length": 512, "windowing.horizons": [720]}
    write("tuned_gates", {"teacher": {"k": 30}}, "2026-01-01T00.00.00.000Z", study="old")
    write("tuned_gates", {"teacher": {"k": 40}}, "2026-01-02T00.00.00.000Z", study="new")
    write("tuned_gates", {"teacher": {"k": 99}}, "2026-01-03T00.00.00.000Z", tied_to=tied)
    loader = configure(distillation={"use_tuned": True})
    use_tuned(loader, tmp_path)
    assert loader["parameters"]["teacher"]["k"] == 40
    assert loader["parameters"]["distillation"]["tuned_by"] == "new"


def test_it_is_said_where_nothing_was_tuned(configure, tmp_path):
    with pytest.raises(ParameterError, match="run `kedro run --pipelines tuning` first"):
        use_tuned(configure(distillation={"use_tuned": True}), tmp_path)


def test_it_is_said_what_it_was_tuned_for(write, configure, tmp_path):
    write("tuned_gates", OVERRIDES)
    loader = configure(distillation={"use_tuned": True}, windowing={"horizons": [48]})
    with pytest.raises(ParameterError, match=r"windowing.horizons was \[24, 96\], now \[48\]"):
        use_tuned(loader, tmp_path)


def test_no_study_is_no_version(write, configure, tmp_path):
    write("tuned_mask", {}, study=None)
    with pytest.raises(ParameterError, match="nothing has been tuned"):
        use_tuned(configure(trace={"use_tuned": True}), tmp_path)


def test_a_mask_gives_trace_a_row_of_its_own(write, configure, tmp_path):
    write("tuned_mask", {"trace": {"sites": ["a.q", "b.v"]}})
    loader = configure(trace={"use_tuned": True})
    use_tuned(loader, tmp_path)
    params = TraceParams(**loader["parameters"]["trace"])
    assert params.sites == ("a.q", "b.v")
    assert params.trained_rows()[-2:] == ("trace", "tuned_mask")
    assert params.shipped == "tuned_mask"
    assert (TraceParams().shipped, TraceParams().sites) == ("trace", None)
    assert TraceParams(sites=()).shipped == "tuned_mask"


def test_who_tuned_changes_no_result():
    given = DistillationParams(use_tuned=True, tuned_by="abcd")
    assert essence(given) == essence(DistillationParams())
    assert essence(TraceParams(use_tuned=True)) == essence(TraceParams())


def test_what_is_tuned_is_not_tuned_again():
    refuse_tuned("trace", False)
    with pytest.raises(
        ParameterError, match=r"run the pipeline tuning with trace\.use_tuned = false"
    ):
        refuse_tuned("trace", True)


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({"profile": "paper"}, r"distillation\.profile = default"),
        ({"targets": "published"}, r"distillation\.targets = teacher"),
    ],
)
def test_what_the_gates_study_does_not_imitate_is_refused(given, advice):
    refuse_other_profiles(DistillationParams())
    with pytest.raises(ParameterError, match=advice):
        refuse_other_profiles(DistillationParams(**given))


def test_overrides_are_checked_like_any_parameters():
    teacher = overridden(TeacherParams(), {"k": 50, "calibration": {"folds": 3}})
    assert (teacher.k, teacher.calibration.folds, teacher.calibration.block) == (50, 3, 24)
    with pytest.raises(ValueError, match="k_min"):
        overridden(TeacherParams(), {"k": 1})
    given = Settings(WindowingParams(), TeacherParams(), DistillationParams())
    assert overridden(given.distillation, {}) == given.distillation


def test_merging_changes_neither():
    under, over = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": None}, "e": {"f": 1}}
    assert merged(under, over) == {"a": {"b": None, "c": 2}, "d": 3, "e": {"f": 1}}
    assert under == {"a": {"b": 1, "c": 2}, "d": 3}
