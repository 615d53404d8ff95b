"""Series that are watched for anomalies, with what is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.metrics import season_length
from tsmemory.series.series_set import Float
from tsmemory.trace.errors import TraceError

Bool = NDArray[np.bool_]
# First and last moment of an anomaly, both inside it.
LabelledWindow = tuple[str, str]


@dataclass(frozen=True)
class WatchedSeries:
    """One univariate series on a regular grid.

    Attributes:
        name: What tables call it.
        freq: Step of the grid, as pandas writes it.
        timestamps: Shape ``(T,)``.
        values: NaN where missing. Shape ``(T,)``.
        anomalous: Whether a step lies in a labelled window; ``None`` where nobody has looked.
            Shape ``(T,)``.
    """

    name: str
    freq: str
    timestamps: NDArray[np.datetime64]
    values: Float
    anomalous: Bool | None = None

    @property
    def season(self) -> int:
        """Steps in the customary season of its frequency."""
        return season_length(self.freq)


def watched_series(
    panel: pd.DataFrame,
    freq: str,
    windows: Mapping[str, Sequence[LabelledWindow]] | None = None,
) -> tuple[WatchedSeries, ...]:
    """Take every channel of every series of a panel as a series to watch.

    Args:
        panel: Regular long table ``item_id, timestamp, <channels>``, NaN where missing.
        freq: Its step.
        windows: Labelled windows of each series, empty where it has none; ``None`` if there are no
            labels.

    Returns:
        The series in the panel's order, named by item, and by channel where there are several.

    Raises:
        TraceError: Labels are given, but not for each series, or a window touches no step.
    """
    channels = list(panel.columns[2:])
    found = []
    for item, group in panel.groupby("item_id", sort=False):
        stamps = group["timestamp"].to_numpy(dtype="datetime64[ns]")
        anomalous = None if windows is None else _inside(stamps, str(item), windows)
        for channel in channels:
            name = str(item) if len(channels) == 1 else f"{item}/{channel}"
            values = group[channel].to_numpy(dtype=np.float32)
            found.append(WatchedSeries(name, freq, stamps, values, anomalous))
    return tuple(found)


def _inside(
    stamps: NDArray[np.datetime64], item: str, windows: Mapping[str, Sequence[LabelledWindow]]
) -> Bool:
    """Whether each step lies in a window, both ends included. Shape ``(T,)``."""
    if item not in windows:
        raise TraceError(
            f"series {item!r} has no labels, not even an empty list; add it to the file of "
            f"labelled windows, which holds {', '.join(windows) or 'none'}"
        )
    inside = np.zeros(len(stamps), dtype=bool)
    for first, last in windows[item]:
        hit = (stamps >= _moment(first)) & (stamps <= _moment(last))
        if not hit.any():
            raise TraceError(
                f"the labelled window {first} to {last} of series {item!r} touches none of its "
                f"steps, {stamps[0]} to {stamps[-1]}; correct the labels"
            )
        inside |= hit
    return inside


def _moment(text: str) -> np.datetime64:
    """A moment as the panel's timestamps have it."""
    return np.datetime64(pd.Timestamp(text).value, "ns")
