"""The datastore: keys of training windows in faiss, searched under an embargo."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load_file, save_file

from tsmemory.retrieval.embargo import Embargo, calendar_slack, embargoed_positions
from tsmemory.retrieval.keys import Float, KeyConfig, KeyScaler, ScaledKeys, key_parts
from tsmemory.retrieval.matrix import search_on_device
from tsmemory.retrieval.nearest import (
    make_index,
    query_blocks,
    read_index,
    recall,
    search_admissible,
    write_index,
)
from tsmemory.series.series_set import Int, SeriesSet
from tsmemory.series.windows import Windows

IndexKind = Literal["auto", "flat", "ivf", "hnsw"]
FLAT_LIMIT = 200_000  # above it "auto" takes an approximate index (METHOD 1.2)
_ARRAYS = "windows.safetensors"


@dataclass(frozen=True)
class Datastore:
    """Training windows by key, one faiss index for each group that may be searched together.

    Windows are ordered by group, then by the calendar, then by row.

    Attributes:
        row: Row of each window in the series set. Shape ``(n,)``.
        start: First step of each window. Shape ``(n,)``.
        calendar: Start of each window on the shared calendar. Shape ``(n,)``.
        group_edges: Where each group begins, and ``n``. Shape ``(G + 1,)``.
        group_names: Channel of each group, or ``("all",)``.
        indexes: One faiss index for each group.
        scaler: Scaling of the keys.
        key: What the keys are.
        index_kind: ``flat``, ``ivf`` or ``hnsw``.
        recall: Share of the exact 20 nearest admissible neighbours that the index finds, on a
            sample of the stored windows under the overlap embargo.
        context_length: L.
        horizon: H, the longest.
        folder: Where it lies, if its keys are mapped from there.
    """

    row: Int
    start: Int
    calendar: Int
    group_edges: Int
    group_names: tuple[str, ...]
    indexes: tuple[Any, ...]
    scaler: KeyScaler
    key: KeyConfig
    index_kind: str
    recall: float
    context_length: int
    horizon: int
    folder: Path | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.row)

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and of what says where their windows lie."""
        places = self.row.nbytes + self.start.nbytes + self.calendar.nbytes
        return places + len(self) * self.scaler.mean.nbytes

    @classmethod
    def build(
        cls,
        keys: Float,
        windows: Windows,
        series: SeriesSet,
        *,
        key: KeyConfig,
        index_kind: IndexKind,
        same_channel: bool,
    ) -> "Datastore":
        """Index the keys of training windows.

        Args:
            keys: Unscaled keys of the windows, as ``key`` says. Shape ``(n, d)``.
            windows: The windows, wholly inside the training split.
            series: The rows they lie on.
            key: What the keys are.
            index_kind: ``auto`` is exact up to ``FLAT_LIMIT`` windows in a group, then ``ivf``.
            same_channel: Search windows of the query's channel only.

        Returns:
            The datastore.
        """
        names = series.channel.astype(str) if same_channel else np.full(len(series.channel), "all")
        group_names, code = np.unique(names, return_inverse=True)
        calendar = windows.calendar(series)
        order = np.lexsort((windows.row, calendar, code[windows.row]))
        group = code[windows.row][order]
        edges = np.searchsorted(group, np.arange(len(group_names) + 1))
        scaler = KeyScaler.fit(keys, key_parts(key, keys.shape[1], series.freq))
        largest = int(np.diff(edges).max(initial=0))
        kind = ("flat" if largest <= FLAT_LIMIT else "ivf") if index_kind == "auto" else index_kind
        indexes, shares = [], []
        for begin, end in pairwise(edges):
            scaled, where = ScaledKeys(keys, order[begin:end], scaler), calendar[order[begin:end]]
            indexes.append(make_index(scaled, kind))
            if kind != "flat":
                hidden = embargoed_positions(
                    where,
                    where,
                    context_length=windows.context_length,
                    horizon=windows.horizon,
                    embargo="overlap",
                    slack=calendar_slack(series),
                )
                shares += recall(indexes[-1], scaled, *hidden)
        return cls(
            row=windows.row[order],
            start=windows.start[order],
            calendar=calendar[order],
            group_edges=edges.astype(np.int64),
            group_names=tuple(str(name) for name in group_names),
            indexes=tuple(indexes),
            scaler=scaler,
            key=key,
            index_kind=kind,
            recall=float(np.mean(shares)) if shares else 1.0,
            context_length=windows.context_length,
            horizon=windows.horizon,
        )

    def search(
        self,
        keys: Float,
        windows: Windows,
        series: SeriesSet,
        *,
        k: int,
        embargo: Embargo,
        device: str = "cpu",
    ) -> tuple[Int, Float]:
        """The ``k`` nearest admissible windows of each query.

        Args:
            keys: Unscaled keys of the queries. Shape ``(B, d)``.
            windows: The queries.
            series: The rows they lie on.
            k: Neighbours asked for.
            embargo: What a query may not see.
            device: Torch device that searches, exactly; ``cpu`` leaves it to the faiss index.

        Returns:
            Positions in the datastore, ``-1`` where fewer than ``k`` are admissible, and Euclidean
            distances between scaled keys, ``inf`` there. Both of shape ``(B, k)``.
        """
        found = np.full((len(windows), k), -1, dtype=np.int64)
        distance = np.full((len(windows), k), np.inf, dtype=np.float32)
        scaled = self.scaler(keys)
        calendar, slack = windows.calendar(series), calendar_slack(series)
        for group, queries in self._by_group(windows, series, calendar):
            begin, end = self.group_edges[group], self.group_edges[group + 1]
            low, high = embargoed_positions(
                self.calendar[begin:end],
                calendar[queries],
                context_length=self.context_length,
                horizon=self.horizon,
                embargo=embargo,
                slack=slack,
            )
            if device == "cpu":
                blocks = [
                    (queries[block], low[block], high[block]) for block in query_blocks(low, high)
                ]
                search = search_admissible
            else:
                blocks, search = [(queries, low, high)], partial(search_on_device, device=device)
            for which, first, last in blocks:
                position, square = search(self.indexes[group], scaled[which], first, last, k)
                found[which] = np.where(position >= 0, position + begin, -1)
                distance[which] = np.sqrt(np.maximum(square, 0))
        return found, distance

    def neighbour_windows(self, positions: Int) -> tuple[Int, Int]:
        """Row and start of stored windows; position ``-1`` gives those of window 0."""
        safe = np.maximum(positions, 0)
        return self.row[safe], self.start[safe]

    def _by_group(
        self, windows: Windows, series: SeriesSet, calendar: Int
    ) -> Iterator[tuple[int, Int]]:
        """Queries of each group in calendar order, so that a block shares most of its embargo."""
        member = self.groups_of(windows, series)
        for group in range(len(self.group_names)):
            queries = np.flatnonzero(member == group)
            if len(queries):
                yield group, queries[np.argsort(calendar[queries], kind="stable")]

    def groups_of(self, windows: Windows, series: SeriesSet) -> Int:
        """Number of the group that each window is searched in, -1 for none. Shape ``(B,)``."""
        if self.group_names == ("all",):
            return np.zeros(len(windows), np.int64)
        number = {name: group for group, name in enumerate(self.group_names)}
        by_row = np.array([number.get(str(name), -1) for name in series.channel], np.int64)
        return by_row[windows.row]

    def share_files(self, folder: Path) -> tuple[Callable[[Path], "Datastore"], tuple[Path]]:
        """Write it where workers map its keys, see :mod:`tsmemory.scaleout.payload`."""
        if self.folder is None:
            self.save_pretrained(folder)
        where = (self.folder or folder).absolute()
        return partial(Datastore.from_pretrained, mapped=True), (where,)

    def summary(self) -> dict[str, Any]:
        """Size, kind and recall, for the catalog's preview."""
        return {
            "windows": len(self),
            "dimension": int(self.scaler.mean.shape[0]),
            "key": asdict(self.key),
            "index_kind": self.index_kind,
            "recall_at_20": self.recall,
            "groups": dict(zip(self.group_names, np.diff(self.group_edges).tolist(), strict=True)),
            "context_length": self.context_length,
            "horizon": self.horizon,
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json``, ``windows.safetensors`` and one faiss file for each group."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.summary(), indent=2), encoding="utf-8")
        arrays = {
            "row": self.row,
            "start": self.start,
            "calendar": self.calendar,
            "group_edges": self.group_edges,
            "key_mean": self.scaler.mean,
            "key_scale": self.scaler.scale,
        }
        save_file({n: np.ascontiguousarray(a) for n, a in arrays.items()}, folder / _ARRAYS)
        for number, index in enumerate(self.indexes):
            write_index(index, folder / f"group_{number:03d}.faiss")

    @classmethod
    def from_pretrained(cls, folder: Path, *, mapped: bool = False) -> "Datastore":
        """Read a datastore written by :meth:`save_pretrained`.

        Args:
            folder: Where it lies.
            mapped: Leave the keys in their files, which must stay as they are.
        """
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / _ARRAYS)
        names = tuple(config["groups"])
        return cls(
            row=arrays["row"],
            start=arrays["start"],
            calendar=arrays["calendar"],
            group_edges=arrays["group_edges"],
            group_names=names,
            indexes=tuple(
                read_index(folder / f"group_{i:03d}.faiss", mapped=mapped)
                for i in range(len(names))
            ),
            scaler=KeyScaler(mean=arrays["key_mean"], scale=arrays["key_scale"]),
            key=KeyConfig(**config["key"]),
            index_kind=config["index_kind"],
            recall=config["recall_at_20"],
            context_length=config["context_length"],
            horizon=config["horizon"],
            folder=folder if mapped else None,
        )
