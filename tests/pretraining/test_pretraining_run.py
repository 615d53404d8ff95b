"""The training loop: it learns, survives kills, and can be prolonged."""

import logging
import os
from dataclasses import replace

import pytest
import torch

from tsmemory.pretraining import training as module
from tsmemory.pretraining.checkpoint import LATEST, LEVEL
from tsmemory.pretraining.errors import PretrainingError
from tsmemory.pretraining.training import Trainer


class Killed(BaseException):
    pass


def weights_of(model):
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different


def without_clock(curve):
    return [{name: v for name, v in point.items() if name != "seconds"} for point in curve]


def kill_at(monkeypatch, step):
    learn = Trainer._learn

    def until(self, batch):
        if self.step == step:
            raise Killed
        return learn(self, batch)

    monkeypatch.setattr(Trainer, "_learn", until)


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """An uninterrupted run: its weights, average included, and its curve."""
    torch.set_num_threads(1)
    trainer = recipe.trainer(tmp_path_factory.mktemp("whole"))
    kept = weights_of(trainer.fit())
    return kept, dict(trainer.average.weights), trainer.curve


def test_it_learns(recipe, tmp_path):
    """From one family at a high rate, more than the mean of the context says."""
    easy = replace(recipe.corpus, families={"machines": 1.0}, contexts={64: 1.0}, chunk=480)
    fast = replace(recipe.optimizer, learning_rate=0.01, average=0.9)
    settings = {"steps": 150, "check_every": 50, "batch": 48, "held_out": 256}
    trainer = recipe.trainer(tmp_path, corpus=easy, optimizer=fast, **settings)
    model = trainer.fit()
    assert not model.training
    losses = [point["held_out_64"] for point in trainer.curve]
    assert losses[0] > losses[1] > losses[2]
    untrained = recipe.trainer(tmp_path / "none", corpus=easy, held_out=256)
    assert losses[2] < 0.8 * untrained._held_out_loss()["held_out_64"]
    assert [point["step"] for point in trainer.curve] == [50, 100, 150]
    assert [point["samples"] for point in trainer.curve] == [2400, 4800, 7200]


def test_what_is_returned_is_the_average(recipe, whole, tmp_path):
    kept, last, _ = whole
    trainer = recipe.trainer(tmp_path)
    returned = trainer.fit()
    assert_equal(weights_of(returned), kept)
    assert any(not torch.equal(kept[name], last[name]) for name in last)


@pytest.mark.parametrize("step", [0, 1, 3, 4, 8, 9, 11])
def test_a_killed_run_ends_with_the_same_weights(step, recipe, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        kill_at(patch, step)
        with pytest.raises(Killed):
            recipe.trainer(tmp_path).fit()
    trainer = recipe.trainer(tmp_path)
    kept, last, curve = whole
    assert_equal(weights_of(trainer.fit()), kept)
    assert_equal(dict(trainer.average.weights), last)
    assert without_clock(trainer.curve) == without_clock(curve)


@pytest.mark.parametrize("moment", range(1, 6))
def test_a_kill_while_saving_leaves_a_whole_checkpoint(
    moment, recipe, whole, tmp_path, monkeypatch
):
    """Checkpoints are put in place 4 times, and once an older one is set aside."""
    replace_, calls = os.replace, []

    def until(source, target):
        calls.append(target)
        if len(calls) == moment:
            raise Killed
        replace_(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", until)
        with pytest.raises(Killed):
            recipe.trainer(tmp_path).fit()
    assert_equal(weights_of(recipe.trainer(tmp_path).fit()), whole[0])


def test_a_kill_between_setting_aside_and_saving(recipe, whole, tmp_path):
    recipe.trainer(tmp_path).fit()
    (tmp_path / LATEST).unlink()
    assert torch.load(tmp_path / LEVEL, weights_only=True)["step"] == 9
    assert_equal(weights_of(recipe.trainer(tmp_path).fit()), whole[0])


def test_a_finished_run_is_not_repeated(recipe, whole, tmp_path, monkeypatch):
    trainer = recipe.trainer(tmp_path)
    trainer.hardware = "abacus"
    trainer.fit()
    kill_at(monkeypatch, 0)
    again = recipe.trainer(tmp_path)
    assert_equal(weights_of(again.fit()), whole[0])
    assert again.hardware == "abacus"


@pytest.mark.parametrize("steps", [13, 18, 30])
def test_a_run_can_be_prolonged(steps, recipe, tmp_path, monkeypatch):
    """From the last checkpoint before its rate fell, as if it had been longer all along."""
    expected = weights_of(recipe.trainer(tmp_path / "long", steps=steps).fit())
    recipe.trainer(tmp_path / "short").fit()
    with monkeypatch.context() as patch:
        kill_at(patch, 0)  # would begin anew
        trainer = recipe.trainer(tmp_path / "short", steps=steps)
        assert_equal(weights_of(trainer.fit()), expected)
    assert [point["step"] for point in trainer.curve][:3] == [3, 6, 9]
    # And once more.
    longer = recipe.trainer(tmp_path / "short", steps=2 * steps)
    assert longer.fit() is longer.model
    assert longer.step == 2 * steps


def test_a_run_without_a_level_checkpoint_begins_anew(recipe, tmp_path, caplog):
    expected = weights_of(recipe.trainer(tmp_path / "long", steps=13).fit())
    recipe.trainer(tmp_path / "short", check_every=12).fit()
    assert not (tmp_path / "short" / LEVEL).exists()
    with caplog.at_level(logging.WARNING):
        model = recipe.trainer(tmp_path / "short", steps=13).fit()
    assert_equal(weights_of(model), expected)
    assert "a run of 13 begins anew" in caplog.text


def test_a_longer_run_is_not_lost_to_a_shorter_one(recipe, tmp_path):
    recipe.trainer(tmp_path).fit()
    before = (tmp_path / LATEST).read_bytes()
    with pytest.raises(PretrainingError, match="a run of 12 steps that has come to step 12, and 5"):
        recipe.trainer(tmp_path, steps=5).fit()
    assert (tmp_path / LATEST).read_bytes() == before


def test_a_shorter_run_goes_on_from_where_both_are_alike(recipe, tmp_path, monkeypatch):
    expected = weights_of(recipe.trainer(tmp_path / "short", steps=9).fit())
    with monkeypatch.context() as patch:
        kill_at(patch, 4)
        with pytest.raises(Killed):
            recipe.trainer(tmp_path / "long").fit()
    trainer = recipe.trainer(tmp_path / "long", steps=9)
    assert_equal(weights_of(trainer.fit()), expected)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 1}, "training.seed was 0, now 1"),
        ({"batch": 24}, "training.batch was 16, now 24"),
        ({"precision": "bfloat16"}, "training.precision was 'float32', now 'bfloat16'"),
        ({"optimizer": {"average": 0.5}}, "optimizer.average was 0.998, now 0.5"),
        ({"model": {"hidden": 32}}, "model.hidden was 24, now 32"),
        ({"corpus": {"mixed": 0.2}}, "corpus.mixed was 0.35, now 0.2"),
        ({"corpus": {"contexts": {32: 0.4, 64: 0.6}}}, "corpus.contexts was"),
    ],
)
def test_checkpoints_of_other_settings_are_refused(changes, said, recipe, tmp_path):
    recipe.trainer(tmp_path, steps=3).fit()
    changed = {
        name: replace(getattr(recipe, name), **part) if isinstance(part, dict) else part
        for name, part in changes.items()
    }
    with pytest.raises(PretrainingError, match="made with other settings") as error:
        recipe.trainer(tmp_path, **changed).fit()
    assert said in str(error.value)
    assert "give the run another folder" in str(error.value)


def test_how_often_it_checks_changes_no_weight(recipe, whole, tmp_path):
    trainer = recipe.trainer(tmp_path, check_every=5, held_out=8, checks={"a": lambda _: {"b": 1}})
    assert_equal(weights_of(trainer.fit()), whole[0])


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_damaged_checkpoints_are_refused(content, recipe, tmp_path):
    recipe.trainer(tmp_path, steps=3).fit()
    path = tmp_path / LATEST
    path.write_bytes(path.read_bytes()[:-500] if content is None else content)
    with pytest.raises(PretrainingError, match=r"checkpoint\.pt is no checkpoint that can be read"):
        recipe.trainer(tmp_path).fit()


def test_checkpoints_of_another_format_are_refused(recipe, tmp_path):
    recipe.trainer(tmp_path, steps=3).fit()
    state = torch.load(tmp_path / LATEST, weights_only=True)
    torch.save({**state, "format": 0}, tmp_path / LATEST)
    with pytest.raises(PretrainingError, match="has format 0, expected 1"):
        recipe.trainer(tmp_path).fit()


def test_a_loss_that_is_not_finite_ends_the_run(recipe, tmp_path, monkeypatch):
    trainer = recipe.trainer(tmp_path)
    stream = module.stream_batches

    def broken(*args, **kwargs):
        for number, batch in enumerate(stream(*args, **kwargs)):
            yield batch if number < 7 else batch._replace(targets=batch.targets * torch.inf)

    monkeypatch.setattr(module, "stream_batches", broken)
    with pytest.raises(PretrainingError, match=r"the loss is (nan|inf) at step 7 .*lower opt"):
        trainer.fit()
    assert torch.load(tmp_path / LATEST, weights_only=True)["step"] == 6
    assert all(weight.isfinite().all() for weight in trainer.model.parameters())


def test_checks_see_the_average_and_enter_the_curve(recipe, whole, tmp_path):
    seen = []

    def check(model):
        assert not model.training
        seen.append(weights_of(model))
        return {"mse": float(len(seen)), "mae": 0.5}

    trainer = recipe.trainer(tmp_path, checks={"sample": check})
    trainer.fit()
    assert [point["sample_mse"] for point in trainer.curve] == [1, 2, 3, 4]
    assert_equal(seen[-1], whole[0])


def test_the_callers_random_numbers_stay_where_they_were(recipe, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    recipe.trainer(tmp_path, steps=1).fit()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_kinds_and_precisions_resume_alike(kind, precision, recipe, tmp_path, monkeypatch):
    optimizer = replace(recipe.optimizer, kind=kind)
    changes = {"optimizer": optimizer, "precision": precision, "steps": 6}
    expected = weights_of(recipe.trainer(tmp_path / "whole", **changes).fit())
    assert all(weight.dtype == torch.float32 for weight in expected.values())
    with monkeypatch.context() as patch:
        kill_at(patch, 5)
        with pytest.raises(Killed):
            recipe.trainer(tmp_path / "killed", **changes).fit()
    assert_equal(weights_of(recipe.trainer(tmp_path / "killed", **changes).fit()), expected)


def test_misfits_are_refused_before_anything_is_drawn(recipe, tmp_path):
    with pytest.raises(PretrainingError, match=r"corpus\.horizon must be model\.horizon, got 8"):
        recipe.trainer(tmp_path, corpus=replace(recipe.corpus, horizon=8))
    with pytest.raises(PretrainingError, match=r"multiple of training\.batch"):
        recipe.trainer(tmp_path, batch=20)


def test_the_log_tells_losses_and_pace(recipe, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        recipe.trainer(tmp_path).fit()
    lines = [r.message for r in caplog.records if r.message.startswith("Step")]
    assert len(lines) == 4
    assert lines[0].startswith("Step 3 of 12: training loss ")
    assert lines[-1].endswith(" steps/s, 0 s left")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gpu_learns_and_resumes(precision, recipe, tmp_path, monkeypatch):
    changes = {"device": "cuda", "precision": precision, "steps": 60, "check_every": 20}
    trainer = recipe.trainer(tmp_path / "whole", **changes)
    trainer.fit()
    with monkeypatch.context() as patch:
        kill_at(patch, 50)
        with pytest.raises(Killed):
            recipe.trainer(tmp_path / "killed", **changes).fit()
    resumed = recipe.trainer(tmp_path / "killed", **changes)
    assert all(weight.isfinite().all() for weight in weights_of(resumed.fit()).values())
    # Sums on a GPU come in no fixed order.
    for one, other in zip(resumed.curve, trainer.curve, strict=True):
        assert one["held_out_64"] == pytest.approx(other["held_out_64"], rel=0.05)
