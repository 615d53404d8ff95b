"""The gates study from its first trial to what is taken, on a problem of one parameter."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from tsmemory.memory.config import FusionConfig, ObjectiveConfig
from tsmemory.scaleout.shards import ShardCache
from tsmemory.tuning.config import GatesConfig
from tsmemory.tuning.gate_study import GateObjective, chosen_settings, tune_gates
from tsmemory.tuning.gates.scores import BlockScores
from tsmemory.tuning.gates.settings import GateSettings
from tsmemory.tuning.workers import run_study

ORIGINS = np.arange(240)
BLOCK = ORIGINS // 60
DEFAULT = GateSettings("embedding", 20, 0.9, ObjectiveConfig(), FusionConfig())
CONFIG = GatesConfig(trials=12, promoted=2)
DESCRIPTION = {"blocks": 4, "validation_windows": 240, "purged_steps": 0, "purged_wholly": True}


@dataclass(frozen=True)
class Valley:
    """The temperature is the only parameter, and is best at 0.3."""

    gain: float = 1.0
    scored: list = field(default_factory=list)
    distilled_settings: list = field(default_factory=list)
    settings: GateSettings = DEFAULT

    @property
    def default(self):
        return {"temperature": 0.9}

    def suggest(self, trial):
        return self.settings_of({"temperature": trial.suggest_float("temperature", 0.02, 1.0)})

    def settings_of(self, values):
        return replace(DEFAULT, temperature=values["temperature"])

    def score(self, settings, on_block=None):
        self.scored.append(settings.temperature)
        scores = self._scores(settings)
        for number in range(4):
            on_block(number, float(np.mean(scores.by_block()[: number + 1])))
        return scores.value

    def distilled(self, settings):
        self.distilled_settings.append(settings.temperature)
        return self._scores(settings).noted(trained_part_kept=True)

    def _scores(self, settings):
        rng = np.random.default_rng(0)
        loss = 1 + self.gain * (settings.temperature - 0.3) ** 2 + rng.normal(0, 0.1, len(ORIGINS))
        sums = np.stack([loss, np.ones_like(loss)], axis=-1)[:, None]
        return BlockScores(ORIGINS, BLOCK, sums)

    def for_worker(self):
        return self

    def fingerprint(self):
        return "valley"

    def describe(self):
        return DESCRIPTION


def tune(folder, problem, config=CONFIG):
    return tune_gates(problem, config, folder / "j", ShardCache(folder / "work"), horizon=4, seed=0)


@pytest.fixture(scope="module")
def problem():
    return Valley()


@pytest.fixture(scope="module")
def study(tmp_path_factory, problem):
    return tune(tmp_path_factory.mktemp("study"), problem)


def test_both_searches_have_as_many_trials(study):
    trials = study.trials()
    assert trials.groupby("study").size().to_dict() == {"random": 12, "tpe": 12}
    assert (trials[trials["number"] == 0]["setting"] == "default").all()


def test_settings_that_are_known_are_not_scored_again(study, problem):
    trials = study.trials()
    complete = trials[trials["state"] == "complete"]["temperature"]
    assert complete.duplicated().sum() >= 2
    for temperature in set(complete):
        assert problem.scored.count(temperature) == 1


def test_the_best_few_are_distilled_once_beside_the_default(study, problem):
    promoted = study.promoted()
    assert promoted.groupby("study").size().to_dict() == {"random": 3, "tpe": 3}
    assert len(problem.distilled_settings) == len(set(problem.distilled_settings)) <= 5
    assert DEFAULT.temperature in problem.distilled_settings
    default = promoted[promoted["trial"] == 0]
    assert (default["skill"] == 0).all()
    assert (promoted[promoted["trial"] > 0]["skill"] > 0).all()
    assert promoted["cheap"].tolist() == pytest.approx(promoted["full"].tolist())


def test_what_is_taken_is_the_best_of_them(study):
    found = study.to_json()
    assert found["taken"]
    taken = found["settings"]["tuned"]
    assert found["overrides"] == taken["overrides"]
    assert found["overrides"]["teacher"]["temperature"] == pytest.approx(0.3, abs=0.2)
    assert taken["loss"] == study.promoted()["full"].min()
    assert found["settings"]["default"]["overrides"] == DEFAULT.overrides()
    assert found["study"] in found["study_name"]
    assert "is taken: better than the default" in found["says"]


def test_without_a_gain_beyond_noise_the_default_stays(tmp_path):
    found = tune(tmp_path, Valley(gain=0.0)).to_json()
    assert not found["taken"]
    assert found["overrides"] == {}
    assert found["says"].startswith("the default stays after 12 trials")


def test_random_search_can_be_left_out(tmp_path):
    study = tune(tmp_path, Valley(), replace(CONFIG, random_search=False))
    assert set(study.trials()["study"]) == {"tpe"}
    assert list(study.to_json()["settings"]) == ["default", "tuned"]


def test_it_goes_on_from_what_a_killed_run_left(tmp_path, study):
    broken = Valley()

    def stop(settings):
        raise KeyboardInterrupt

    object.__setattr__(broken, "distilled", stop)
    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path, broken)
    again = Valley()
    assert tune(tmp_path, again).trials().equals(tune(tmp_path, Valley()).trials())
    assert again.scored == []
    assert again.distilled_settings


def test_chosen_settings_are_read_back(study):
    chosen = chosen_settings(study.to_json())
    assert [choice.name for choice in chosen] == ["default", "tuned", "random_search"]
    assert [choice.trials for choice in chosen] == [0, 12, 12]
    assert all(np.mean(choice.blocks) == pytest.approx(choice.loss) for choice in chosen)


def test_an_objective_can_be_sent_to_other_processes(tmp_path):
    from studies import plan_of

    settings = {"default": {"temperature": 0.9}}
    study = run_study(
        tmp_path / "j", plan_of(6, settings=settings), GateObjective(Valley()), workers=2
    )
    assert len(study.get_trials()) == 6
