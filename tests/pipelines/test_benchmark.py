from dataclasses import asdict

import pytest

from tsmemory.pipelines.benchmark import create_pipeline
from tsmemory.pipelines.benchmark.params import (
    ROWS,
    AblationParams,
    BenchmarkParams,
    PaperRowParams,
    TransferParams,
)
from tsmemory.pipelines.benchmark.rows import (
    Settings,
    ablation_rows,
    default_settings,
    paper_settings,
)
from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.windowing.params import StrideParams, WindowingParams

GIVEN = Settings(
    WindowingParams(horizons=(24, 96, 192), strides=StrideParams(train=3)),
    TeacherParams(),
    DistillationParams(training={"epochs": 10, "patience": 2}),
)
# What each row changes, by its path; the rest is the default's.
CHANGES = {
    "default": {},
    "no_teacher": {"objective.align": 0.0, "objective.anchor": 0.0},
    "no_gate": {"objective.gate": "none"},
    "no_confidence": {"objective.gamma": 0.0, "objective.confidence_threshold": 0.0},
    "self_embargo": {"embargo": "self"},
    "no_ridge": {"adapter.base": "backbone", "fusion.training_weight": 0.0},
    "no_residual": {"adapter.base": "ridge", "fusion.training_weight": 0.0},
    "no_guard": {"fusion.guard.enabled": False, "training.rehearse": False},
}


def flat(value, path=""):
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    elif hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    if not isinstance(value, dict):
        return {path: value}
    parts = (flat(part, f"{path}.{name}".lstrip(".")) for name, part in value.items())
    return {name: part for found in parts for name, part in found.items()}


def everything(settings):
    return {**flat(settings.windowing), **flat(settings.teacher), **flat(settings.distillation)}


def test_wiring():
    pipeline = create_pipeline()
    assert {node.short_name: node.outputs for node in pipeline.nodes} == {
        "score_ablations": ["ablation_scores"],
        "tabulate_ablations": ["ablation", "ablation_skill"],
        "measure_transfer": ["transfer"],
        "describe_benchmark": ["benchmark"],
        "write_benchmark": ["benchmark_report"],
    }


def test_nothing_is_chosen_on_the_test_split():
    """Only what is scored there sees it, and what is shipped does not come from here."""
    assert not {"forecaster", "fusion", "adapter"} & create_pipeline().all_outputs()


def test_defaults_are_those_of_the_model(defaults):
    assert BenchmarkParams(**defaults["benchmark"]) == BenchmarkParams()


def test_the_default_row_has_the_benchmarks_seeds_and_epochs():
    changed = default_settings(GIVEN, AblationParams(seeds=(4, 5), epochs=3)).distillation
    assert (changed.seeds, changed.training.epochs) == ((4, 5), 3)
    assert changed.training.patience == 2
    fewer = default_settings(GIVEN, AblationParams(epochs=30)).distillation
    assert fewer.training.epochs == 10


def test_all_rows_can_do_without_the_guard():
    default = default_settings(GIVEN, AblationParams(guard=False))
    rows = ablation_rows(AblationParams(guard=False)).values()
    assert not any(row.change(default).distillation.fusion.guard.enabled for row in rows)
    assert default_settings(GIVEN, AblationParams()).distillation.fusion.guard.enabled


def test_the_default_row_is_of_the_default_profile_whatever_was_run():
    paper = Settings(GIVEN.windowing, GIVEN.teacher, DistillationParams(profile="paper"))
    found = default_settings(paper, AblationParams()).distillation
    assert (found.profile, found.targets, found.objective.form) == ("default", "teacher", "paper")


@pytest.mark.parametrize("name", CHANGES)
def test_a_row_changes_what_its_name_says_and_nothing_else(name):
    default = default_settings(GIVEN, AblationParams())
    row = ablation_rows(AblationParams())[name]
    before, after = everything(default), everything(row.change(default))
    assert after == {**before, **CHANGES[name]}
    assert (after == before) == (name == "default")
    assert row.note


def test_the_paper_row_is_reduced():
    default = default_settings(GIVEN, AblationParams(seeds=(7,)))
    found = paper_settings(default, PaperRowParams(horizon=100, train_stride=8, epochs=5))
    assert found.windowing.horizons == (96,)
    assert found.windowing.strides.train == 9  # every third window: the nearest to 8
    distillation = found.distillation
    assert (distillation.profile, distillation.targets) == ("paper", "published")
    assert (distillation.objective.form, distillation.seeds) == ("code", (7,))
    assert (distillation.training.epochs, distillation.training.patience) == (5, 5)
    assert distillation.fusion == default.distillation.fusion


@pytest.mark.parametrize(("wanted", "horizon"), [(720, 192), (95, 24), (12, 24)])
def test_the_paper_rows_horizon_is_one_of_the_domains(wanted, horizon):
    found = paper_settings(GIVEN, PaperRowParams(horizon=wanted, train_stride=1))
    assert found.windowing.horizons == (horizon,)
    assert found.windowing.strides.train == 3


def test_rows_keep_their_order_and_the_default_is_always_there():
    assert tuple(ablation_rows(AblationParams())) == ROWS
    assert tuple(ablation_rows(AblationParams(rows=("paper", "no_guard")))) == (
        "default",
        "no_guard",
        "paper",
    )
    assert tuple(ablation_rows(AblationParams(rows=()))) == ("default",)


def test_the_command_lines_lists_are_read(configure):
    given = {"ablation": {"rows": "no_guard paper", "seeds": 3}, "transfer": {"forecasters": "a b"}}
    params = BenchmarkParams(**configure(benchmark=given)["parameters"]["benchmark"])
    assert params.ablation.rows == ("no_guard", "paper")
    assert params.ablation.seeds == (3,)
    assert params.transfer.forecasters == ("a", "b")


def test_memories_count_by_what_they_are_not_by_where(tmp_path):
    for name, text in (("one", "x"), ("same", "x"), ("other", "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)

    def found(name):
        return TransferParams(forecasters=(str(tmp_path / name),)).content_fingerprint()

    assert found("one") == found("same") != found("other")
    assert found("missing") is None
    assert TransferParams().content_fingerprint() is not None


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"ablation": {"rows": ["no_gaurd"]}}, "benchmark.ablation.rows.0 = 'no_gaurd': "),
        ({"ablation": {"rows": ["paper", "paper"]}}, "a value is named twice"),
        ({"ablation": {"seeds": []}}, "benchmark.ablation.seeds = []: "),
        ({"ablation": {"seeds": [1, 1]}}, "a value is named twice"),
        ({"ablation": {"epochs": 0}}, "benchmark.ablation.epochs = 0: "),
        ({"ablation": {"epoch": 1}}, "did you mean benchmark.ablation.epochs?"),
        ({"ablation": {"paper": {"horizon": 0}}}, "benchmark.ablation.paper.horizon = 0: "),
        ({"transfer": {"forecaster": "a"}}, "did you mean benchmark.transfer.forecasters?"),
        ({"ablations": {}}, "did you mean benchmark.ablation?"),
    ],
)
def test_nonsense_is_refused_once(refusal, params, said):
    assert refusal(benchmark=params).count(said) == 1
