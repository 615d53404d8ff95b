"""The panel as models read it: univariate rows in train z units, in one flat buffer."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.series.grid import fixed_step

Float = NDArray[np.float32]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class SeriesSet:
    """Every channel of every series as its own univariate row.

    Attributes:
        flat: All rows one after another, in train z units, NaN where missing. Shape ``(total,)``.
        offset: Where each row begins in ``flat``. Shape ``(R,)``.
        length: Number of steps of each row. Shape ``(R,)``.
        item_id: Series of each row. Shape ``(R,)``.
        channel: Channel name of each row. Shape ``(R,)``.
        calendar: Position of each row's first step on the grid that all series share. ``(R,)``.
        mean: Training mean of each row, raw units. Shape ``(R,)``.
        std: Training standard deviation of each row, raw units. Shape ``(R,)``.
        begin: Timestamp of each row's first step. Shape ``(R,)``.
        freq: The step, as pandas writes it.
    """

    flat: Float
    offset: Int
    length: Int
    item_id: NDArray[np.object_]
    channel: NDArray[np.object_]
    calendar: Int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    begin: NDArray[np.datetime64]
    freq: str

    @classmethod
    def from_panel(cls, panel: pd.DataFrame, scaler: pd.DataFrame, freq: str) -> "SeriesSet":
        """Build the rows of a regular panel.

        Args:
            panel: Long table ``item_id, timestamp, <channels>``, regular, sorted, NaN = missing.
            scaler: Table ``item_id, channel, mean, std``, one line for each row to build.
            freq: Step of the grid, as pandas writes it.

        Returns:
            One row for each line of ``scaler``, in its order.
        """
        groups = {str(item): group for item, group in panel.groupby("item_id", sort=False)}
        starts = {item: group["timestamp"].iloc[0] for item, group in groups.items()}
        grid = pd.date_range(min(starts.values()), max(starts.values()), freq=freq)
        item_id = scaler["item_id"].astype(str).to_numpy(dtype=object)
        channel = scaler["channel"].astype(str).to_numpy(dtype=object)
        mean, std = (scaler[name].to_numpy(dtype=np.float64) for name in ("mean", "std"))
        rows = [
            (groups[i][c].to_numpy(dtype=np.float64) - m) / s
            for i, c, m, s in zip(item_id, channel, mean, std, strict=True)
        ]
        length = np.array([len(row) for row in rows], dtype=np.int64)
        return cls(
            flat=np.concatenate(rows).astype(np.float32),
            offset=np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int64),
            length=length,
            item_id=item_id,
            channel=channel,
            calendar=np.array([grid.searchsorted(starts[i]) for i in item_id], dtype=np.int64),
            mean=mean,
            std=std,
            begin=np.array([starts[i] for i in item_id], dtype="datetime64[ns]"),
            freq=freq,
        )

    def timestamps(self, row: Int, step: Int) -> NDArray[np.datetime64]:
        """When steps of rows are.

        Args:
            row: Row of each step. Shape ``(B,)``.
            step: Its position in the row. Shape ``(B,)``.

        Returns:
            Timestamps ``datetime64[ns]``, as the panel has them. Shape ``(B,)``.
        """
        if size := fixed_step(self.freq):
            return np.asarray(self.begin[row] + (step * size).astype("timedelta64[ns]"))
        place = self.calendar - self.calendar.min()
        count = int((place + self.length).max())
        grid = pd.date_range(self.begin.min(), periods=count, freq=self.freq).as_unit("ns")
        return np.asarray(grid.to_numpy()[place[row] + step])

    def gather(self, row: Int, start: Int, length: int) -> Float:
        """Copy stretches of rows.

        Args:
            row: Row of each stretch. Shape ``(B,)``.
            start: First step of each stretch; may be negative. Shape ``(B,)``.
            length: Steps in each stretch.

        Returns:
            Values in z units, NaN outside a row. Shape ``(B, length)``.
        """
        begin = self.offset[row] + start
        if bool(np.all((start >= 0) & (start + length <= self.length[row]))):
            # Whole rows of a strided view are copied at once, ten times faster than step by step.
            return np.array(np.lib.stride_tricks.sliding_window_view(self.flat, length)[begin])
        steps = start[:, None] + np.arange(length)
        inside = (steps >= 0) & (steps < self.length[row][:, None])
        values = self.flat[np.where(inside, self.offset[row][:, None] + steps, 0)]
        return np.where(inside, values, np.float32(np.nan))

    def row_values(self, row: int, end: int | None = None) -> Float:
        """One row in z units, up to ``end``. Shape ``(length,)`` or ``(end,)``."""
        first, length = int(self.offset[row]), int(self.length[row])
        return self.flat[first : first + (length if end is None else min(end, length))]

    def summary(self) -> dict[str, Any]:
        """Sizes, for the catalog's preview."""
        return {
            "rows": len(self.length),
            "items": len(set(self.item_id)),
            "channels": sorted(set(self.channel)),
            "steps": len(self.flat),
            "missing_share": float(np.isnan(self.flat).mean()),
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json``, ``rows.parquet`` and ``flat.npy``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"freq": self.freq}), encoding="utf-8")
        columns = {name: getattr(self, name) for name in _ROW_COLUMNS}
        pd.DataFrame(columns).to_parquet(folder / "rows.parquet")
        np.save(folder / "flat.npy", self.flat)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "SeriesSet":
        """Read what :meth:`save_pretrained` wrote."""
        rows = pd.read_parquet(folder / "rows.parquet")
        columns = {name: rows[name].to_numpy() for name in _ROW_COLUMNS}
        for name in ("item_id", "channel"):
            columns[name] = columns[name].astype(object)
        columns["begin"] = columns["begin"].astype("datetime64[ns]")
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return cls(flat=np.load(folder / "flat.npy"), freq=config["freq"], **columns)


_ROW_COLUMNS = ("offset", "length", "item_id", "channel", "calendar", "mean", "std", "begin")
