"""Small forecasters on the bundled backbone, and what they forecast."""

from functools import cache

import numpy as np
import pandas as pd
import torch

from tsmemory import MemoryForecaster, load_backbone
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_parts import Channel, Naive, Residuals
from tsmemory.memory.known_series import KnownSeries

L, H, BLOCK = 64, 48, 24
_BAND = [(0.1 * level, 0.2 * level, 0.3 * level) for level in range(-4, 5)]
IDLE = Fusion(BLOCK, (0.0, 0.0), (0.0, 0.0), (1.0, 1.0))
OPEN = Fusion(BLOCK, (0.7, 0.3), (1.0, 0.5), (1.3, 0.8), {"chosen_on": "validation"})
FULL = Fusion(
    BLOCK,
    (0.5, 0.3),
    (0.4, 0.5),
    (1.3, 0.8),
    naive=Naive((0.1, 0.2), (0.2, 0.0), (0.1, 0.3), 24),
    residuals=Residuals((0.3, 0.5), (1.0, 1.4), (0, 10, 47), tuple(_BAND)),
    channels={"load": Channel((0.8, 0.8), (0.0, 0.0), (0.1, 0.0), (0.1, 0.2), (2.0, 3.0))},
)
# Series that no test below forecasts, unless it says so: contexts are those of new series.
ELSEWHERE = KnownSeries(
    item_id=("one", "two"),
    channel=("y", "y"),
    mean=np.array([20.0, -3.0]),
    std=np.array([4.0, 2.0]),
    typical_scale=0.8,
)
HOURS = pd.date_range("2024-01-01", periods=80, freq="h")


@cache
def bundled():
    return load_backbone("bundled")


def make_adapter(backbone, seed=0, **sizes):
    torch.manual_seed(seed)
    known = {
        "context_length": L,
        "horizon": H,
        "quantile_levels": backbone.quantile_levels,
        "key_length": backbone.embed(np.zeros((1, L), np.float32)).shape[1],
        "width": 16,
        "patch_width": 4,
    }
    adapter = MemoryAdapter(AdapterConfig(**{**known, **sizes}))
    with torch.no_grad():
        for tensor in (*adapter.parameters(), adapter.weight, adapter.bias):
            tensor.add_(0.05 * torch.randn_like(tensor))
    return adapter


def make_forecaster(fusion=OPEN, series=ELSEWHERE, **sizes):
    adapter = make_adapter(bundled(), **sizes)
    return MemoryForecaster(
        bundled(), adapter, fusion, series, backbone_source="bundled", domain="sample"
    )


def by_hand(forecaster, contexts, horizon=H, *, items=None, channels=None):
    """What the parts of a forecaster say of contexts, put together: quantiles ``(B, H, Q)``."""
    unit = forecaster.series.unit(contexts, items, channels)
    z = unit.reduce(contexts)
    keys, frozen = forecaster.backbone.encode_and_predict(z, horizon)
    given, frozen = torch.from_numpy(z), torch.from_numpy(frozen)
    with torch.no_grad():
        memory = forecaster.adapter(given, frozen, torch.from_numpy(keys))
    fused = forecaster.fusion.apply(frozen, memory, 4, given, channels)
    return torch.from_numpy(unit.restore(fused.transpose(1, 2).numpy()))


def make_contexts(count=12):
    rng = np.random.default_rng(0)
    season = np.sin(np.arange(L) * 2 * np.pi / 24 + rng.uniform(0, 6, (count, 1)))
    return (20 + 3 * season + rng.normal(0, 0.5, (count, L))).astype(np.float32)


def make_frame(stamps, items=("b", "a"), seed=0):
    rng = np.random.default_rng(seed)
    parts = []
    for number, item in enumerate(items):
        wave = np.sin(np.arange(len(stamps)) / 4 + number)
        value = 5 * number + wave + rng.normal(0, 0.2, len(stamps))
        part = {"item_id": item, "timestamp": stamps, "target": value, "load": 3 - value, "x": "n"}
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)
