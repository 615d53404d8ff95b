"""Nodes of the pipeline ``windowing``."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.errors import first_of
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.splits import calendar_overlap
from tsmemory.series.windows import (
    SPLITS,
    WindowError,
    count_windows,
    index_windows,
    list_origins,
)

logger = logging.getLogger(__name__)


def scale_series(
    panel: pd.DataFrame, panel_summary: dict[str, Any], scaler: pd.DataFrame
) -> SeriesSet:
    """Put every usable channel of every series into train z units.

    Args:
        panel: Regular panel.
        panel_summary: Holds the panel's frequency.
        scaler: Training mean and standard deviation of each row.

    Returns:
        The rows.
    """
    return SeriesSet.from_panel(panel, scaler, panel_summary["freq"])


def list_windows(
    series: SeriesSet, borders: pd.DataFrame, windowing: WindowingParams
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """List the windows of every split.

    Args:
        series: The rows.
        borders: Where the splits of each series end.
        windowing: Lengths and strides.

    Returns:
        Table ``split, row, start, limit``; and what became of the windows: how many of each split
        are kept and left out for missing values, rows that nothing is learnt from, and how far
        series train on days on which others are tested.

    Raises:
        WindowError: A split holds no window.
    """
    where: dict[str, Any] = {
        "context_length": windowing.context_length,
        "horizons": windowing.horizons,
        "strides": windowing.strides.model_dump(),
    }
    table = index_windows(series, borders, max_missing_share=windowing.max_missing_share, **where)
    counts = count_windows(table, series, borders, **where)
    for split, count in counts["splits"].items():
        if count["kept"] == 0:
            known = max if split in ("datastore", "train") else min  # training knows all horizons
            raise WindowError(
                f"the {split} split holds no window of {windowing.context_length} + "
                f"{known(windowing.horizons)} steps with at most "
                f"{windowing.max_missing_share:.0%} missing: shorten windowing.context_length or "
                f"windowing.horizons, move ingestion.borders / train_share / test_share, or raise "
                f"windowing.max_missing_share"
            )
    counts["calendar_overlap"] = _overlap(series, borders)
    _report(counts, windowing.max_missing_share)
    return table, counts


def list_forecast_origins(
    series: SeriesSet, window_index: pd.DataFrame, windowing: WindowingParams
) -> pd.DataFrame:
    """List the forecasts that the run asks the backbone for.

    Whoever makes forecasts elsewhere (``backbone.kind = precomputed``) finds here which.

    Args:
        series: The rows.
        window_index: All windows.
        windowing: Lengths.

    Returns:
        Table ``item_id, target_name, cutoff, split, horizon``.
    """
    return list_origins(
        window_index, series, context_length=windowing.context_length, horizon=windowing.longest
    )


def _overlap(series: SeriesSet, borders: pd.DataFrame) -> dict[str, Any]:
    """How far the series in use train on days on which others are tested."""
    items, first = np.unique(series.item_id.astype(str), return_index=True)
    lines = borders.set_index(borders["item_id"].astype(str)).loc[items]
    return calendar_overlap(series.calendar[first], lines)


def _report(counts: dict[str, Any], share: float) -> None:
    """Log what became of the windows."""
    splits = counts["splits"]
    logger.info("Windows: %s", ", ".join(f"{s} {splits[s]['kept']:,}" for s in SPLITS))
    if any(count["left_out"] for count in splits.values()):
        logger.info(
            "Windows left out with more than %.0f%% of their values missing: %s",
            100 * share,
            ", ".join(f"{s} {splits[s]['left_out']:,}" for s in SPLITS),
        )
    if rows := counts["rows_without_training_windows"]:
        lines = (f"{row['item_id']!r} {row['channel']!r}: {row['reason']}" for row in rows)
        logger.warning(
            "Nothing is learnt from %d row(s): %s", len(rows), first_of(lines, len(rows))
        )
    overlap = counts["calendar_overlap"]
    if worst := overlap["worst"]:
        logger.warning(
            "%d series train on days on which others are tested, which flatters the results where "
            "series move together: %r trains on %d test steps of %r. Series that cover the same "
            "days do not have this",
            overlap["series"],
            worst["training"],
            worst["steps"],
            worst["tested"],
        )
