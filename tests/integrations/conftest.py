"""A small forecaster on a tiny backbone of random weights, and tables for it."""

import numpy as np
import pandas as pd
import pytest
import torch

from builders import LEVELS, save_tiny_bolt
from tsmemory import MemoryForecaster, load_backbone
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.known_series import KnownSeries

L, H, BLOCK = 32, 8, 4


@pytest.fixture(scope="session")
def bolt_folder(tmp_path_factory):
    """A local backbone, as a user's own weights would be."""
    return save_tiny_bolt(tmp_path_factory.mktemp("bolt") / "tiny-bolt", context_length=L)


@pytest.fixture(scope="session")
def forecaster(bolt_folder):
    """A forecaster whose memory has a part in the forecasts of ``load`` and ``wind``."""
    backbone = load_backbone(bolt_folder)
    torch.manual_seed(0)
    key_length = backbone.embed(np.zeros((1, L), np.float32)).shape[1]
    adapter = MemoryAdapter(AdapterConfig(L, H, LEVELS, key_length, BLOCK, width=8, patch_width=4))
    with torch.no_grad():
        for tensor in (*adapter.parameters(), adapter.weight, adapter.bias):
            tensor.add_(0.05 * torch.randn_like(tensor))
    return MemoryForecaster(
        backbone,
        adapter,
        Fusion(BLOCK, (0.7, 0.3), (1.0, 0.5), (1.3, 0.8), {"chosen_on": "validation"}),
        KnownSeries(
            item_id=("a", "a", "b", "b"),
            channel=("load", "wind", "load", "wind"),
            mean=np.array([5.0, 1.0, 10.0, 2.0]),
            std=np.ones(4),
            typical_scale=0.8,
        ),
        backbone_source=str(bolt_folder),
        domain="sample",
    )


@pytest.fixture
def table():
    """Two series of two columns, hourly."""
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2024-01-01", periods=60, freq="h")
    parts = []
    for item, level in (("a", 5.0), ("b", 10.0)):
        wave = np.sin(np.arange(60) * 2 * np.pi / 24)
        load = level + wave + rng.normal(0, 0.2, 60)
        wind = level / 5 - wave + rng.normal(0, 0.2, 60)
        parts.append(
            pd.DataFrame({"item_id": item, "timestamp": stamps, "load": load, "wind": wind})
        )
    return pd.concat(parts, ignore_index=True)
