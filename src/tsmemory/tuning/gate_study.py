"""The gates study from its first trial to what is taken of it."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import TrialState

from tsmemory.fingerprint import code_digest, digest
from tsmemory.scaleout.shards import ShardCache, map_shards
from tsmemory.tuning.config import GatesConfig
from tsmemory.tuning.gates.problem import GateProblem
from tsmemory.tuning.gates.promotion import DEFAULT as DEFAULT_TRIAL
from tsmemory.tuning.gates.promotion import Choice, choose, promote
from tsmemory.tuning.gates.scores import BlockScores
from tsmemory.tuning.gates.settings import GateSettings
from tsmemory.tuning.overtuning import DEFAULT, RANDOM, TUNED, Chosen
from tsmemory.tuning.plan import SamplerKind, StudyPlan
from tsmemory.tuning.study import SETTING, finished, report_block
from tsmemory.tuning.tables import importance_table, trials_table
from tsmemory.tuning.workers import run_study

_SEARCHES: dict[str, SamplerKind] = {TUNED: "tpe", RANDOM: "random"}
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GateObjective:
    """A trial of the gates study, which can be sent to another process.

    Attributes:
        problem: What is optimised.
        known: Values after each block of the settings that were scored to the end, by their key:
            TPE begins with trials that random search makes as well.
    """

    problem: GateProblem
    known: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def __call__(self, trial: optuna.Trial) -> float:
        """Score a proposed setting, block by block."""
        settings, values = self.problem.suggest(trial), list[float]()

        def on_block(number: int, value: float) -> None:
            values.append(value)
            report_block(trial, number + 1, value)

        key = _key(settings)
        if key not in self.known:
            value = self.problem.score(settings, on_block)
            self.known[key] = (*values, value)
            return value
        *blocks, value = self.known[key]
        for number, so_far in enumerate(blocks):
            on_block(number, so_far)
        return value


@dataclass(frozen=True)
class Search:
    """One search, by TPE or at random.

    Attributes:
        plan: What the study is.
        trials: Table of its trials.
        importance: Which of its parameters matter.
        settings: The settings that were promoted, by number of their trial; 0 is the default.
        choice: What is taken of them.
    """

    plan: StudyPlan
    trials: pd.DataFrame
    importance: pd.DataFrame
    settings: Mapping[int, GateSettings]
    choice: Choice


@dataclass(frozen=True)
class GateStudy:
    """What the gates study has found.

    Attributes:
        searches: By the name of what comes of them, ``tuned`` first.
        full: Scores at full fidelity of every setting that was promoted, by its key.
        metric: What was minimised.
        problem: What a trial looked at, for people.
    """

    searches: Mapping[str, Search]
    full: Mapping[str, BlockScores]
    metric: str
    problem: Mapping[str, Any]

    def trials(self) -> pd.DataFrame:
        """The trials of all searches, with a column ``study`` for the sampler."""
        tables = [s.trials.assign(study=s.plan.sampler) for s in self.searches.values()]
        return pd.concat(tables, ignore_index=True)

    def promoted(self) -> pd.DataFrame:
        """Settings that were distilled in full.

        Returns:
            Table ``study, trial, cheap, full, skill, blocks_won, blocks, taken``; skill is over the
            default, at full fidelity.
        """
        lines = []
        for name, search in self.searches.items():
            cheap = _cheap(search.trials)
            default = self._full(search, DEFAULT_TRIAL)
            for number in search.settings:
                found = self._full(search, number)
                pairs = zip(found.by_block(), default.by_block(), strict=True)
                lines.append(
                    {
                        "study": search.plan.sampler,
                        "trial": number,
                        "cheap": cheap.get(number, float("nan")),
                        "full": found.value,
                        "skill": 1 - found.value / default.value,
                        "blocks_won": sum(a < b for a, b in pairs),
                        "blocks": len(default.by_block()),
                        "taken": name == TUNED and number == search.choice.number,
                    }
                )
        return pd.DataFrame(lines)

    def to_json(self) -> dict[str, Any]:
        """What is taken, why, and the settings that are to be compared on test."""
        ours = self.searches[TUNED]
        choice, trials = ours.choice, len(ours.trials)
        says = (
            f"trial {choice.number} of {trials} is taken"
            if choice.is_tuned
            else f"the default stays after {trials} trials"
        )
        return {
            "study": ours.plan.fingerprint,
            "study_name": ours.plan.study_name,
            "says": f"{says}: {choice.reason}",
            "taken": choice.is_tuned,
            "overrides": ours.settings[choice.number].overrides() if choice.is_tuned else {},
            "metric": self.metric,
            "trials": trials,
            "choice": choice.to_json(),
            "problem": dict(self.problem),
            "settings": self._settings(),
        }

    def _settings(self) -> dict[str, Any]:
        """The default, and the best setting of each search, as they look on validation."""
        ours = self.searches[TUNED]
        found = {DEFAULT: (ours, DEFAULT_TRIAL, 0)}
        for name, search in self.searches.items():
            found[name] = (search, search.choice.best, len(search.trials))
        lines = {}
        for name, (search, number, trials) in found.items():
            scores = self._full(search, number)
            lines[name] = {
                "trial": number,
                "trials": trials,
                "loss": scores.value,
                "blocks": scores.by_block(),
                "taken": name != RANDOM and number == search.choice.number,
                "overrides": search.settings[number].overrides(),
            }
        return lines

    def _full(self, search: Search, number: int) -> BlockScores:
        return self.full[_key(search.settings[number])]


def tune_gates(
    problem: GateProblem,
    config: GatesConfig,
    journal: Path,
    workspace: ShardCache,
    *,
    horizon: int,
    seed: int,
) -> GateStudy:
    """Search, distil the best few in full, and take one of them if it beats the default.

    Args:
        problem: What is optimised.
        config: Trials, promotions, workers.
        journal: Where the studies are kept.
        workspace: Where distilled settings are kept until all are.
        horizon: The longest horizon, for the test against the default.
        seed: Of the proposals and of that test.

    Returns:
        The study.
    """
    objective = GateObjective(problem.for_worker())
    fingerprint = digest([problem.fingerprint(), config.prune, seed, code_digest()])
    samplers = {n: s for n, s in _SEARCHES.items() if n == TUNED or config.random_search}
    plans, studies = {}, {}
    for name, sampler in samplers.items():
        plans[name] = StudyPlan(
            "gates",
            fingerprint,
            config.trials,
            sampler=sampler,
            seed=seed,
            timeout_minutes=config.timeout_minutes,
            settings={DEFAULT: problem.default},
            prune=config.prune,
        )
        studies[name] = run_study(journal, plans[name], objective, workers=config.workers)
    promoted = {name: _promoted(problem, study, config) for name, study in studies.items()}
    full = _distil(problem, promoted, workspace, fingerprint)
    searches = {}
    for name, settings in promoted.items():
        scores = {number: full[_key(found)] for number, found in settings.items()}
        choice = choose(scores, horizon=horizon, seed=seed)
        trials = trials_table(studies[name])
        importance = importance_table(studies[name])
        searches[name] = Search(plans[name], trials, importance, settings, choice)
        logger.info("Gates study, %s: %s", plans[name].sampler, choice.reason)
    return GateStudy(searches, full, config.metric, problem.describe())


def chosen_settings(tuned: Mapping[str, Any]) -> list[Chosen]:
    """The settings of :meth:`GateStudy.to_json` as they look on validation."""
    return [
        Chosen(name, line["trials"], line["loss"], tuple(line["blocks"]))
        for name, line in tuned["settings"].items()
    ]


def _promoted(
    problem: GateProblem, study: optuna.Study, config: GatesConfig
) -> dict[int, GateSettings]:
    """The settings that are distilled, by number of their trial; the default is 0."""
    params = {
        DEFAULT_TRIAL if trial.user_attrs.get(SETTING) == DEFAULT else trial.number: trial
        for trial in finished(study)
        if trial.state == TrialState.COMPLETE
    }
    values = {number: float(trial.value or 0.0) for number, trial in params.items()}
    chosen = promote(values, config.promoted)
    return {
        number: problem.settings
        if number == DEFAULT_TRIAL
        else problem.settings_of(params[number].params)
        for number in chosen
    }


def _distil(
    problem: GateProblem,
    promoted: Mapping[str, Mapping[int, GateSettings]],
    workspace: ShardCache,
    fingerprint: str,
) -> dict[str, BlockScores]:
    """Distil every promoted setting once, whichever searches have found it."""
    settings = {_key(found): found for each in promoted.values() for found in each.values()}
    shards = map_shards(
        lambda key: _pack(problem.distilled(settings[key])),
        list(settings),
        cache=workspace.part("distilled").open(digest([fingerprint, list(settings)])),
        description="Distilling promoted settings",
    )
    return {key: _unpack(shard) for key, shard in zip(settings, shards, strict=True)}


def _key(settings: GateSettings) -> str:
    return digest(settings.overrides())


def _cheap(trials: pd.DataFrame) -> dict[int, float]:
    """Loss of each trial by number, the default's under 0."""
    numbers = trials["number"].where(trials["setting"] != DEFAULT, DEFAULT_TRIAL)
    return dict(zip(numbers.astype(int), trials["loss"], strict=True))


def _pack(scores: BlockScores) -> dict[str, np.ndarray]:
    """Scores as plain arrays."""
    arrays: dict[str, np.ndarray] = {
        "origin_time": scores.origin_time,
        "block": scores.block,
        "sums": scores.sums,
        "notes": np.array(json.dumps(dict(scores.notes), default=str)),
    }
    return arrays


def _unpack(arrays: Mapping[str, np.ndarray]) -> BlockScores:
    """Read what :func:`_pack` gave."""
    values = BlockScores(arrays["origin_time"], arrays["block"], arrays["sums"])
    return replace(values, notes=json.loads(str(arrays["notes"])))
