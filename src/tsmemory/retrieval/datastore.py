"""The datastore: keys of training windows in faiss, searched under an embargo."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tsmemory.retrieval.embargo import Embargo, embargoed_positions
from tsmemory.retrieval.keys import Float, KeyKind, KeyScaler
from tsmemory.series.series_set import Int, SeriesSet
from tsmemory.series.windows import Windows

IndexKind = Literal["auto", "flat", "ivf", "hnsw"]
FLAT_LIMIT = 200_000  # above it "auto" takes an approximate index (METHOD 1.2)
_BLOCK = 256  # queries that share one selector
_RECALL_QUERIES = 256
_RECALL_K = 20


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
        key_kind: What the keys are.
        index_kind: ``flat``, ``ivf`` or ``hnsw``.
        recall: Share of the exact 20 nearest neighbours that the index finds, on a sample.
        context_length: L.
        horizon: H, the longest.
    """

    row: Int
    start: Int
    calendar: Int
    group_edges: Int
    group_names: tuple[str, ...]
    indexes: tuple[Any, ...]
    scaler: KeyScaler
    key_kind: KeyKind
    index_kind: str
    recall: float
    context_length: int
    horizon: int

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def build(
        cls,
        keys: Float,
        windows: Windows,
        series: SeriesSet,
        *,
        key_kind: KeyKind,
        index_kind: IndexKind,
        same_channel: bool,
    ) -> "Datastore":
        """Index the keys of training windows.

        Args:
            keys: Unscaled keys of the windows. Shape ``(n, d)``.
            windows: The windows, wholly inside the training split.
            series: The rows they lie on.
            key_kind: What the keys are.
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
        scaler = KeyScaler.fit(keys)
        scaled = scaler(keys[order])
        largest = int(np.diff(edges).max(initial=0))
        kind = ("flat" if largest <= FLAT_LIMIT else "ivf") if index_kind == "auto" else index_kind
        parts = [scaled[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]
        indexes = tuple(_faiss_index(part, kind) for part in parts)
        return cls(
            row=windows.row[order],
            start=windows.start[order],
            calendar=calendar[order],
            group_edges=edges.astype(np.int64),
            group_names=tuple(str(name) for name in group_names),
            indexes=indexes,
            scaler=scaler,
            key_kind=key_kind,
            index_kind=kind,
            recall=1.0 if kind == "flat" else _recall(indexes, parts),
            context_length=windows.context_length,
            horizon=windows.horizon,
        )

    def search(
        self, keys: Float, windows: Windows, series: SeriesSet, *, k: int, embargo: Embargo
    ) -> tuple[Int, Float]:
        """The ``k`` nearest admissible windows of each query.

        Args:
            keys: Unscaled keys of the queries. Shape ``(B, d)``.
            windows: The queries.
            series: The rows they lie on.
            k: Neighbours asked for.
            embargo: What a query may not see.

        Returns:
            Positions in the datastore, ``-1`` where fewer than ``k`` are admissible, and Euclidean
            distances between scaled keys, ``inf`` there. Both of shape ``(B, k)``.
        """
        found = np.full((len(windows), k), -1, dtype=np.int64)
        distance = np.full((len(windows), k), np.inf, dtype=np.float32)
        scaled = self.scaler(keys)
        calendar = windows.calendar(series)
        for group, queries in self._by_group(windows, series, calendar):
            begin, end = self.group_edges[group], self.group_edges[group + 1]
            low, high = embargoed_positions(
                self.calendar[begin:end],
                calendar[queries],
                context_length=self.context_length,
                horizon=self.horizon,
                embargo=embargo,
            )
            for first in range(0, len(queries), _BLOCK):
                block = slice(first, first + _BLOCK)
                position, square = _search_block(
                    self.indexes[group], scaled[queries[block]], low[block], high[block], k
                )
                found[queries[block]] = np.where(position >= 0, position + begin, -1)
                distance[queries[block]] = np.sqrt(np.maximum(square, 0))
        return found, distance

    def neighbour_windows(self, positions: Int) -> tuple[Int, Int]:
        """Row and start of stored windows; position ``-1`` gives those of window 0."""
        safe = np.maximum(positions, 0)
        return self.row[safe], self.start[safe]

    def _by_group(
        self, windows: Windows, series: SeriesSet, calendar: Int
    ) -> Iterator[tuple[int, Int]]:
        """Queries of each group in calendar order, so that a block shares most of its embargo."""
        names = series.channel.astype(str)[windows.row]
        for group, name in enumerate(self.group_names):
            member = np.ones(len(names), bool) if name == "all" else names == name
            queries = np.flatnonzero(member)
            yield group, queries[np.argsort(calendar[queries], kind="stable")]

    def summary(self) -> dict[str, Any]:
        """Size, kind and recall, for the catalog's preview."""
        return {
            "windows": len(self),
            "dimension": int(self.scaler.mean.shape[0]),
            "key_kind": self.key_kind,
            "index_kind": self.index_kind,
            "recall_at_20": self.recall,
            "groups": dict(zip(self.group_names, np.diff(self.group_edges).tolist(), strict=True)),
            "context_length": self.context_length,
            "horizon": self.horizon,
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json``, ``windows.safetensors`` and one faiss file for each group."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {**self.summary(), "key_scale": self.scaler.scale}
        (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        arrays = {
            "row": self.row,
            "start": self.start,
            "calendar": self.calendar,
            "group_edges": self.group_edges,
            "key_mean": self.scaler.mean,
        }
        save_file({n: np.ascontiguousarray(a) for n, a in arrays.items()}, folder / _ARRAYS)
        for number, index in enumerate(self.indexes):
            faiss.write_index(index, str(folder / f"group_{number:03d}.faiss"))

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Datastore":
        """Read a datastore written by :meth:`save_pretrained`."""
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
                faiss.read_index(str(folder / f"group_{i:03d}.faiss")) for i in range(len(names))
            ),
            scaler=KeyScaler(mean=arrays["key_mean"], scale=config["key_scale"]),
            key_kind=config["key_kind"],
            index_kind=config["index_kind"],
            recall=config["recall_at_20"],
            context_length=config["context_length"],
            horizon=config["horizon"],
        )


_ARRAYS = "windows.safetensors"


def _faiss_index(keys: Float, kind: str) -> Any:
    """A faiss index over the keys, positions being their order."""
    size, dimension = keys.shape
    if kind == "flat" or size == 0:
        index = faiss.IndexFlatL2(dimension)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dimension, 32)
        index.hnsw.efSearch = 128
    else:
        lists = max(1, min(int(4 * np.sqrt(size)), size // 39))
        index = faiss.index_factory(dimension, f"IVF{lists},Flat")
        index.train(keys)
        index.nprobe = max(1, lists // 16)
    index.add(keys)
    return index


def _search_block(
    index: Any, keys: Float, low: NDArray[np.int64], high: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], Float]:
    """Search queries with similar embargoes ``[low, high)``.

    What is embargoed for all of them is hidden from faiss by one selector; what is embargoed for
    some is fetched in excess and dropped, so that ``k`` neighbours remain wherever they exist.
    """
    shared_low, shared_high = int(low.max()), int(high.min())
    shared = max(shared_high - shared_low, 0)
    excess = int(high.max() - low.min()) - shared
    fetch = min(k + excess, max(index.ntotal - shared, 0))
    position = np.full((len(keys), k), -1, dtype=np.int64)
    square = np.full((len(keys), k), np.inf, dtype=np.float32)
    if fetch == 0:
        return position, square
    found_square, found = index.search(
        keys, fetch, params=_parameters(index, shared_low, shared_high if shared else shared_low)
    )
    hidden = (found >= low[:, None]) & (found < high[:, None]) | (found < 0)
    order = np.argsort(hidden, axis=1, kind="stable")[:, :k]
    width = order.shape[1]
    kept = ~np.take_along_axis(hidden, order, axis=1)
    position[:, :width] = np.where(kept, np.take_along_axis(found, order, axis=1), -1)
    square[:, :width] = np.where(kept, np.take_along_axis(found_square, order, axis=1), np.inf)
    return position, square


def _parameters(index: Any, low: int, high: int) -> Any:
    """Search parameters that hide positions ``[low, high)``, or ``None`` when nothing is hidden."""
    if high <= low:
        return None
    selector = faiss.IDSelectorNot(faiss.IDSelectorRange(low, high))
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=index.nprobe)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(sel=selector, efSearch=index.hnsw.efSearch)
    return faiss.SearchParameters(sel=selector)


def _recall(indexes: tuple[Any, ...], parts: list[Float]) -> float:
    """Share of the exact nearest neighbours that approximate indexes find, on a sample of keys."""
    shares = []
    for index, keys in zip(indexes, parts, strict=True):
        k = min(_RECALL_K, len(keys))
        if k == 0:
            continue
        queries = keys[:: max(1, len(keys) // _RECALL_QUERIES)]
        exact = _faiss_index(keys, "flat").search(queries, k)[1]
        found = index.search(queries, k)[1]
        shares += [len(np.intersect1d(a, b)) / k for a, b in zip(exact, found, strict=True)]
    return float(np.mean(shares)) if shares else 1.0
