"""Small made-up series, windows and models that tests of several packages share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.confidence import percentiles
from tsmemory.teacher.neighbours import Neighbours

LEVELS = tuple(round(level / 10, 1) for level in range(1, 10))
HOUR = np.timedelta64(1, "h")


def series_of(
    rows: Sequence[np.ndarray],
    *,
    items: Sequence[str] | None = None,
    channels: Sequence[str] | None = None,
    calendar: Sequence[int] | None = None,
) -> SeriesSet:
    """A series set of given rows, already in z units."""
    length = np.array([len(row) for row in rows], dtype=np.int64)
    names = [f"s{number}" for number in range(len(rows))]
    return SeriesSet(
        flat=np.concatenate(rows).astype(np.float32),
        offset=np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int64),
        length=length,
        item_id=np.array(items or names, dtype=object),
        channel=np.array(channels or ["x"] * len(rows), dtype=object),
        calendar=np.array(calendar or [0] * len(rows), dtype=np.int64),
        mean=np.zeros(len(rows)),
        std=np.ones(len(rows)),
        begin=np.datetime64("2024-01-01", "ns") + np.array(calendar or [0] * len(rows)) * HOUR,
        freq="h",
    )


def seasonal_rows(rng: np.random.Generator, lengths: Sequence[int], season: int = 8) -> list:
    """Noisy seasonal rows with a slow drift, so that there is something to learn."""
    rows = []
    for number, length in enumerate(lengths):
        step = np.arange(length)
        wave = np.sin(2 * np.pi * (step + number) / season)
        drift = np.cumsum(rng.normal(0, 0.03, length))
        rows.append((wave + drift + rng.normal(0, 0.3, length)).astype(np.float32))
    return rows


def windows_over(
    series: SeriesSet, context_length: int, horizon: int, *, stride: int = 1, first: int = 0
) -> Windows:
    """Every whole window of every row, from a first start on."""
    span = context_length + horizon
    starts = [np.arange(first, n - span + 1, stride) for n in series.length]
    row = np.repeat(np.arange(len(starts)), [len(s) for s in starts])
    return Windows(
        row=row.astype(np.int64),
        start=np.concatenate(starts).astype(np.int64),
        limit=series.length[row],
        context_length=context_length,
        horizon=horizon,
    )


def neighbours_of(
    position: object,
    weight: object,
    k_min: int = 1,
    *,
    nearest: object = None,
    kind: str = "max_weight",
) -> Neighbours:
    """Neighbours as given; all equally near unless told."""
    position = np.asarray(position, np.int32)
    nearest = np.ones(len(position)) if nearest is None else nearest
    nearest = np.asarray(nearest, np.float32)
    weight = np.asarray(weight, np.float32)
    return Neighbours(position, weight, k_min, nearest, percentiles(nearest), kind)


def hourly_panel(values: dict[str, np.ndarray], item: str = "one") -> pd.DataFrame:
    """A long panel of one series from named channels."""
    stamps = pd.date_range("2024-01-01", periods=len(next(iter(values.values()))), freq="h")
    return pd.DataFrame({"item_id": item, "timestamp": stamps, **values})


def save_tiny_bolt(
    folder: Path, *, seed: int = 0, context_length: int = 32, horizon: int = 8, reg: bool = True
) -> Path:
    """Save a Chronos-Bolt model with random weights, a few thousand of them."""
    import torch
    from chronos.chronos_bolt import ChronosBoltModelForForecasting
    from transformers import T5Config
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = T5Config(
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_decoder_layers=1,
        num_heads=2,
        dropout_rate=0.0,
        vocab_size=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        initializer_factor=0.05,
        chronos_pipeline_class="ChronosBoltPipeline",
        chronos_config={
            "context_length": context_length,
            "prediction_length": horizon,
            "input_patch_size": 8,
            "input_patch_stride": 8,
            "quantiles": list(LEVELS),
            "use_reg_token": reg,
        },
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        ChronosBoltModelForForecasting(config).save_pretrained(folder)
    return folder
