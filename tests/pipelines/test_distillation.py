import pytest

from tsmemory.memory.config import PaperSizes, TrainingConfig
from tsmemory.pipelines.distillation import create_pipeline
from tsmemory.pipelines.distillation.params import DistillationParams


def test_wiring():
    pipeline = create_pipeline()
    assert {node.short_name: node.outputs for node in pipeline.nodes} == {
        "fit_linear_skip": ["closed_form"],
        "distil_adapter": ["adapter", "loss_curve"],
        "fuse_and_guard": ["fusion"],
        "export_forecaster": ["forecaster"],
        "plot_loss_curve": ["loss_plot"],
        "plot_fusion": ["fusion_plot"],
    }
    assert pipeline.inputs() == {
        "series_set",
        "window_index",
        "panel_summary",
        "train_forecasts",
        "validation_forecasts",
        "datastore",
        "neighbours",
        "teacher_calibration",
        "params:windowing",
        "params:backbone",
        "params:teacher",
        "params:distillation",
        "params:seed",
        "params:domain",
    }


def test_the_choice_of_weights_sees_validation_alone():
    choice = create_pipeline().only_nodes("distillation.fuse_and_guard")
    forecasts = {name for name in choice.inputs() if name.endswith("forecasts")}
    assert forecasts == {"validation_forecasts"}


def test_defaults_are_those_of_the_model(defaults):
    assert DistillationParams(**defaults["distillation"]) == DistillationParams()


def read(configure, **params):
    """The parameters of the pipeline, as a run would read them."""
    return DistillationParams(**configure(distillation=params)["parameters"]["distillation"])


def test_the_default_profile(configure):
    params = read(configure)
    assert (params.profile, params.targets, params.objective.form) == (
        "default",
        "teacher",
        "paper",
    )
    assert (params.training.epochs, params.training.patience) == (20, 2)


def test_the_paper_profile_has_the_published_settings(configure, defaults):
    params = read(configure, profile="paper")
    assert (params.targets, params.objective.form) == ("published", "code")
    assert params.paper_adapter == PaperSizes(16, 256, 8, 1024, 4, 2, 0.1)
    assert params.training == TrainingConfig(
        epochs=20,
        patience=5,
        batch_size=256,
        learning_rate=3e-4,
        weight_decay=0.01,
        gradient_clip=1.0,
    )
    objective = params.objective
    assert (objective.gamma, objective.huber, objective.margin) == (1.0, 1.0, 0.0)
    assert (defaults["teacher"]["k"], defaults["teacher"]["temperature"]) == (20, 0.12)
    assert params == DistillationParams(profile="paper")


def test_what_is_given_wins_over_the_profile(configure):
    params = read(
        configure,
        profile="paper",
        training={"epochs": 5},
        objective={"form": "paper", "align": 0.7},
        targets="teacher",
    )
    assert (params.training.epochs, params.training.patience) == (5, 5)
    assert (params.objective.form, params.objective.align) == ("paper", 0.7)
    assert params.targets == "teacher"
    assert read(configure, training={"patience": 4}).training == TrainingConfig(20, 4)
    same = DistillationParams(profile="paper", training=TrainingConfig(3, 1))
    assert same.training.epochs == 3


def test_an_environment_wins_over_the_profile(configure):
    values = configure("test", distillation={"profile": "paper"})["parameters"]["distillation"]
    params = DistillationParams(**values)
    assert (params.training.epochs, params.training.patience) == (2, 5)


def test_the_objective_of_the_code_belongs_to_the_paper_profile(refusal):
    assert "belongs to profile = paper" in refusal(distillation={"objective": {"form": "code"}})


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"ridge": {"penalties": []}}, "distillation.ridge.penalties = []: "),
        ({"ridge": {"penalties": [0]}}, "distillation.ridge.penalties.0 = 0: "),
        ({"ridge": {"folds": 1}}, "distillation.ridge.folds = 1: "),
        ({"adapter": {"width": 0}}, "distillation.adapter: width must be above 0, got 0"),
        ({"adapter": {"dropout": 1}}, "distillation.adapter: dropout must lie in [0, 1)"),
        ({"objective": {"align": -1}}, "distillation.objective: align must not be negative"),
        ({"objective": {"lambda": 1}}, "distillation.objective.lambda: unknown parameter"),
        ({"profile": "papr"}, "distillation.profile = 'papr': "),
        ({"profile": ["paper"]}, "distillation.profile = ['paper']: "),
        ({"paper_adapter": {"heads": 3}}, "heads (3) must divide width (256)"),
        ({"objective": {"gate": "shut"}}, "distillation.objective.gate = 'shut': "),
        ({"objective": {"form": "odd"}}, "distillation.objective.form = 'odd': "),
        ({"targets": "odd"}, "distillation.targets = 'odd': "),
        ({"training": 7}, "distillation.training"),
        ({"training": {"epoch": 3}}, "did you mean distillation.training.epochs?"),
        ({"training": {"epochs": "many"}}, "distillation.training.epochs = 'many': "),
        ({"training": {"learning_rate": 0}}, "distillation.training: learning_rate must be above"),
        ({"training": {"optimizer": "sgd"}}, "distillation.training.optimizer = 'sgd': "),
        ({"training": {"precision": "half"}}, "distillation.training.precision = 'half': "),
        ({"training": {"base_batch": 0}}, "distillation.training: base_batch must be above 0"),
        ({"training": {"device": "gpu"}}, "distillation.training: device must be cpu, cuda"),
        ({"training": {"device": "cuda:1", "devices": 2}}, "cuda:1 cannot be shared by 2 ranks"),
        (
            {"training": {"communication": {"reduc": "plain"}}},
            "did you mean distillation.training.communication.reduce?",
        ),
        ({"fusion": {"block": 0}}, "distillation.fusion: block must be above 0"),
        ({"fusion": {"groups": "series"}}, "distillation.fusion.groups = 'series': "),
        ({"fusion": {"training_weight": -1}}, "distillation.fusion: training_weight must not be"),
        ({"fusion": {"gate": {"min_spread": -1}}}, "distillation.fusion.gate: min_spread must not"),
        ({"fusion": {"guard": {"alpha": 2}}}, "distillation.fusion.guard: alpha must lie in"),
        ({"fusion": {"guard": {"sampels": 9}}}, "did you mean distillation.fusion.guard.samples?"),
        ({"seeds": []}, "distillation.seeds = []: "),
        ({"seeds": [-1]}, "distillation.seeds.0 = -1: "),
        ({"seeds": [3, 3]}, "distillation.seeds = [3, 3]: a seed is named twice"),
    ],
)
def test_nonsense_is_refused(refusal, params, said):
    assert said in refusal(distillation=params)
