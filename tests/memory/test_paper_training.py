"""The paper profile through training, fusion, guard, artefact and forecaster."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import LEVELS
from domains import H, L
from tsmemory import MemoryForecaster
from tsmemory.memory.closed_form import fit_closed_form
from tsmemory.memory.config import FusionConfig, GuardConfig, ObjectiveConfig, TrainingConfig
from tsmemory.memory.fused_loss import best_scalar_fusion
from tsmemory.memory.fusion_fit import fit_fusion
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.lessons import Lessons
from tsmemory.memory.paper_adapter import PaperAdapter, PaperConfig
from tsmemory.memory.seeded import SeededAdapters
from tsmemory.memory.split import memory_parts
from tsmemory.memory.training import distil_seeds
from tsmemory.teacher.synthesis import TeacherTargets

FUSION = FusionConfig(block=4, guard=GuardConfig(samples=100))
SMALL = PaperConfig(
    L,
    H,
    LEVELS,
    patch_length=8,
    width=16,
    heads=2,
    feedforward=32,
    encoder_layers=1,
    decoder_layers=1,
    dropout=0.0,
)
FAST = TrainingConfig(epochs=2, patience=2, batch_size=64, learning_rate=3e-3)


@pytest.fixture(scope="module")
def run(domain):
    """Distil the paper profile on the small domain."""
    closed_form = fit_closed_form(
        domain.train_windows,
        domain.train,
        domain.validation_windows,
        penalties=(10.0,),
        folds=3,
        config=FUSION,
    )

    def distil(config=FAST, seeds=(0,), **objective):
        return distil_seeds(
            domain.train,
            domain.validation,
            TeacherTargets(domain.teacher, domain.train.windows, domain.neighbours),
            closed_form=closed_form,
            adapter=SMALL,
            objective_config=ObjectiveConfig(**{"form": "code", **objective}),
            config=config,
            fusion=FUSION,
            stride=1,
            seeds=seeds,
            label="paper, reduced: other sizes",
        )

    return distil


@pytest.fixture(scope="module")
def trained(run):
    return run(replace(FAST, epochs=10))


def test_it_learns_and_the_best_epoch_is_what_is_kept(trained, domain):
    adapters, curves = trained
    losses = [line["validation"] for line in curves]
    _, loss = best_scalar_fusion(adapters.shipped, domain.validation)
    assert loss == pytest.approx(min(losses), rel=1e-6)
    assert min(losses) < 0.97 * losses[0]  # at first the best is next to nothing of the memory
    assert curves[-1]["total"] < curves[1]["total"]


def test_the_report_names_the_profile_and_what_it_was_compared_with(trained):
    line = trained[0].report["0"]
    assert line["profile"] == "paper, reduced: other sizes"
    assert line["compared_with"] == "the frozen backbone"
    assert line["trained_part_kept"]
    assert line["skill"] > 0


@pytest.mark.parametrize(("form", "more"), [("paper", {"cross"}), ("code", {"cross", "point"})])
def test_the_loss_curve_has_every_term(run, form, more):
    _, curves = run(replace(FAST, epochs=1), form=form)
    terms = {"seed", "epoch", "total", "task", "align", "anchor", "gate", "validation", "best"}
    assert set(curves[1]) == terms | more


def test_one_seed_gives_the_same_bits_and_another_does_not(run):
    config = replace(FAST, epochs=1, patience=1)
    (first, curves), (second, again) = run(config, seeds=(3, 4)), run(config, seeds=(3,))
    assert curves[:2] == again
    states = [adapters.adapters[3].state_dict() for adapters in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert curves[3]["total"] != curves[1]["total"]


def test_the_task_is_taken_on_the_memory_alone(domain):
    targets = TeacherTargets(domain.teacher, domain.train.windows, domain.neighbours)
    config = ObjectiveConfig(align=0.0, anchor=0.0)
    lessons = Lessons.prepare(domain.train, targets, config, None)
    torch.manual_seed(0)
    model = PaperAdapter(SMALL).train()
    chosen = np.arange(8)
    task = lessons.terms(model, chosen)["task"]
    contexts, target, quantiles, keys = domain.train.take(chosen).tensors()
    error = target[:, None] - model(contexts, quantiles, keys)
    level = torch.tensor(LEVELS)[:, None]
    torch.testing.assert_close(task, torch.maximum(level * error, (level - 1) * error).mean())


def test_it_is_fused_guarded_saved_and_forecasts(trained, domain, tmp_path):
    adapters, _ = trained
    windows = domain.validation.windows
    fusion = fit_fusion(
        memory_parts(domain.validation, adapters.shipped),
        windows.calendar(domain.series) + L,
        levels=LEVELS,
        horizon=H,
        stride=1,
        config=replace(FUSION, guard=replace(FUSION.guard, enabled=False)),
        rng=np.random.default_rng(0),
    )
    assert not fusion.is_idle
    adapters.save_pretrained(tmp_path / "seeds")
    again = SeededAdapters.from_pretrained(tmp_path / "seeds")
    assert again.shipped.config == SMALL
    assert again.summary() == adapters.summary()
    forecaster = MemoryForecaster(
        domain.backbone,
        again.shipped,
        fusion,
        KnownSeries.from_training(domain.series, domain.train_windows),
        backbone_source="seasonal_naive",
        backbone_options={"season": 8},
        domain="made up",
    )
    contexts = windows.take(slice(0, 5)).contexts(domain.series)
    quantiles, _ = forecaster.predict_quantiles(contexts)
    assert quantiles.shape == (5, H, 9)
    assert (quantiles.diff(dim=2) >= 0).all()
    frozen = domain.validation.forecasts.quantiles[:5].transpose(0, 2, 1)
    assert not np.allclose(quantiles.numpy(), frozen)
    forecaster.save_pretrained(tmp_path / "forecaster")
    loaded = MemoryForecaster.from_pretrained(tmp_path / "forecaster")
    assert loaded.summary()["adapter"]["profile"] == "paper"
    for horizon in (3, H, H + 4):
        one, other = (f.predict_quantiles(contexts, horizon)[0] for f in (forecaster, loaded))
        assert torch.equal(one, other)
    shorter = loaded.predict_quantiles(contexts, 3)[0]
    torch.testing.assert_close(shorter, quantiles[:, :3], atol=1e-5, rtol=1e-5)
