"""Nodes of the pipeline ``ingestion``."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from tsmemory.pipelines.ingestion.params import IngestionParams
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.errors import IngestionError, about_file
from tsmemory.series.layout import to_long
from tsmemory.series.reading import RawTable
from tsmemory.series.regularise import regularise
from tsmemory.series.scaling import fit_scaler
from tsmemory.series.splits import split_borders
from tsmemory.series.summary import summarise_panel

logger = logging.getLogger(__name__)


def read_panel(raw_table: RawTable, params: IngestionParams) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Turn a raw table of any layout into a regular panel.

    Args:
        raw_table: The file's content.
        params: What its columns are and which repairs are asked for.

    Returns:
        The panel ``item_id, timestamp, <channels>`` and its summary.
    """
    with about_file(raw_table.path):
        long, layout = to_long(
            raw_table.frame,
            path=raw_table.path,
            timestamp_column=params.timestamp_column,
            item_id_column=params.item_id_column,
            target_columns=params.target_columns,
        )
        panel, freq, repairs = regularise(
            long, freq=params.freq, duplicates=params.duplicates, off_grid=params.off_grid
        )
    summary = summarise_panel(panel, raw=raw_table, freq=freq, layout=layout, repairs=repairs)
    # The name alone: wherever the file lies, the artefact is the same.
    summary["file"] = Path(params.path).name
    logger.info(
        "%s: %d series, channels %s, frequency %s, %s to %s",
        raw_table.path.name,
        summary["items"],
        ", ".join(summary["channels"]),
        freq,
        summary["start"],
        summary["end"],
    )
    for name, reason in summary["ignored_columns"].items():
        logger.info("Column %r left out: %s", name, reason)
    return panel, summary


def split_and_scale(
    panel: pd.DataFrame, params: IngestionParams, windowing: WindowingParams
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Split every series by time and fit the scaler on the training parts.

    Args:
        panel: Regular panel.
        params: Where the splits end.
        windowing: Lengths of context and horizons, which a training part must hold.

    Returns:
        The borders, the scaler (one line for each usable channel of each series), and the skipped
        channels with their reasons.

    Raises:
        IngestionError: Fixed borders leave no room for a training window, or no series is usable.
    """
    min_length = windowing.context_length + windowing.longest
    with about_file(params.path):
        if params.borders is not None and params.borders[0] < min_length:
            raise IngestionError(
                f"ingestion.borders: training ends at step {params.borders[0]}, but "
                f"windowing.context_length + the longest of windowing.horizons need {min_length} "
                f"steps ({windowing.context_length} + {windowing.longest}); move the border or "
                "shorten them"
            )
        borders = split_borders(
            panel,
            borders=params.borders,
            train_share=params.train_share,
            test_share=params.test_share,
        )
        scaler, skipped = fit_scaler(panel, borders, min_length=min_length)
    return borders, scaler, skipped
