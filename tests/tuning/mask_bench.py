"""A small domain on which masks are searched in seconds."""

from dataclasses import replace

import numpy as np

from builders import save_tiny_bolt, seasonal_rows, series_of, windows_over
from tsmemory.trace.base import load_base
from tsmemory.trace.bench import Bench
from tsmemory.trace.config import (
    FineTuningConfig,
    HeadConfig,
    ScoringConfig,
    SelectionConfig,
    TraceConfig,
)
from tsmemory.trace.splits import TraceWindows
from tsmemory.tuning.masks.config import MaskStudyConfig

L, H = 32, 8
TRAIN_END, END = 260, 420
TRACE = TraceConfig(
    head=HeadConfig(kind="projection", width=2),
    scoring=ScoringConfig(windows=32, passes=2),
    selection=SelectionConfig(rounds=2, warmup_steps=3, round_steps=2),
    training=FineTuningConfig(
        steps=10, check_every=2, batch_size=32, start_windows=200, penalties=(0.01, 1.0)
    ),
)
STUDY = MaskStudyConfig(
    windows=40, steps=12, batch_size=16, lora_rate=0.02, retrain_steps=6, confirmed=2
)


def mask_bench(folder, *, values=None, config=TRACE):
    """A bench on two seasonal rows; their values can be given."""
    rows = seasonal_rows(np.random.default_rng(0), [END, END]) if values is None else values
    series = series_of(rows, items=["one", "one"], channels=["a", "b"])
    every = windows_over(series, L, H, stride=2)
    inside = every.take(np.flatnonzero(every.origin + H <= TRAIN_END))
    later = every.take(np.flatnonzero(every.origin >= TRAIN_END))
    train = replace(inside, limit=np.full(len(inside), TRAIN_END))
    windows = TraceWindows.split(series, train, later, 0.4)
    if not folder.exists():
        save_tiny_bolt(folder)
    return Bench(load_base(folder), series, windows, config, horizons=(4, H))
