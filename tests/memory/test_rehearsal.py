"""Training rehearsed on stretches of training time that it does not know."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import LEVELS
from domains import H, L
from tsmemory.memory.adapter import AdapterConfig
from tsmemory.memory.closed_form import fit_closed_form
from tsmemory.memory.config import FusionConfig, GuardConfig, ObjectiveConfig, TrainingConfig
from tsmemory.memory.course import Course, held_fusion, ridges_of
from tsmemory.memory.lessons import Lessons
from tsmemory.memory.objective import pinball
from tsmemory.memory.out_of_fold import STATES
from tsmemory.memory.paper_adapter import PaperConfig
from tsmemory.memory.seeded import SeededAdapters
from tsmemory.memory.training import distil_seeds
from tsmemory.teacher.synthesis import TeacherTargets

FUSION = FusionConfig(block=4, guard=GuardConfig(enabled=False))
FAST = TrainingConfig(epochs=3, patience=3, batch_size=64, learning_rate=3e-3)
LEARNS = replace(FAST, epochs=8, learning_rate=1e-2)


@pytest.fixture(scope="module")
def learnable(make_domain):
    """Steps of either sign after a spike of either height: no linear map of the context knows."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(3):
        row = rng.normal(0, 0.05, 600)
        for at in range(0, 600, 16):
            big = rng.random() < 0.5
            row[at : at + 2] += (4.0 if big else 2.0) * np.array([1, -1])
            row[at + 2 : at + 16] += 1.5 if big else -1.5
        rows.append(row.astype(np.float32))
    return make_domain(rows, 400, season=16)


@pytest.fixture(scope="module")
def closed_form(learnable):
    return fit_closed_form(
        learnable.train_windows,
        learnable.train,
        learnable.validation_windows,
        penalties=(10.0, 1e3),
        folds=3,
        config=FUSION,
    )


def sizes_of(domain):
    keys = domain.train.forecasts.keys.shape[1]
    return AdapterConfig(L, H, LEVELS, keys, block=4, patch_length=8, patch_width=4, width=16)


def distil(domain, closed_form, config=FAST, fusion=FUSION, seeds=(0,)):
    return distil_seeds(
        domain.train,
        domain.validation,
        TeacherTargets(domain.teacher, domain.train.windows, domain.neighbours),
        closed_form=closed_form,
        adapter=sizes_of(domain),
        objective_config=ObjectiveConfig(),
        config=config,
        fusion=fusion,
        stride=1,
        seeds=seeds,
    )


def course_of(domain, closed_form, config=FAST, sizes=None):
    sizes = sizes or sizes_of(domain)
    targets = TeacherTargets(domain.teacher, domain.train.windows, domain.neighbours)
    held, ridges = held_fusion(sizes, closed_form), ridges_of(sizes, closed_form)
    lessons = Lessons.prepare(domain.train, targets, ObjectiveConfig(), held, ridges)
    return Course(lessons, domain.validation, closed_form, sizes, config, FUSION, 1)


@pytest.fixture(scope="module")
def course(learnable, closed_form):
    return course_of(learnable, closed_form, LEARNS)


@pytest.fixture(scope="module")
def rehearsal(course):
    return course.rehearse(0)


def test_no_stretch_shares_a_step_with_what_its_adapter_learns_from(learnable, course):
    stage, windows = course.stage(), learnable.train.windows
    calendar = windows.calendar(learnable.series)
    for stretch in stage.cross_fit.members():
        others = stage.others(stretch)
        first, last = calendar[stretch].min(), calendar[stretch].max() + L + H
        expected = [n for n, at in enumerate(calendar) if at + L + H <= first or at >= last]
        assert others.tolist() == expected
        assert len(others) > 0


def test_each_adapter_is_taught_by_windows_of_other_stretches_alone(
    learnable, closed_form, monkeypatch
):
    asked, plain = [], Lessons.terms

    def watched(lessons, model, chosen, *rest):
        asked.append((id(model), chosen))
        return plain(lessons, model, chosen, *rest)

    monkeypatch.setattr(Lessons, "terms", watched)
    course = course_of(learnable, closed_form, replace(FAST, epochs=2))
    course.rehearse(0)
    stage = course.stage()
    models = list(dict.fromkeys(model for model, _ in asked))
    assert len(models) == 3
    for model, stretch in zip(models, stage.cross_fit.members(), strict=True):
        seen = np.concatenate([chosen for asker, chosen in asked if asker == model])
        expected = np.sort(np.tile(stage.others(stretch), 2))  # once in every epoch
        np.testing.assert_array_equal(np.sort(seen), expected)


def test_what_can_be_learnt_helps_on_unknown_stretches(rehearsal):
    assert rehearsal.epochs > 0
    assert rehearsal.epochs == int(np.argmin(rehearsal.losses))
    assert min(rehearsal.losses) < 0.97 * rehearsal.losses[0]
    lines = rehearsal.history(7)
    assert [line["rehearsal"] for line in lines] == rehearsal.losses
    assert [line["epoch"] for line in lines if line["best"]] == [rehearsal.epochs]


def test_the_loss_is_that_of_memories_that_do_not_know_the_window(learnable, course, rehearsal):
    stage, median = course.stage(), LEVELS.index(0.5)
    total, count = 0.0, 0
    for part in stage.parts(rehearsal.recall, 10**9)():
        error = pinball(part.target, part.fuse(stage.held, median), torch.tensor(LEVELS))
        total += float(error.double().sum())
        count += error.numel()
    assert stage.watch(rehearsal.recall) == pytest.approx(total / count, rel=1e-5)
    assert min(rehearsal.losses) == pytest.approx(total / count, rel=1e-5)
    plain = stage.parts(None, 10**9)()
    before = stage.parts(course.untrained(), 10**9)()
    for one, other in zip(plain, before, strict=True):  # untrained it is the closed form
        torch.testing.assert_close(
            one.memory[:, median], other.memory[:, median], atol=1e-4, rtol=1e-4
        )
    assert stage.losses(rehearsal.recall).shape == (len(stage.origins()), 3)
    assert rehearsal.losses[0] == pytest.approx(stage.watch(course.untrained()), rel=1e-5)


def test_no_more_passes_are_made_than_helped(learnable, closed_form, monkeypatch):
    stubs = {}
    plain = Course.rehearse

    def fixed(course, seed):
        return replace(plain(course, seed), epochs=stubs["epochs"])

    monkeypatch.setattr(Course, "rehearse", fixed)
    for epochs in (1, 2):
        stubs["epochs"] = epochs
        _, curves = distil(learnable, closed_form)
        assert max(line["epoch"] for line in curves if "rehearsal" not in line) == epochs
    stubs["epochs"] = 0
    adapters, curves = distil(learnable, closed_form)
    assert not adapters.report["0"]["trained_part_kept"]
    assert adapters.out_of_fold is None
    assert [line["epoch"] for line in curves if "rehearsal" not in line] == [0]


def test_training_that_harms_where_it_knows_nothing_is_not_done(learnable, closed_form):
    adapters, curves = distil(learnable, closed_form, replace(FAST, learning_rate=1e3, patience=1))
    rehearsed = [line for line in curves if "rehearsal" in line]
    assert [line["best"] for line in rehearsed] == [True, False]  # patience ran out
    assert adapters.report["0"]["rehearsed_epochs"] == 0
    assert not adapters.report["0"]["trained_part_kept"]
    assert not adapters.shipped.has_learnt


def test_what_was_rehearsed_speaks_for_a_trained_memory_alone(learnable, closed_form, tmp_path):
    adapters, curves = distil(learnable, closed_form, LEARNS, seeds=(0, 1))
    known = adapters.out_of_fold
    assert adapters.report["0"]["rehearsed_epochs"] > 0
    assert {line["seed"] for line in curves if "rehearsal" in line} == {0}
    memory = STATES.index("memory")
    assert known.losses[memory].mean() < closed_form.out_of_fold.losses[memory].mean()
    assert adapters.evidence(1, closed_form) is known
    undone = {**adapters.report, "1": {**adapters.report["1"], "trained_part_kept": False}}
    some = SeededAdapters(adapters.adapters, undone, known)
    assert some.evidence(0, closed_form) is known
    assert some.evidence(1, closed_form) is closed_form.out_of_fold
    bare = SeededAdapters(adapters.adapters, adapters.report)
    assert bare.evidence(0, closed_form) is closed_form.out_of_fold
    for number, saved in enumerate((adapters, bare)):
        saved.save_pretrained(tmp_path / str(number))
        read = SeededAdapters.from_pretrained(tmp_path / str(number)).out_of_fold
        assert (read is None) == (saved.out_of_fold is None)
    read = SeededAdapters.from_pretrained(tmp_path / "0").out_of_fold
    assert read.summary() == known.summary()
    for name, values in known.tensors().items():
        assert torch.equal(read.tensors()[name], values)


def test_the_guard_hears_the_rehearsal(learnable, closed_form):
    asked = replace(FUSION, guard=GuardConfig())
    for weight, said in ((1.0, True), (0.0, False)):
        fusion = replace(asked, training_weight=weight)
        line = distil(learnable, closed_form, LEARNS, fusion)[0].report["0"]
        assert ("training" in str(line.get("judged_on"))) == said
    plain = distil(learnable, closed_form, replace(LEARNS, rehearse=False), asked)[0]
    assert "judged_on" not in plain.report["0"]
    assert "rehearsed_epochs" not in plain.report["0"]


def test_one_seed_rehearses_the_same_and_leaves_the_generator_alone(learnable, closed_form):
    course = course_of(learnable, closed_form, replace(FAST, epochs=1))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = course.rehearse(3)
    assert torch.equal(torch.rand(1), expected)
    second = course.rehearse(3)
    assert first.losses == second.losses
    for one, other in zip(first.adapters, second.adapters, strict=True):
        for name, values in one.state_dict().items():
            assert torch.equal(values, other.state_dict()[name])
    assert course.rehearse(4).losses != first.losses


def test_distillation_leaves_the_callers_generator_where_it_was(learnable, closed_form):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    adapters, _ = distil(learnable, closed_form, LEARNS)
    assert torch.equal(torch.rand(1), expected)
    assert adapters.report["0"]["trained_part_kept"]


def test_nothing_is_rehearsed_where_it_is_not_wanted_or_not_possible(learnable, closed_form):
    paper = PaperConfig(L, H, LEVELS, width=16, heads=2, feedforward=32)
    without = replace(closed_form, cross_fit=None)
    for course in (
        course_of(learnable, closed_form, replace(FAST, rehearse=False)),
        course_of(learnable, closed_form, replace(FAST, epochs=0)),
        course_of(learnable, closed_form, sizes=paper),
        course_of(learnable, without),
    ):
        assert course.rehearse(0) is None


def test_recalling_keeps_no_gradient(course, rehearsal):
    part = next(iter(course.stage().parts(rehearsal.recall, 10**9)()))
    assert not part.memory.requires_grad
    assert (part.memory.diff(dim=1) >= 0).all()
    assert all(not adapter.training for adapter in rehearsal.adapters)
