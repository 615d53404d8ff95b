"""What a person wants to know of a panel before trusting it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from tsmemory.series.layout import LayoutReport
from tsmemory.series.reading import RawTable
from tsmemory.series.regularise import Repairs


def summarise_panel(
    panel: pd.DataFrame,
    *,
    raw: RawTable,
    freq: str,
    layout: LayoutReport,
    repairs: Repairs,
) -> dict[str, Any]:
    """Describe a panel and how it came about, in values that JSON knows.

    Args:
        panel: Regular panel.
        raw: The file it was made from.
        freq: Its frequency.
        layout: What became of the file's columns.
        repairs: What it took to make it regular.

    Returns:
        File, checksum, sizes, frequency, first and last timestamp, share of missing values of
        each channel, repairs, ignored columns and warnings.
    """
    channels: Sequence[str] = layout.channels
    return {
        "file": raw.path.as_posix(),
        "sha256": raw.sha256,
        "rows": len(panel),
        "items": int(panel["item_id"].nunique()),
        "channels": list(channels),
        "freq": freq,
        "start": panel["timestamp"].min().isoformat(),
        "end": panel["timestamp"].max().isoformat(),
        "missing_share": {name: float(panel[name].isna().mean()) for name in channels},
        "gaps": {
            "rows": repairs.gap_rows,
            "stretches": repairs.gaps,
            "longest": repairs.longest_gap,
        },
        "unsorted_rows": repairs.unsorted_rows,
        "duplicate_rows": repairs.duplicate_rows,
        "moved_rows": repairs.moved_rows,
        "ignored_columns": dict(layout.ignored),
        "warnings": [*layout.notes, *repairs.warnings],
    }
