"""Micro-batches and ranks: the same weights as one process has at the same total batch."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pretraining_jobs import flat, train_all

from tsmemory.pretraining import training as module
from tsmemory.pretraining.checkpoint import LATEST
from tsmemory.pretraining.config import ModelConfig, OptimizerConfig, TrainingConfig
from tsmemory.pretraining.corpus import CorpusConfig
from tsmemory.pretraining.errors import PretrainingError
from tsmemory.pretraining.recipe import describe_recipe, essence, recipe_digest
from tsmemory.pretraining.training import Trainer, pretrain
from tsmemory.scaleout.config import CommunicationConfig
from tsmemory.scaleout.groups import Ranks
from tsmemory.scaleout.parallel import fit_parallel

BY_GROUPS = CommunicationConfig(reduce="hierarchical", group_size=1, bucket_cap_mb=0.01)
APART = CommunicationConfig(average_every=4, average_after=2, group_size=1)


def optimizer(recipe, kind):
    """At a lower rate: AdamW makes steps of one length of gradients that are but rounding."""
    return replace(recipe.optimizer, kind=kind, learning_rate=5e-4)


def cases(recipe):
    """Changes to the recipe; batches of 17 and 3 can be divided neither in 2 nor in 4."""
    odd, adamw = replace(recipe.corpus, chunk=51), optimizer(recipe, "adamw")
    return {
        "adamw": {"optimizer": adamw},
        "lamb": {"optimizer": optimizer(recipe, "lamb")},
        "lars": {"optimizer": optimizer(recipe, "lars")},
        "muon": {"optimizer": optimizer(recipe, "muon")},
        "uneven": {"optimizer": adamw, "corpus": odd, "batch": 17},
        "accumulated": {"optimizer": adamw, "accumulate": 3},
        "one window each": {"optimizer": adamw, "corpus": odd, "batch": 3, "accumulate": 3},
        "by groups": {"optimizer": adamw, "communication": BY_GROUPS},
    }


# torch.optim.Muon multiplies in bfloat16 whatever the precision of training.
ALIKE = {"muon": 1e-3}
NAMES = ["adamw", "lamb", "lars", "muon", "uneven", "accumulated", "one window each", "by groups"]


@pytest.fixture(scope="module")
def alone(recipe, tmp_path_factory):
    """Weights of one process that takes every batch whole."""
    pytest.importorskip("pytorch_optimizer")
    torch.set_num_threads(1)
    found = {}
    for name, changes in cases(recipe).items():
        whole = {n: v for n, v in changes.items() if n not in ("accumulate", "communication")}
        trainer = recipe.trainer(tmp_path_factory.mktemp("alone"), **whole)
        trainer.fit()
        found[name] = flat(trainer)
    return found


@pytest.fixture(scope="module")
def together(recipe, tmp_path_factory):
    """The same of two ranks."""
    pytest.importorskip("pytorch_optimizer")
    apart = {"apart": {"optimizer": optimizer(recipe, "adamw"), "communication": APART}}
    tasks = {
        name: recipe.task(tmp_path_factory.mktemp("together"), **changes)
        for name, changes in (cases(recipe) | apart).items()
    }
    return fit_parallel(train_all, tasks, devices=2)


@pytest.mark.parametrize("name", NAMES)
def test_ranks_have_the_weights_of_one_process(name, alone, together):
    for weights in together[name]:
        np.testing.assert_allclose(weights, alone[name], atol=ALIKE.get(name, 1e-5), rtol=0)


def test_the_first_rank_alone_judges(together):
    assert together["adamw, points"].tolist() == [4, 0]


def test_periodic_averaging_ends_with_equal_weights(alone, together):
    first, second = together["apart"]
    np.testing.assert_array_equal(first, second)
    difference = np.abs(first - alone["adamw"]).max()
    assert 1e-5 < difference < 0.1  # it is not exact


@pytest.mark.parametrize("kind", ["adamw", "lamb"])
@pytest.mark.parametrize("accumulate", [5, 16])
def test_micro_batches_change_the_rounding_alone(kind, accumulate, alone, recipe, tmp_path):
    trainer = recipe.trainer(tmp_path, accumulate=accumulate, optimizer=optimizer(recipe, kind))
    trainer.fit()
    np.testing.assert_allclose(flat(trainer), alone[kind], atol=1e-5, rtol=0)


def test_micro_batches_are_what_the_network_sees(recipe, tmp_path, monkeypatch):
    seen = []
    trainer = recipe.trainer(tmp_path, accumulate=5, steps=1)
    encode = trainer.model.encode

    def watched(context):
        if torch.is_grad_enabled():
            seen.append(len(context))
        return encode(context=context)

    monkeypatch.setattr(trainer.model, "encode", watched)
    trainer.fit()
    assert seen == [4, 4, 4, 4]  # 16 windows: the fifth part would be empty


def test_ranks_go_on_from_a_checkpoint_of_one_process(recipe, alone, tmp_path, monkeypatch):
    """Checks stay at the first rank, which writes what the others do not even see."""
    checks = {"sample": lambda model: {"mse": 1.5}}
    task = recipe.task(tmp_path, checks=checks, optimizer=optimizer(recipe, "adamw"))
    learn = Trainer._learn

    def until(self, batch):
        if self.step == 7:
            raise KeyboardInterrupt
        return learn(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_learn", until)
        with pytest.raises(KeyboardInterrupt):
            pretrain(task)
    assert torch.load(tmp_path / LATEST, weights_only=True)["step"] == 6
    trainer = pretrain(replace(task, config=replace(task.config, devices=2)))
    np.testing.assert_allclose(flat(trainer), alone["adamw"], atol=1e-5, rtol=0)
    assert [point["step"] for point in trainer.curve] == [3, 6, 9, 12]
    assert {point["sample_mse"] for point in trainer.curve} == {1.5}
    assert trainer.hardware.startswith("2 x ")
    assert {path.name for path in tmp_path.iterdir()} == {LATEST, "level.pt"}


def test_a_loss_that_is_not_finite_is_the_first_rank_s_to_tell(recipe, tmp_path):
    """Every rank hears of it, so that none waits for another."""
    wild = replace(recipe.optimizer, kind="adamw", learning_rate=1e30, warmup=0)
    with pytest.raises(PretrainingError, match="the loss is nan at step"):
        pretrain(recipe.task(tmp_path, optimizer=wild, devices=2))


@pytest.mark.parametrize("kind", ["lars", "lamb"])
def test_large_batch_optimizers_resume_to_the_bit(kind, recipe, tmp_path, monkeypatch):
    pytest.importorskip("pytorch_optimizer")
    changes = {"optimizer": optimizer(recipe, kind), "steps": 6, "accumulate": 2}
    whole = recipe.trainer(tmp_path / "whole", **changes)
    whole.fit()
    first = recipe.trainer(tmp_path / "parts", **changes)
    learn = first._learn

    def until(batch):
        if first.step == 5:
            raise KeyboardInterrupt
        return learn(batch)

    monkeypatch.setattr(first, "_learn", until)
    with pytest.raises(KeyboardInterrupt):
        first.fit()
    second = recipe.trainer(tmp_path / "parts", **changes)
    second.fit()
    np.testing.assert_array_equal(flat(second), flat(whole))


def test_the_rate_is_scaled_to_the_batch(recipe, tmp_path, monkeypatch):
    rates = []
    monkeypatch.setattr(module.Learner, "move", lambda self, rate: rates.append(rate))
    scaled = replace(recipe.optimizer, base_batch=4, learning_rate=0.001)
    recipe.trainer(tmp_path, optimizer=scaled).fit()
    assert max(rates) == pytest.approx(0.004)


def test_float16_on_a_cpu_learns_what_float32_learns(recipe, tmp_path):
    curves = []
    for precision in ("float32", "bfloat16", "float16"):
        trainer = recipe.trainer(tmp_path / precision, precision=precision)
        trainer.fit()
        curves.append([point["held_out_64"] for point in trainer.curve])
    assert curves[1] == pytest.approx(curves[0], rel=0.02)
    assert curves[2] == pytest.approx(curves[0], rel=0.02)


def digest_of(recipe, *, optimizer=None, **training):
    described = describe_recipe(
        recipe.model,
        recipe.corpus,
        replace(recipe.optimizer, **(optimizer or {})),
        replace(recipe.training, **training),
    )
    return recipe_digest(described)


def test_the_recipe_of_a_checkpoint_knows_what_changes_weights(recipe):
    """Ranks and micro-batches do not, unless what they exchange is not exact."""
    plain = digest_of(recipe)
    assert digest_of(recipe, devices=2, accumulate=4, communication=BY_GROUPS) == plain
    assert digest_of(recipe, optimizer={"base_batch": 16}) != plain
    apart = digest_of(recipe, communication=APART)
    assert apart != plain
    assert digest_of(recipe, communication=APART, devices=2) != apart
    fp16 = CommunicationConfig(compression="fp16")
    assert digest_of(recipe, communication=fp16) not in (plain, apart)
    patient = replace(APART, timeout_minutes=5.0)
    assert digest_of(recipe, communication=patient) == apart
    for change in ({"check_every": 4}, {"accumulate": 2}):
        assert digest_of(recipe, **change) == plain
        assert digest_of(recipe, communication=APART, **change) != apart
        assert digest_of(recipe, communication=fp16, **change) == digest_of(
            recipe, communication=fp16
        )


def test_the_ranks_of_a_launcher_are_those_of_the_checkpoint(recipe, tmp_path):
    for communication, kept in ((CommunicationConfig(), None), (APART, 3)):
        ranks = Ranks(size=3, communication=communication)
        trainer = Trainer(recipe.task(tmp_path, communication=communication), ranks)
        assert trainer.checkpoints.recipe["training"].get("ranks") == kept


def test_recipes_without_the_new_settings_are_as_they_were():
    recipe = describe_recipe(ModelConfig(), CorpusConfig(), OptimizerConfig(), TrainingConfig())
    known = essence(recipe)
    assert json.loads(json.dumps(recipe["training"])) == recipe["training"]
    assert set(known["optimizer"]) == {
        "kind",
        "learning_rate",
        "warmup",
        "decay",
        "weight_decay",
        "gradient_clip",
        "average",
    }
    assert set(known["training"]) == {
        "batch",
        "step_decay",
        "floor",
        "seed",
        "device",
        "precision",
    }
