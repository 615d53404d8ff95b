"""The window index: where contexts and targets lie, never copies of them (METHOD 1.1)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.errors import UserError
from tsmemory.fingerprint import digest, digest_arrays
from tsmemory.series.series_set import Float, Int, SeriesSet

SPLITS = ("datastore", "train", "validation", "test")


_GOLDEN = (5**0.5 - 1) / 2


class WindowError(UserError):
    """Windows that cannot be had from the series as asked."""


@dataclass(frozen=True)
class Windows:
    """Windows of one split.

    Attributes:
        row: Row of the :class:`SeriesSet`. Shape ``(N,)``.
        start: First step of the context. Shape ``(N,)``.
        limit: End of the split on that row: targets at or after it are unknown. Shape ``(N,)``.
        context_length: L, steps of context.
        horizon: The longest horizon, steps of target.
    """

    row: Int
    start: Int
    limit: Int
    context_length: int
    horizon: int

    def __len__(self) -> int:
        return len(self.row)

    @property
    def origin(self) -> Int:
        """Position of the first target step. Shape ``(N,)``."""
        return self.start + self.context_length

    def take(self, which: Int | slice) -> "Windows":
        """Return the chosen windows, in the order asked for."""
        return Windows(
            row=self.row[which],
            start=self.start[which],
            limit=self.limit[which],
            context_length=self.context_length,
            horizon=self.horizon,
        )

    def batches(self, size: int) -> Iterator["Windows"]:
        """Yield the windows in consecutive batches of at most ``size``."""
        for first in range(0, len(self), size):
            yield self.take(slice(first, first + size))

    def contexts(self, series: SeriesSet) -> Float:
        """Contexts in z units, shape ``(N, L)``."""
        return series.gather(self.row, self.start, self.context_length)

    def targets(self, series: SeriesSet, horizon: int | None = None) -> Float:
        """Targets in z units, NaN where missing or beyond the split. Shape ``(N, H)``."""
        horizon = self.horizon if horizon is None else horizon
        values = series.gather(self.row, self.origin, horizon)
        beyond = self.origin[:, None] + np.arange(horizon) >= self.limit[:, None]
        values[beyond] = np.nan
        return values

    def complete(self, horizon: int) -> np.ndarray:
        """Which windows hold a target of ``horizon`` steps inside their split. Shape ``(N,)``."""
        return self.origin + horizon <= self.limit

    def calendar(self, series: SeriesSet) -> Int:
        """Start of each window on the grid that all series share. Shape ``(N,)``."""
        return series.calendar[self.row] + self.start

    def fingerprint(self, series: SeriesSet) -> str:
        """Digest of these windows and of the values that they lie on."""
        arrays: dict[str, np.ndarray] = {
            "row": self.row,
            "start": self.start,
            "limit": self.limit,
            "flat": series.flat,
            "offset": series.offset,
            "length": series.length,
        }
        lengths = [self.context_length, self.horizon]
        return digest({"lengths": lengths, "arrays": digest_arrays(arrays)})

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, split: str, context_length: int, horizon: int
    ) -> "Windows":
        """Read one split of a window index ``split, row, start, limit``."""
        part = table[table["split"] == split]
        return cls(
            row=part["row"].to_numpy(dtype=np.int64),
            start=part["start"].to_numpy(dtype=np.int64),
            limit=part["limit"].to_numpy(dtype=np.int64),
            context_length=context_length,
            horizon=horizon,
        )


def index_windows(
    series: SeriesSet,
    borders: pd.DataFrame,
    *,
    context_length: int,
    horizons: Sequence[int],
    strides: dict[str, int],
    max_missing_share: float,
) -> pd.DataFrame:
    """List the windows of every split.

    Training windows (``datastore`` and ``train``) lie wholly inside the training split, one in each
    stretch of a stride, at varying phases. The context
    of a validation or test window may reach back over the border; its target never crosses one, and
    holds at least the shortest horizon.

    Args:
        series: The rows.
        borders: Table ``item_id, train_end, validation_end, test_end`` in steps of each series.
        context_length: L.
        horizons: Horizons in steps.
        strides: Steps between windows for each of ``SPLITS``.
        max_missing_share: Windows with more missing values in context, or in the shortest
            horizon's target, are left out.

    Returns:
        Table ``split, row, start, limit``, ordered by split, row and start.
    """
    by_item = borders.set_index(borders["item_id"].astype(str))
    parts = []
    for split in SPLITS:
        known = max(horizons) if split in ("datastore", "train") else min(horizons)
        for row in range(len(series.length)):
            border = by_item.loc[series.item_id[row]]
            first, limit = _origin_range(border, split, context_length)
            start = _origins(split, first, limit - known, strides[split]) - context_length
            keep = _observed_enough(series, row, start, context_length, known, max_missing_share)
            start = start[keep]
            parts.append(pd.DataFrame({"split": split, "row": row, "start": start, "limit": limit}))
    table = pd.concat(parts, ignore_index=True)
    return table.astype({"row": np.int32, "start": np.int32, "limit": np.int32})


def _origins(split: str, first: int, last: int, stride: int) -> Int:
    """Origins from ``first`` to ``last``, one in each stretch of ``stride`` steps.

    Those that train wander through their stretch (by the golden ratio, so evenly and always alike):
    at a fixed stride that shares a factor with a season, 7 steps of daily data for one, every
    window would begin in the same phase, and the others would never be learnt. Those that are
    judged keep the fixed stride.
    """
    origins = np.arange(first, last + 1, stride)
    if split not in ("datastore", "train"):
        return origins
    share = np.arange(1, len(origins) + 1) * _GOLDEN % 1.0
    return np.minimum(origins + (share * stride).astype(np.int64), last)


def _origin_range(border: "pd.Series[int]", split: str, context_length: int) -> tuple[int, int]:
    """First admissible origin of a split and the split's end."""
    if split in ("datastore", "train"):
        return context_length, int(border["train_end"])
    if split == "validation":
        return max(int(border["train_end"]), context_length), int(border["validation_end"])
    return max(int(border["validation_end"]), context_length), int(border["test_end"])


def _observed_enough(
    series: SeriesSet, row: int, start: Int, context_length: int, known: int, share: float
) -> np.ndarray:
    """Which windows have few enough missing values in context and target."""
    begin = series.offset[row]
    missing = np.isnan(series.flat[begin : begin + series.length[row]])
    count = np.concatenate([[0], np.cumsum(missing)])
    origin = start + context_length
    in_context = count[origin] - count[start]
    in_target = count[origin + known] - count[origin]
    return np.asarray((in_context <= share * context_length) & (in_target <= share * known))


def list_origins(
    table: pd.DataFrame, series: SeriesSet, *, context_length: int, horizon: int
) -> pd.DataFrame:
    """List the forecasts that the windows of an index need of a backbone.

    Args:
        table: What :func:`index_windows` returned.
        series: The rows.
        context_length: L.
        horizon: H, steps that are forecast.

    Returns:
        Table ``item_id, target_name, cutoff, split, horizon`` in the order of the index, a line for
        each window but those that are only stored; ``cutoff`` is the last known step.
    """
    asked = table[table["split"] != "datastore"]
    row, start = (asked[name].to_numpy(dtype=np.int64) for name in ("row", "start"))
    columns: dict[str, Any] = {}
    for name, values in (("item_id", series.item_id), ("target_name", series.channel)):
        names = pd.Categorical(values.astype(str))
        columns[name] = names[row]
    columns["cutoff"] = series.timestamps(row, start + context_length - 1)
    columns["split"] = pd.Categorical(asked["split"], categories=SPLITS[1:])
    return pd.DataFrame(columns).assign(horizon=np.int32(horizon))


def count_windows(
    table: pd.DataFrame,
    series: SeriesSet,
    borders: pd.DataFrame,
    *,
    context_length: int,
    horizons: Sequence[int],
    strides: dict[str, int],
) -> dict[str, Any]:
    """Count the windows of an index, and those that missing values left out.

    Args:
        table: What :func:`index_windows` returned for the other arguments.
        series: The rows.
        borders: Table ``item_id, train_end, validation_end, test_end`` in steps of each series.
        context_length: L.
        horizons: Horizons in steps.
        strides: Steps between windows for each of ``SPLITS``.

    Returns:
        ``splits``, with ``kept`` and ``left_out`` for each of ``SPLITS``; and
        ``rows_without_training_windows``, a list of ``item_id, channel, reason``.
    """
    by_item = borders.set_index(borders["item_id"].astype(str))
    border = [by_item.loc[item] for item in series.item_id]
    counts, trained = {}, np.zeros(len(border), dtype=bool)
    for split in SPLITS:
        known = max(horizons) if split in ("datastore", "train") else min(horizons)
        ranges = (_origin_range(ends, split, context_length) for ends in border)
        possible = sum(len(range(a, b - known + 1, strides[split])) for a, b in ranges)
        rows = table.loc[table["split"] == split, "row"].to_numpy()
        counts[split] = {"kept": len(rows), "left_out": possible - len(rows)}
        if split in ("datastore", "train"):
            trained[rows] = True
    without = []
    for row in np.flatnonzero(~trained):
        train = series.row_values(int(row), int(border[row]["train_end"]))
        reason = (
            f"too many missing values in every training window: {np.isfinite(train).sum()} of "
            f"{len(train)} training steps are observed"
        )
        names = {"item_id": str(series.item_id[row]), "channel": str(series.channel[row])}
        without.append(names | {"reason": reason})
    return {"splits": counts, "rows_without_training_windows": without}
