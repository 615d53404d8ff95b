"""Structured settings of TRACE as a search problem: how sites are chosen and trained (METHOD 2.5).

Each trial trains, so that there are few of them. As with masks, trials see the earlier part of
validation alone, and what they find is confirmed on the later part before it is used.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from tsmemory.trace.arms import ArmRun, run_arm
from tsmemory.trace.bench import Bench
from tsmemory.trace.config import TraceConfig
from tsmemory.tuning.masks.config import MaskStudyConfig
from tsmemory.tuning.masks.early import bench_fingerprint, early_bench, plain_bench
from tsmemory.tuning.masks.later import improvement, judge

if TYPE_CHECKING:
    import optuna

_HEADS = ("low_rank", "projection", "pooling", "depthwise")
_ROUNDS = ("selection.warmup_steps", "selection.rounds", "selection.round_steps")
_ROW = "trace"


@dataclass(frozen=True)
class StructuredSettings:
    """Some settings of TRACE.

    Attributes:
        values: Values by their path below ``trace``, such as ``lora.rank``.
    """

    values: Mapping[str, Any]

    def overrides(self) -> dict[str, Any]:
        """The parameters that the settings stand for, nested as in ``conf``, for JSON."""
        nested: dict[str, Any] = {}
        for path, value in self.values.items():
            block, _, name = path.partition(".")
            nested.setdefault(block, {})[name] = value
        return {"trace": nested}

    def apply(self, config: TraceConfig) -> TraceConfig:
        """A configuration with these settings in it."""
        changes = self.overrides()["trace"]
        parts = {name: replace(getattr(config, name), **own) for name, own in changes.items()}
        return replace(config, **parts)


class StructuredProblem:
    """How TRACE chooses and trains its sites, looked at on the earlier part of validation.

    Attributes:
        bench: The bench of the study.
        config: Sizes of the study.
        seed: Of every trial's training, so that settings are compared on the same draws.
    """

    def __init__(self, bench: Bench, config: MaskStudyConfig, seed: int) -> None:
        """Name what is searched; nothing is computed yet.

        Args:
            bench: What TRACE is made on.
            config: Sizes of the study.
            seed: Of training.
        """
        steps = min(config.retrain_steps, bench.config.training.steps or config.retrain_steps)
        self.bench = early_bench(bench, config)
        now = {path: _at(self.bench.config, path) for path in _ROUNDS}
        shorter = _fitted(now, max(2, steps)) | {"training.steps": max(2, steps)}
        self.bench.config = StructuredSettings(shorter).apply(self.bench.config)
        self.config = config
        self.seed = seed
        self._later = bench.windows.selection

    @property
    def default(self) -> dict[str, Any]:
        """The configured settings as parameters of a trial that is to be enqueued."""
        config = self.bench.config
        head = {"low_rank": "head.rank"}.get(config.head.kind, "head.width")
        paths = (
            *("selection.kept_share", "selection.rounds", "selection.warmup_steps"),
            *("scoring.score", "lora.rank", "lora.alpha_ratio"),
            *("training.lora_rate", "training.gate_rate", "head.kind", head),
        )
        return {path: _at(config, path) for path in paths}

    def suggest(self, trial: "optuna.Trial") -> StructuredSettings:
        """Draw settings. What is configured lies inside of every range."""
        now, steps = self.default, self.bench.config.training.steps
        found: dict[str, Any] = {}

        def number(path: str, low: float, high: float, *, log: bool = False) -> None:
            low, high = min(low, now[path]), max(high, now[path])
            found[path] = trial.suggest_float(path, low, high, log=log)

        def whole(path: str, low: int, high: int, *, log: bool = False) -> None:
            low, high = min(low, now.get(path, low)), max(high, now.get(path, high))
            found[path] = trial.suggest_int(path, low, high, log=log)

        number("selection.kept_share", 0.25, 1.0)
        whole("selection.rounds", 1, 4)
        whole("selection.warmup_steps", max(1, steps // 10), max(1, steps // 3))
        scores = ("mean_abs", "abs_mean", "signed")
        found["scoring.score"] = trial.suggest_categorical("scoring.score", scores)
        whole("lora.rank", 1, 8, log=True)
        number("lora.alpha_ratio", 0.25, 4.0, log=True)
        number("training.lora_rate", 1e-4, 5e-3, log=True)
        number("training.gate_rate", 1e-3, 1e-1, log=True)
        kinds = tuple(dict.fromkeys([*_HEADS, now["head.kind"]]))
        found["head.kind"] = trial.suggest_categorical("head.kind", kinds)
        if found["head.kind"] == "low_rank":
            whole("head.rank", 8, 64, log=True)
        else:
            whole("head.width", 4, 32, log=True)
        return self.settings_of(found)

    def settings_of(self, params: Mapping[str, Any]) -> StructuredSettings:
        """The settings that a trial's parameters stand for.

        Rounds move closer together where they would not be over before training is.
        """
        training = self.bench.config.training
        gap = self.bench.config.selection.round_steps
        return StructuredSettings(_fitted({**params, "selection.round_steps": gap}, training.steps))

    def score(self, settings: StructuredSettings) -> float:
        """Loss of TRACE with some settings on the earlier part of validation, in train z units."""
        run = self._train(settings, self.seed)
        return float([line["selection"] for line in run.history if line["best"]][-1])

    def objective(self, trial: "optuna.Trial") -> float:
        """What a study minimises: :meth:`score` of drawn settings."""
        return self.score(self.suggest(trial))

    def confirm(self, settings: StructuredSettings) -> pd.DataFrame:
        """Set settings against the configured ones on the later part of validation.

        Args:
            settings: The best of the study.

        Returns:
            Table ``settings, loss, gain, p_value, chosen`` of the lines ``default`` and ``tuned``:
            tuned settings are chosen only if a one-sided test shows them better.
        """
        head = self.bench.config.head
        later = self.bench.examples(self._later, head)
        default, tuned = (
            judge(later, [self._train(each, seed).model for seed in self.config.seeds])
            for each in (self.settings_of(self.default), settings)
        )
        p_value = improvement(later, tuned, default, self.seed)
        taken = tuned.loss < default.loss and p_value <= self.config.level
        lines = [
            ("default", default.loss, 0.0, float("nan"), not taken),
            ("tuned", tuned.loss, 1 - tuned.loss / default.loss, p_value, taken),
        ]
        return pd.DataFrame(lines, columns=["settings", "loss", "gain", "p_value", "chosen"])

    def fingerprint(self) -> str:
        """Digest of all that a trial's value depends on, but for the code."""
        return bench_fingerprint(self.bench, self.config, self.seed)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send settings, not tokens."""
        return type(self), (plain_bench(self.bench, self._later), self.config, self.seed)

    def _train(self, settings: StructuredSettings, seed: int) -> ArmRun:
        head = self.bench.config.head
        if head.kind != "native":
            with torch.random.fork_rng(devices=[]):
                self.bench.start(head)  # encodes the windows, once for all settings
        return run_arm(with_settings(self.bench, settings), _ROW, seed)


def with_settings(bench: Bench, settings: StructuredSettings) -> Bench:
    """The same bench under other settings; tokens and heads that it has already are shared.

    Args:
        bench: The bench.
        settings: None of them changes which windows a head is solved on.
    """
    other = copy.copy(bench)
    other.config = settings.apply(bench.config)
    return other


def _fitted(values: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Values whose last round comes before the last step."""
    warmup, rounds, gap = (values[path] for path in _ROUNDS)
    warmup = min(warmup, steps - 1)
    rounds = min(rounds, steps - warmup)
    gap = min(gap, (steps - 1 - warmup) // (rounds - 1)) if rounds > 1 else gap
    return {**values, **dict(zip(_ROUNDS, (warmup, rounds, gap), strict=True))}


def _at(config: TraceConfig, path: str) -> Any:
    """What stands at a path of a configuration."""
    block, _, name = path.partition(".")
    return getattr(getattr(config, block), name)
