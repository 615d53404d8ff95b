"""Small fits: a seasonal series under a bend that the seasonal naive forecast does not know."""

import numpy as np
import pandas as pd

from tsmemory import MemoryForecaster
from tsmemory.memory.config import AdapterSizes, FusionConfig, GuardConfig, TrainingConfig
from tsmemory.memory.fit_config import (
    FitConfig,
    RidgeConfig,
    SpreadConfig,
    StrideConfig,
    TeacherConfig,
)

L, H, STEPS = 48, 12, 900
QUICK = FitConfig(
    strides=StrideConfig(3, 4, 3, enough=0),
    teacher=TeacherConfig(k=8, k_min=3, calibration=SpreadConfig(block=6, folds=3, queries=80)),
    ridge=RidgeConfig(penalties=(1.0, 100.0), folds=3),
    adapter=AdapterSizes(patch_width=4, width=8),
    training=TrainingConfig(epochs=1, batch_size=64),
    fusion=FusionConfig(block=6, guard=GuardConfig(samples=200)),
)
SHUT = FitConfig(
    strides=QUICK.strides,
    teacher=QUICK.teacher,
    ridge=QUICK.ridge,
    adapter=QUICK.adapter,
    training=TrainingConfig(epochs=0),
    fusion=FusionConfig(block=6, guard=GuardConfig(samples=200, alpha=1e-12)),
)


def make_table(steps=STEPS, items=("north", "south"), seed=0, freq="h"):
    """Table ``item_id, timestamp, load, heat``: a daily wave and a slow walk that returns."""
    rng = np.random.default_rng(seed)
    parts = []
    for number, item in enumerate(items):
        walk = np.zeros(steps)
        for step in range(1, steps):
            walk[step] = 0.9 * walk[step - 1] + rng.normal(0, 0.4)
        wave = 2 * np.sin(2 * np.pi * (np.arange(steps) + number) / 24)
        load = 50 + 10 * number + 3 * (wave + walk) + rng.normal(0, 0.3, steps)
        part = {
            "item_id": item,
            "timestamp": pd.date_range("2024-01-01", periods=steps, freq=freq),
            "load": load,
            "heat": 5 - wave + 0.5 * walk,
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def fit(table, **changes):
    asked = {
        "prediction_length": H,
        "context_length": L,
        "target": "load",
        "backbone": "seasonal_naive",
        "config": QUICK,
    }
    return MemoryForecaster.fit(table, **{**asked, **changes})
