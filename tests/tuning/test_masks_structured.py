import pickle
from dataclasses import replace

import numpy as np
import optuna
import pytest
from mask_bench import STUDY, TRACE, mask_bench

from tsmemory.trace.arms import run_arm
from tsmemory.trace.config import HeadConfig, TraceConfig
from tsmemory.tuning.masks.structured import (
    StructuredProblem,
    StructuredSettings,
    with_settings,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("structured") / "base"


@pytest.fixture(scope="module")
def problem(base):
    return StructuredProblem(mask_bench(base), STUDY, 0)


def drawn(problem, count):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [problem.suggest(study.ask()) for _ in range(count)]


def test_the_default_is_what_is_configured(problem):
    study = optuna.create_study()
    study.enqueue_trial(problem.default)
    settings = problem.suggest(study.ask())
    assert settings == problem.settings_of(problem.default)
    assert settings.apply(problem.bench.config) == problem.bench.config
    training = problem.bench.config.training
    assert (training.steps, training.batch_size) == (STUDY.retrain_steps, STUDY.batch_size)


@pytest.mark.parametrize("steps", [2, 6, 80])
def test_all_settings_are_possible(base, steps):
    problem = StructuredProblem(mask_bench(base), replace(STUDY, retrain_steps=steps), 0)
    for settings in drawn(problem, 40):
        config = settings.apply(problem.bench.config)
        assert config.selection.last_round < config.training.steps <= steps
        assert settings.apply(TRACE).training.steps == TRACE.training.steps


def test_settings_as_parameters(problem):
    settings = StructuredSettings({"lora.rank": 4, "training.lora_rate": 0.1, "head.rank": 8})
    assert settings.overrides() == {
        "trace": {"lora": {"rank": 4}, "training": {"lora_rate": 0.1}, "head": {"rank": 8}}
    }
    assert settings.apply(TraceConfig()).lora.rank == 4
    for each in drawn(problem, 3):
        assert problem.settings_of(each.values) == each


def test_a_score_is_that_of_trace_on_the_earlier_part(problem):
    settings = StructuredSettings({**problem.default, "lora.rank": 1, "selection.round_steps": 1})
    run = run_arm(with_settings(problem.bench, settings), "trace", 0)
    early = problem.bench.examples(problem.bench.windows.scoring, TRACE.head)
    wanted = float(early.at_most(STUDY.windows).mean_losses(run.model).sum())
    assert problem.score(settings) == pytest.approx(wanted, abs=1e-5)


def test_other_heads_are_solved_on_the_same_tokens(base):
    problem = StructuredProblem(mask_bench(base), STUDY, 0)
    problem.score(problem.settings_of(problem.default))
    other = with_settings(problem.bench, StructuredSettings({"head.kind": "pooling"}))
    assert other._rows is problem.bench._rows
    assert other.config.head == replace(TRACE.head, kind="pooling")
    assert problem.bench.config.head == TRACE.head


def test_the_later_part_confirms_or_keeps_what_is_configured(problem):
    table = problem.confirm(problem.settings_of({**problem.default, "training.lora_rate": 0.05}))
    assert list(table["settings"]) == ["default", "tuned"]
    assert table["chosen"].sum() == 1
    assert table["gain"][1] == pytest.approx(1 - table["loss"][1] / table["loss"][0])
    same = problem.confirm(problem.settings_of(problem.default))
    assert same["gain"][1] == 0.0
    assert list(same["chosen"]) == [True, False]


def test_it_can_be_sent_to_another_process(problem):
    sent = pickle.loads(pickle.dumps(problem))
    assert sent.fingerprint() == problem.fingerprint()
    assert sent.default == problem.default
    settings = sent.settings_of(sent.default)
    assert sent.score(settings) == problem.score(settings)
    assert np.array_equal(sent._later.start, problem._later.start)


def test_another_study_has_another_fingerprint(problem, base):
    others = [
        StructuredProblem(mask_bench(base), STUDY, 1),
        StructuredProblem(mask_bench(base), replace(STUDY, windows=20), 0),
        StructuredProblem(
            mask_bench(base, config=replace(TRACE, head=HeadConfig(kind="pooling"))), STUDY, 0
        ),
    ]
    assert len({p.fingerprint() for p in [problem, *others]}) == 4
