"""What a study is to do, and the samplers that do it."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import optuna

SamplerKind = Literal["tpe", "nsgaii", "random"]

_STARTUP = 8  # trials of random search before TPE has something to go by
_TO_COMPARE = 4  # complete trials that others are compared with
_POPULATION = 20  # of a generation of NSGA-II


@dataclass(frozen=True)
class StudyPlan:
    """What a study is to do.

    Attributes:
        name: What people call it.
        fingerprint: Digest of everything that a trial's value depends on. Another fingerprint is
            another study: what was found for other data, spaces or code is never continued.
        trials: Trials that the study should have in the end, those of earlier runs and of all
            workers together; pruned ones count, failed ones do not.
        sampler: How trials are proposed: multivariate TPE, NSGA-II, or at random.
        objectives: Values of a trial, all of them minimised.
        seed: Of the proposals.
        timeout_minutes: No trial begins after that much of a run; ``None`` is no limit.
        settings: Settings that are tried first, parameters by a name for people. They are never
            pruned.
        prune: Whether trials that fall behind the median of others after a block are given up.
    """

    name: str
    fingerprint: str
    trials: int
    sampler: SamplerKind = "tpe"
    objectives: int = 1
    seed: int = 0
    timeout_minutes: float | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prune: bool = False

    @property
    def study_name(self) -> str:
        """Its name in the journal."""
        return f"{self.name}-{self.sampler}-{self.fingerprint}"

    def proposer(self, number: int) -> optuna.samplers.BaseSampler:
        """The sampler of one trial.

        Each trial has a generator of its own, drawn by the trial's number: workers never propose
        the same, and a run that was killed goes on as if it had not been.

        Args:
            number: Number of the trial in the study.
        """
        entropy = np.random.SeedSequence([self.seed, number])
        seed = int(entropy.generate_state(1)[0])
        if self.sampler == "random" or (self.sampler == "tpe" and number < _STARTUP):
            return optuna.samplers.RandomSampler(seed=seed)
        if self.sampler == "nsgaii":
            return optuna.samplers.NSGAIISampler(population_size=_POPULATION, seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                multivariate=True, n_startup_trials=_STARTUP, seed=seed
            )

    def pruner(self) -> optuna.pruners.BasePruner:
        """Who gives trials up."""
        if not self.prune:
            return optuna.pruners.NopPruner()
        return optuna.pruners.MedianPruner(n_startup_trials=_TO_COMPARE, n_warmup_steps=1)
