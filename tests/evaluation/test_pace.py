import pytest
import torch

from builders import LEVELS
from tsmemory.evaluation.pace import in_words, probe_training
from tsmemory.memory.adapter import AdapterConfig
from tsmemory.memory.paper_adapter import PaperConfig


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.01, "1 s"),
        (12.4, "12 s"),
        (89, "89 s"),
        (100, "2 min"),
        (3600, "60 min"),
        (9000, "2.5 h"),
    ],
)
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    "config",
    [
        PaperConfig(32, 8, LEVELS, width=8, heads=2, feedforward=8),
        AdapterConfig(32, 8, LEVELS, 5, width=8),
    ],
)
def test_a_probe_grows_with_the_windows_and_draws_nothing_from_the_callers_generator(config):
    before = torch.random.get_rng_state()
    assert probe_training(config, 0) == 0
    assert probe_training(config, 100_000) > 0
    assert torch.equal(torch.random.get_rng_state(), before)
