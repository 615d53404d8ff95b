import json
from dataclasses import replace

import pytest
import torch

from builders import LEVELS
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.config import AdapterSizes, PaperSizes, TrainingConfig
from tsmemory.memory.paper_adapter import PaperAdapter, PaperConfig
from tsmemory.memory.profiles import (
    build_adapter,
    config_from_json,
    config_to_json,
    configure_adapter,
    label_run,
)

DATA = {
    "context_length": 16,
    "horizon": 5,
    "quantile_levels": LEVELS,
    "key_length": 3,
    "block": 2,
}
SMALL = PaperSizes(width=8, heads=2, feedforward=4)
PUBLISHED = TrainingConfig(epochs=20, patience=5)


@pytest.mark.parametrize(
    ("profile", "config", "kind"),
    [
        ("default", AdapterConfig(16, 5, LEVELS, 3, block=2, width=9), MemoryAdapter),
        (
            "paper",
            PaperConfig(16, 5, LEVELS, width=8, heads=2, feedforward=4),
            PaperAdapter,
        ),
    ],
)
def test_a_profile_has_its_own_adapter_and_is_named_where_it_is_kept(profile, config, kind):
    assert configure_adapter(profile, AdapterSizes(width=9), SMALL, **DATA) == config
    kept = json.loads(json.dumps(config_to_json(config)))
    assert kept["profile"] == profile
    assert config_from_json(kept) == config
    adapter = build_adapter(config)
    assert isinstance(adapter, kind)
    assert adapter.config == config
    assert adapter.device == torch.device("cpu")


def test_what_names_no_profile_is_of_the_default_one():
    config = AdapterConfig(16, 5, LEVELS, 3)
    kept = config_to_json(config)
    del kept["profile"]
    assert config_from_json(kept) == config


def test_another_profile_or_its_sizes_are_refused():
    kept = config_to_json(PaperConfig(16, 5, LEVELS))
    with pytest.raises(KeyError, match="odd"):
        config_from_json({**kept, "profile": "odd"})
    with pytest.raises(TypeError, match="heads"):
        config_from_json({**kept, "profile": "default"})


@pytest.mark.parametrize(
    ("profile", "sizes", "epochs", "stride", "label"),
    [
        ("default", PaperSizes(), 20, 1, "default"),
        ("default", SMALL, 2, 7, "default"),
        ("paper", PaperSizes(), 20, 1, "paper"),
        (
            "paper",
            PaperSizes(),
            5,
            8,
            "paper, reduced: at most 5 of 20 epochs, training stride 8",
        ),
        ("paper", SMALL, 20, 1, "paper, reduced: other sizes"),
    ],
)
def test_savings_are_named(profile, sizes, epochs, stride, label):
    training = replace(PUBLISHED, epochs=epochs)
    assert label_run(profile, sizes, training, train_stride=stride) == label
