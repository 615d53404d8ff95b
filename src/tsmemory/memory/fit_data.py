"""From a user's table to scaled series and windows, for :meth:`MemoryForecaster.fit`."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.backbones import Backbone
from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.fit_config import FitConfig
from tsmemory.memory.origins import check_origins, window_origins
from tsmemory.memory.rows import Rows, read_rows
from tsmemory.series.errors import IngestionError, first_of
from tsmemory.series.grid import fixed_step
from tsmemory.series.scaling import fit_scaler
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.splits import split_borders
from tsmemory.series.windows import SPLITS, Windows, count_windows, index_windows

# What parameters of the pipelines are called in ``fit``.
_NAMES = {
    "windowing.context_length": "context_length",
    "windowing.horizons": "prediction_length",
}
_SHOWN = 20  # skipped series that are kept by name
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitData:
    """Series and windows that a memory is made from.

    Attributes:
        series: The rows, in train z units.
        datastore: Windows that are stored.
        train: Windows that the adapter learns from.
        validation: Windows on which everything is chosen.
        stride: Steps between these.
        provenance: What was used and what was left out, in plain values.
    """

    series: SeriesSet
    datastore: Windows
    train: Windows
    validation: Windows
    stride: int
    provenance: dict[str, Any]


def read_fit_data(
    df: pd.DataFrame,
    *,
    id_column: str,
    timestamp_column: str,
    targets: Sequence[str],
    freq: str | None,
    context_length: int,
    horizon: int,
    validation_share: float,
    config: FitConfig,
) -> FitData:
    """Read a long table, split and scale its series, and list their windows.

    Args:
        df: See :func:`tsmemory.memory.rows.read_rows`, as the next four.
        id_column: Column of identifiers.
        timestamp_column: Column of timestamps.
        targets: Columns of numbers.
        freq: The step; ``None`` infers it.
        context_length: L.
        horizon: H, the longest.
        validation_share: Last part of each series, that chooses and is not learnt from.
        config: Strides and missing values.

    Returns:
        Series and windows.

    Raises:
        ForecasterError: A table that cannot be read, or from which there is nothing to learn.
    """
    if not 0 < validation_share < 1:
        raise ForecasterError(f"validation_share must lie between 0 and 1, got {validation_share}")
    rows = read_rows(
        df,
        id_column=id_column,
        timestamp_column=timestamp_column,
        targets=targets,
        freq=freq,
    )
    _refuse_infinite(rows, targets)
    _refuse_alike(rows)
    panel = to_panel(rows, targets)
    borders = split_borders(panel, borders=None, train_share=1 - validation_share, test_share=0.0)
    try:
        scaler, skipped = fit_scaler(panel, borders, min_length=context_length + horizon)
    except IngestionError as error:
        raise ForecasterError(_renamed(str(error))) from error
    series = SeriesSet.from_panel(panel, scaler, rows.freq)
    lengths: dict[str, Any] = {"context_length": context_length, "horizons": [horizon]}
    strides = config.strides.by_split(*_possible(series, borders, context_length, horizon))
    share = config.max_missing_share
    index = index_windows(series, borders, **lengths, strides=strides, max_missing_share=share)
    counts = count_windows(index, series, borders, **lengths, strides=strides)
    _check_counts(counts, context_length, horizon, config)
    windows = {
        split: Windows.from_table(index, split, context_length, horizon) for split in SPLITS[:3]
    }
    provenance = {
        "items": len(set(series.item_id)),
        "channels": list(targets),
        "freq": rows.freq,
        "start": panel["timestamp"].min().isoformat(),
        "end": panel["timestamp"].max().isoformat(),
        "validation_share": validation_share,
        "windows": {split: len(windows[split]) for split in windows},
        "strides": {split: strides[split] for split in windows},
        "skipped": len(skipped),
        "skipped_first": skipped.head(_SHOWN).to_dict("records"),
    }
    return FitData(series, **windows, stride=strides["validation"], provenance=provenance)


def to_panel(rows: Rows, targets: Sequence[str]) -> pd.DataFrame:
    """Lay the rows of each series on its grid.

    Args:
        rows: The rows.
        targets: Names of their values.

    Returns:
        Panel ``item_id, timestamp, <targets>``, regular, NaN where missing. Where the step was
        given, rows are consecutive and their timestamps are counted back from the last.
    """
    length = np.zeros(len(rows.item_id), dtype=np.int64)
    np.maximum.at(length, rows.code, rows.back + 1)
    offset = np.concatenate([[0], np.cumsum(length)])
    where = offset[rows.code + 1] - 1 - rows.back
    values = np.full((offset[-1], len(targets)), np.nan)
    values[where] = rows.values
    panel: dict[str, Any] = {
        "item_id": np.repeat(rows.item_id.astype(str).astype(object), length),
        "timestamp": np.concatenate(_stamps(rows, length)),
    }
    columns = dict(zip(targets, values.T, strict=True))
    return pd.DataFrame(panel).assign(**columns)


def _possible(
    series: SeriesSet, borders: pd.DataFrame, context_length: int, horizon: int
) -> tuple[int, int]:
    """Windows that there are for training and for validation, one at each step."""
    ends = dict(zip(borders["item_id"].astype(str), borders["train_end"], strict=True))
    train_end = np.array([ends[item] for item in series.item_id])
    training = train_end - context_length - horizon + 1
    validation = series.length - np.maximum(train_end, context_length) - horizon + 1
    return int(np.maximum(training, 0).sum()), int(np.maximum(validation, 0).sum())


def _stamps(rows: Rows, length: np.ndarray) -> list[np.ndarray]:
    """Timestamps of each series, back from its last one."""
    last = rows.last.times.as_unit("ns").to_numpy()
    if step := fixed_step(rows.freq):
        return [
            end - np.arange(steps - 1, -1, -1) * np.timedelta64(step, "ns")
            for end, steps in zip(last, length, strict=True)
        ]
    return [
        pd.date_range(end=end, periods=steps, freq=rows.freq).as_unit("ns").to_numpy()
        for end, steps in zip(last, length, strict=True)
    ]


def _refuse_alike(rows: Rows) -> None:
    names, counts = np.unique(rows.item_id.astype(str), return_counts=True)
    if (counts > 1).any():
        raise ForecasterError(
            f"more than one item is written {str(names[counts > 1][0])!r}; identifiers are kept as "
            "text, so give one kind of identifier"
        )


def _refuse_infinite(rows: Rows, targets: Sequence[str]) -> None:
    row, column = np.nonzero(np.isinf(rows.values))
    if len(row):
        names = (
            f"item {rows.item_id[rows.code[r]]!r}, target {targets[int(c)]!r}"
            for r, c in zip(row, column, strict=True)
        )
        raise ForecasterError(
            f"infinite values in {first_of(dict.fromkeys(names), len(row))}; make them NaN if they "
            "are missing"
        )


def _check_counts(
    counts: dict[str, Any], context_length: int, horizon: int, config: FitConfig
) -> None:
    """Refuse an empty split or too small a datastore, and warn of rows without windows."""
    for split in SPLITS[:3]:
        if counts["splits"][split]["kept"] == 0:
            raise ForecasterError(
                f"the {split} part of the series holds no window of {context_length} + {horizon} "
                f"steps with at most {config.max_missing_share:.0%} missing: give more history, "
                "lower context_length or prediction_length, or change validation_share"
            )
    if rows := counts["rows_without_training_windows"]:
        lines = (f"{row['item_id']!r} {row['channel']!r}: {row['reason']}" for row in rows)
        logger.warning("Nothing is learnt from %d: %s", len(rows), first_of(lines, len(rows)))


def check_settings(data: FitData, config: FitConfig, backbone: Backbone) -> None:
    """Refuse, before any long work, what later steps will ask for and cannot have.

    Args:
        data: Series and windows.
        config: How many neighbours are asked for, and how many last points are looked at.
        backbone: Asked whether it holds all forecasts, if it looks them up.

    Raises:
        ForecasterError: More neighbours than stored windows, or more points than a context has.
        BackboneError: Forecasts are missing.
    """
    names = data.series.channel[data.datastore.row].astype(str)
    if not config.store.same_channel:
        names = np.full(len(names), "all")
    largest = int(np.unique(names, return_counts=True)[1].max())
    if config.teacher.k > largest:
        raise ForecasterError(
            f"config.teacher.k = {config.teacher.k} neighbours are asked for, but at most "
            f"{largest} stored windows may be searched together: give more history, or lower "
            "context_length, prediction_length, config.teacher.k or config.strides.datastore"
        )
    length, key = data.train.context_length, config.store.key
    points = {"config.teacher.shift_length": config.teacher.shift_length}
    if key.needs_tail:
        points["config.store.key.tail_length"] = key.tail_length
    for name, count in points.items():
        if count > length:
            raise ForecasterError(
                f"{name} = {count} last points are asked for, but a context has {length}: lower it"
            )
    if backbone.needs_origins:
        for windows in (data.train, data.validation):
            check_origins(backbone, window_origins(windows, data.series), windows.horizon)


def _renamed(message: str) -> str:
    """A message about parameters of the pipelines, with the names that they have here."""
    for theirs, ours in _NAMES.items():
        message = message.replace(theirs, ours)
    return message
