"""Recipes small enough to train in a moment."""

from dataclasses import replace

import pytest
import torch

from tsmemory.pretraining.config import ModelConfig, OptimizerConfig, TrainingConfig
from tsmemory.pretraining.corpus import CorpusConfig
from tsmemory.pretraining.task import Pretraining
from tsmemory.pretraining.training import Trainer


class Recipe:
    """A tiny network on a tiny corpus: 12 steps, of which the last 4 have a falling rate."""

    model = ModelConfig(
        context_length=64,
        horizon=16,
        patch_length=8,
        width=16,
        hidden=24,
        heads=2,
        encoder_layers=1,
        decoder_layers=1,
    )
    corpus = CorpusConfig(contexts={64: 0.6, 32: 0.4}, horizon=16, chunk=48)
    optimizer = OptimizerConfig(warmup=2, decay=1 / 3)
    training = TrainingConfig(steps=12, batch=16, check_every=3, held_out=24, precision="float32")

    def trainer(self, folder, **changes):
        """A trainer in this process alone."""
        return Trainer(self.task(folder, **changes))

    def task(self, folder, *, checks=None, corpus=None, optimizer=None, model=None, **changes):
        """What a trainer is told; changes are those of the training's settings."""
        return Pretraining(
            model or self.model,
            corpus or self.corpus,
            optimizer or self.optimizer,
            replace(self.training, **changes),
            folder,
            checks or {},
        )


@pytest.fixture(scope="session")
def recipe():
    return Recipe()


@pytest.fixture(autouse=True)
def one_thread():
    """Sums do not depend on how many threads share them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
