import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import torch

from domains import H, small_domain
from tsmemory.memory.closed_form import fit_closed_form
from tsmemory.memory.config import (
    AdapterSizes,
    FusionConfig,
    GuardConfig,
    ObjectiveConfig,
    TrainingConfig,
)
from tsmemory.memory.split import memory_parts
from tsmemory.memory.training import distil_seeds
from tsmemory.teacher.neighbours import find_neighbours
from tsmemory.teacher.synthesis import Teacher, TeacherTargets
from tsmemory.tuning.errors import TuningError
from tsmemory.tuning.gates.bench import sizes_for, threshold_at, untrusted_share
from tsmemory.tuning.gates.problem import Fidelity, GateProblem
from tsmemory.tuning.gates.settings import CalibrationSettings, TeacherSettings

FUSION = FusionConfig(block=5, guard=GuardConfig(samples=100))
TEACHER = TeacherSettings(k=8, k_min=3, shift_length=8, calibration=CalibrationSettings(False))
TRAINING = TrainingConfig(epochs=1, batch_size=64)


@pytest.fixture(scope="module")
def domain():
    return small_domain()


@pytest.fixture(scope="module")
def closed_form(domain):
    return fit_closed_form(
        domain.train_windows,
        domain.train,
        domain.validation_windows,
        penalties=(10.0, 1e3),
        folds=3,
        config=FUSION,
    )


def problem_of(domain, closed_form, **changes):
    given = {
        "teacher": TEACHER,
        "adapter": AdapterSizes(patch_length=8, patch_width=4, width=6),
        "objective": ObjectiveConfig(),
        "training": TRAINING,
        "fusion": FUSION,
        "horizons": (4, H),
        "stride": 1,
        "fidelity": Fidelity(1000, 800, 900, 1200, blocks=3),
    }
    given |= changes
    return GateProblem.prepare(
        domain.train, given.pop("validation", domain.validation), domain.store, closed_form, **given
    )


@pytest.fixture(scope="module")
def problem(domain, closed_form):
    return problem_of(domain, closed_form)


@pytest.fixture(scope="module")
def study(problem):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(problem.default)
    return study


@pytest.fixture(scope="module")
def tried(problem, study):
    """The default and some others."""
    return [problem.suggest(study.ask()) for _ in range(6)]


def test_the_default_comes_back_as_it_is_configured(problem, tried):
    assert tried[0] == problem.settings
    assert tried[0].objective == ObjectiveConfig()
    assert tried[0].fusion == FUSION
    assert (tried[0].k, tried[0].key_kind) == (8, "window")
    assert len(set(map(repr, tried))) == len(tried)


def test_a_trials_parameters_give_its_setting_again(problem, study, tried):
    for trial, settings in zip(study.get_trials(), tried, strict=True):
        assert problem.settings_of(trial.params) == settings


def test_the_share_that_is_not_trusted_becomes_a_threshold(problem, study, tried):
    for trial, settings in zip(study.get_trials()[1:], tried[1:], strict=True):
        confidence = problem.bench.neighbours(settings).confidence
        left_out = untrusted_share(confidence, settings.objective.confidence_threshold)
        assert left_out == pytest.approx(trial.params["untrusted_share"], abs=0.05)
    assert threshold_at(np.array([0.2, 0.4]), 0.0) == 0.0


def test_a_score_is_what_its_blocks_say_and_repeats(problem, tried):
    for settings in tried[:3]:
        told = []
        value = problem.score(settings, lambda number, value, told=told: told.append(value))
        assert told[-1] == value
        assert len(told) == problem.bench.folds.count == 3
        assert problem.scores(settings).value == value


def test_settings_matter(problem, tried):
    assert len({problem.score(settings) for settings in tried}) > 3


def test_a_worker_scores_the_same(problem, tried):
    sent = pickle.loads(pickle.dumps(problem.for_worker()))
    assert sent.fingerprint() == problem.fingerprint()
    assert sent.score(tried[1]) == problem.score(tried[1])
    with pytest.raises(TuningError, match="cheap trials"):
        sent.distil(tried[1])


def test_full_fidelity_is_the_distillation_of_the_pipelines(problem, tried, domain, closed_form):
    """By hand, for the default setting."""
    neighbours = find_neighbours(
        domain.store,
        domain.train.forecasts.keys,
        domain.train_windows,
        domain.series,
        k=8,
        k_min=3,
        temperature=0.12,
        embargo="overlap",
        shard_size=100,
    )
    levels = domain.train.forecasts.levels
    teacher = Teacher(domain.store, domain.series, levels, 8, "midpoint")
    adapters, _ = distil_seeds(
        domain.train,
        domain.validation,
        TeacherTargets(teacher, domain.train_windows, neighbours),
        closed_form=closed_form,
        adapter=sizes_for(domain.train, problem.bench.adapter, FUSION),
        objective_config=ObjectiveConfig(),
        config=TRAINING,
        fusion=FUSION,
        stride=1,
        seeds=(0,),
    )
    folds = problem.distillery.folds
    parts = list(memory_parts(folds.split, adapters.shipped)())
    wanted = folds.score(parts, FUSION, adapters.evidence(0, closed_form))
    found = problem.distilled(tried[0])
    assert found.value == pytest.approx(wanted.value, rel=1e-6)
    assert found.notes["trained_part_kept"] == adapters.report["0"]["trained_part_kept"]
    assert problem.distil(tried[0]) == found.value


@pytest.mark.parametrize("number", [1, 2])
def test_other_settings_can_be_distilled(problem, tried, number):
    found = problem.distilled(tried[number])
    assert np.isfinite(found.value)
    default = problem.distilled(tried[0])
    np.testing.assert_array_equal(found.origin_time, default.origin_time)
    np.testing.assert_array_equal(found.block, default.block)


def test_whatever_is_scored_belongs_to_the_fingerprint(domain, closed_form, problem):
    prints = {problem.fingerprint()}
    others = [
        {"metric": "mae"},
        {"horizons": (H,)},
        {"teacher": replace(TEACHER, k=9)},
        {"teacher": replace(TEACHER, embargo="causal")},
        {"objective": ObjectiveConfig(huber=2.0)},
        {"fusion": replace(FUSION, guard=GuardConfig(samples=200))},
        {"fidelity": Fidelity(1000, 800, 900, 1200, blocks=4)},
        {"seed": 1},
        {"validation": domain.validation.take(slice(0, 200))},
    ]
    for changes in others:
        prints.add(problem_of(domain, closed_form, **changes).fingerprint())
    assert len(prints) == len(others) + 1
    assert problem_of(domain, closed_form).fingerprint() == problem.fingerprint()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher": replace(TEACHER, embargo="self")}, "teacher.embargo = self"),
        ({"objective": ObjectiveConfig(form="code")}, "distillation.profile"),
    ],
)
def test_what_cannot_be_tuned_honestly_is_refused(domain, closed_form, changes, said):
    with pytest.raises(TuningError, match=said):
        problem_of(domain, closed_form, **changes)


def test_a_validation_of_one_origin_is_refused(domain, closed_form):
    calendar = domain.validation_windows.calendar(domain.series)
    one = domain.validation.take(np.flatnonzero(calendar == calendar.min()))
    with pytest.raises(TuningError, match="validation has 1 forecast origin"):
        problem_of(domain, closed_form, validation=one)


def test_a_training_split_too_short_to_rehearse_is_tuned_all_the_same(domain, closed_form):
    short = replace(closed_form, cross_fit=None, out_of_fold=None)
    problem = problem_of(domain, short)
    assert problem.space.choices["min_spread"] == (None,)
    assert np.isfinite(problem.score(problem.settings))


def test_the_teacher_is_heard_by_the_mean_of_its_futures(problem, domain):
    settings, lessons = problem.settings, problem.bench.lessons
    neighbours = problem.bench.neighbours(settings)
    futures = domain.teacher.aligned_futures(lessons.windows, neighbours, H)
    wanted = np.einsum("bk,bkh->bh", neighbours.weight, np.nan_to_num(futures))
    known = neighbours.weight.sum(axis=1) > 0
    found = problem.bench.taught(settings).mean.numpy()
    np.testing.assert_allclose(found[known], wanted[known], rtol=1e-4, atol=1e-5)
    assert np.isnan(found[~known]).all()


@pytest.mark.parametrize("gate", ["out_of_fold", "none"])
def test_the_gate_is_the_one_configured(domain, closed_form, gate):
    problem = problem_of(domain, closed_form, objective=ObjectiveConfig(gate=gate))
    taught = problem.bench.taught(problem.settings)
    assert (taught.advantage is not None) == (gate == "out_of_fold")
    assert np.isfinite(problem.score(problem.settings))


def test_missing_futures_count_for_nothing(domain, closed_form):
    flat = domain.series.flat.copy()
    flat[::7] = np.nan
    series = replace(domain.series, flat=flat)
    problem = problem_of(
        SimpleNamespace(
            train=replace(domain.train, series=series),
            validation=replace(domain.validation, series=series),
            store=domain.store,
        ),
        closed_form,
    )
    assert torch.isfinite(problem.bench.taught(problem.settings).mean).float().mean() > 0.9
    assert np.isfinite(problem.score(problem.settings))


def test_re_ranking_bounds_the_neighbours_that_are_tried(domain, closed_form):
    teacher = replace(TEACHER, rerank_pool=10)
    problem = problem_of(domain, closed_form, teacher=teacher)
    assert problem.space.choices["k"] == (5, 8, 10)
    assert problem.bench.pools["tail"].position.shape[1] == 10
    assert np.isfinite(problem.score(problem.settings))


def test_a_single_number_of_neighbours_may_be_all_there_is(domain, closed_form):
    teacher = replace(TEACHER, k_min=8, rerank_pool=8)
    problem = problem_of(domain, closed_form, teacher=teacher)
    assert problem.space.choices["k"] == (8,)


@pytest.mark.parametrize("base", ["backbone", "ridge"])
def test_ablated_adapters_are_tuned_all_the_same(domain, closed_form, base):
    sizes = AdapterSizes(patch_length=8, patch_width=4, width=6, base=base)
    problem = problem_of(domain, closed_form, adapter=sizes)
    assert np.isfinite(problem.score(problem.settings))


@pytest.mark.parametrize("wrong", [{"blocks": 1}, {"train_steps": 0}])
def test_a_trial_looks_at_something(wrong):
    with pytest.raises(ValueError, match=r"blocks|steps"):
        Fidelity(**wrong)
