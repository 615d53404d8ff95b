"""What spawned ranks run in tests of pretraining; they import it by name."""

from dataclasses import replace

import numpy as np
import torch

from tsmemory.pretraining.task import Pretraining
from tsmemory.pretraining.training import Trainer
from tsmemory.scaleout.groups import Ranks


def flat(trainer: Trainer) -> np.ndarray:
    """All weights, and their averages, in one row."""
    kept = [*trainer.average.weights.values(), *trainer.model.parameters()]
    return torch.cat([weight.detach().reshape(-1) for weight in kept]).numpy()


def train_all(ranks: Ranks, tasks: dict[str, Pretraining]) -> dict[str, np.ndarray]:
    """Weights of every rank after each training. Shape ``(ranks, W)``."""
    torch.set_num_threads(1)
    found = {}
    for name, task in tasks.items():
        trainer = Trainer(task, replace(ranks, communication=task.config.communication))
        trainer.fit()
        mine = flat(trainer)
        table = np.zeros((ranks.size, len(mine)))
        table[ranks.rank] = mine
        found[name] = ranks.sum(table)
        found[f"{name}, points"] = ranks.sum(np.eye(ranks.size)[ranks.rank] * len(trainer.curve))
    return found
