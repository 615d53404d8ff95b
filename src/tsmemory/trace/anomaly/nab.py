"""The Numenta Anomaly Benchmark: real series with labelled windows (Lavin & Ahmad, 2015).

Its files are as they were recorded: some repeat timestamps, some have gaps, one is out of order.
They are read by the ingestion of all other data, with its repairs.
"""

import json
from pathlib import Path
from typing import Any

from tsmemory.series.errors import about_file
from tsmemory.series.layout import to_long
from tsmemory.series.names import stem
from tsmemory.series.reading import read_table
from tsmemory.series.regularise import Duplicates, OffGrid, regularise
from tsmemory.trace.anomaly.series import LabelledWindow, WatchedSeries, watched_series
from tsmemory.trace.errors import TraceError

LABELS = "combined_windows.json"


def read_nab(
    folder: str | Path,
    *,
    group: str = "realKnownCause",
    duplicates: Duplicates = "mean",
    off_grid: OffGrid = "nearest",
) -> tuple[WatchedSeries, ...]:
    """Read a group of NAB's series with their labels.

    Args:
        folder: Holds ``combined_windows.json`` and a folder for each group.
        group: Name of the group.
        duplicates: What becomes of repeated timestamps, as in ingestion.
        off_grid: What becomes of timestamps beside the grid, as in ingestion.

    Returns:
        One series for each file, in alphabetical order.

    Raises:
        TraceError: The folder, the group or the labels are not there, or do not fit each other.
        IngestionError: A file that cannot be read or repaired so.
    """
    labels = read_labels(Path(folder) / LABELS)
    files = sorted((Path(folder) / group).glob("*.csv"))
    if not files:
        raise TraceError(f"{Path(folder) / group}: no CSV file there; correct the folder or group")
    return tuple(
        _read_series(path, labels, duplicates=duplicates, off_grid=off_grid) for path in files
    )


def _read_series(
    path: Path,
    labels: dict[str, list[LabelledWindow]],
    *,
    duplicates: Duplicates,
    off_grid: OffGrid,
) -> WatchedSeries:
    """Read one file of a single series."""
    with about_file(path):
        long, _ = to_long(read_table(path), path=path, target_columns=["value"])
        panel, freq, _ = regularise(long, duplicates=duplicates, off_grid=off_grid)
    key = f"{path.parent.name}/{path.name}"
    windows = {stem(path): labels[key]} if key in labels else {}
    return watched_series(panel, freq, windows)[0]


def read_labels(path: Path) -> dict[str, list[LabelledWindow]]:
    """Labelled windows by file, as ``<group>/<file>``."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TraceError(f"{path}: no such file; put the labelled windows there") from error
    except ValueError as error:
        raise TraceError(f"{path}: not readable as JSON ({error}); get the file again") from error
    pairs = isinstance(found, dict) and all(
        isinstance(windows, list) and all(len(window) == 2 for window in windows)
        for windows in found.values()
    )
    if not pairs:
        raise TraceError(f"{path}: must map each file to a list of [first, last] timestamps")
    return {name: [tuple(each) for each in windows] for name, windows in found.items()}
