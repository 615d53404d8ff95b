import pytest

from tsmemory.pipelines.distillation import create_pipeline
from tsmemory.pipelines.distillation.params import DistillationParams


def test_wiring():
    pipeline = create_pipeline()
    assert {node.name: node.outputs for node in pipeline.nodes} == {
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
        "params:windowing",
        "params:backbone",
        "params:teacher",
        "params:distillation",
        "params:seed",
        "params:domain",
    }


def test_the_choice_of_weights_sees_validation_alone():
    choice = create_pipeline().only_nodes("fuse_and_guard")
    forecasts = {name for name in choice.inputs() if name.endswith("forecasts")}
    assert forecasts == {"validation_forecasts"}


def test_defaults_are_those_of_the_model(defaults):
    assert DistillationParams(**defaults["distillation"]) == DistillationParams()


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
        ({"training": {"epoch": 3}}, "did you mean distillation.training.epochs?"),
        ({"training": {"epochs": "many"}}, "distillation.training.epochs = 'many': "),
        ({"training": {"learning_rate": 0}}, "distillation.training: learning_rate must be above"),
        ({"fusion": {"block": 0}}, "distillation.fusion: block must be above 0"),
        ({"fusion": {"guard": {"alpha": 2}}}, "distillation.fusion.guard: alpha must lie in"),
        ({"fusion": {"guard": {"sampels": 9}}}, "did you mean distillation.fusion.guard.samples?"),
        ({"seeds": []}, "distillation.seeds = []: "),
        ({"seeds": [-1]}, "distillation.seeds.0 = -1: "),
        ({"seeds": [3, 3]}, "distillation.seeds = [3, 3]: a seed is named twice"),
    ],
)
def test_nonsense_is_refused(refusal, params, said):
    assert said in refusal(distillation=params)
