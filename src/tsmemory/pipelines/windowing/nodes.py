"""Nodes of the pipeline ``windowing``."""

import logging
from typing import Any

import pandas as pd

from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import SPLITS, WindowError, index_windows

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
) -> pd.DataFrame:
    """List the windows of every split.

    Args:
        series: The rows.
        borders: Where the splits of each series end.
        windowing: Lengths and strides.

    Returns:
        Table ``split, row, start, limit``.

    Raises:
        WindowError: A split holds no window.
    """
    table = index_windows(
        series,
        borders,
        context_length=windowing.context_length,
        horizons=windowing.horizons,
        strides=windowing.strides.model_dump(),
        max_missing_share=windowing.max_missing_share,
    )
    counts = table["split"].value_counts()
    for split in SPLITS:
        if counts.get(split, 0) == 0:
            known = max if split in ("datastore", "train") else min  # training knows all horizons
            raise WindowError(
                f"the {split} split holds no window of {windowing.context_length} + "
                f"{known(windowing.horizons)} steps with at most "
                f"{windowing.max_missing_share:.0%} missing: shorten windowing.context_length or "
                f"windowing.horizons, move ingestion.borders / train_share / test_share, or raise "
                f"windowing.max_missing_share"
            )
    logger.info("Windows: %s", ", ".join(f"{s} {counts[s]:,}" for s in SPLITS))
    return table
