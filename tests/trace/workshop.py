"""A small domain on which a tiny backbone is adapted in seconds."""

from dataclasses import replace

import numpy as np
from adapted import small_bolt

from builders import seasonal_rows, series_of, windows_over
from tsmemory.series.windows import Windows
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

L, H = 32, 8
TRAIN_END, END = 260, 420
SMALL = TraceConfig(
    head=HeadConfig(kind="projection", width=2),
    scoring=ScoringConfig(windows=32, passes=2),
    selection=SelectionConfig(rounds=2, warmup_steps=3, round_steps=2),
    training=FineTuningConfig(
        steps=12,
        check_every=2,
        batch_size=32,
        lora_rate=1e-2,
        selection_windows=64,
        start_windows=200,
        penalties=(0.01, 1.0),
    ),
)


def limited(windows: Windows, end: int) -> Windows:
    """The same windows in a split that ends at a step."""
    return replace(windows, limit=np.full(len(windows), end))


def small_bench(folder, config: TraceConfig = SMALL, *, values=None) -> Bench:
    """A bench on two seasonal rows; their values can be given."""
    rows = seasonal_rows(np.random.default_rng(0), [END, END]) if values is None else values
    series = series_of(rows, items=["one", "one"], channels=["a", "b"])
    every = windows_over(series, L, H, stride=2)
    inside = limited(every.take(np.flatnonzero(every.origin + H <= TRAIN_END)), TRAIN_END)
    later = every.take(np.flatnonzero(every.origin >= TRAIN_END))
    windows = TraceWindows.split(series, inside, later, config.selection.scoring_share)
    if not folder.exists():
        small_bolt().save_pretrained(folder)
    return Bench(load_base(folder), series, windows, config, horizons=(4, H))
