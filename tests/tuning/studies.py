"""A study that processes of a test share; importable, so that they can be spawned."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from tsmemory.tuning.plan import StudyPlan
from tsmemory.tuning.study import report_block
from tsmemory.tuning.workers import run_study

DEFAULT = {"x": 0.9, "kind": "slow"}


def plan_of(trials=12, **changes):
    return StudyPlan("toy", "0123", trials, **{"settings": {"default": DEFAULT}} | changes)


@dataclass(frozen=True)
class Toy:
    """A bowl with its bottom at 0.3; every trial leaves a line in a file that all share."""

    log: Path
    pause: float = 0.0

    def __call__(self, trial):
        x = trial.suggest_float("x", 0, 1)
        kind = trial.suggest_categorical("kind", ["quick", "slow"])
        loss = (x - 0.3) ** 2 + (kind == "slow")
        self._say(f"begin {trial.number} {os.getpid()}")
        for block in range(1, 4):
            time.sleep(self.pause)
            report_block(trial, block, loss)
        self._say(f"end {trial.number} {os.getpid()}")
        return loss

    def lines(self, what):
        text = self.log.read_text() if self.log.exists() else ""
        return [line.split()[1:] for line in text.splitlines() if line.startswith(what)]

    def _say(self, text):
        with self.log.open("a") as file:
            file.write(text + "\n")


def work(folder, trials, pause):
    """What a process of a test does: all that is left of the study."""
    run_study(Path(folder) / "studies.journal", plan_of(trials), Toy(Path(folder) / "log", pause))
