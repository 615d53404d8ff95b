"""Neighbours and weights of each query: all that the teacher stores (METHOD 1.4)."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tsmemory.backbones.devices import check_device
from tsmemory.errors import UserError
from tsmemory.fingerprint import digest, digest_arrays
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.embargo import Embargo
from tsmemory.retrieval.keys import make_keys
from tsmemory.scaleout.config import IN_THIS_PROCESS, ShardsConfig
from tsmemory.scaleout.shards import Arrays, ShardCache, map_shards
from tsmemory.series.series_set import Float, SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.confidence import (
    ConfidenceKind,
    confidence_of,
    effective_neighbours,
    percentiles,
)
from tsmemory.teacher.rerank import Rerank

_FILE = "neighbours.safetensors"
_ARRAYS = ("position", "weight", "nearest", "own_nearest")


@dataclass(frozen=True)
class Neighbours:
    """Positions in the datastore with their weights: 8 bytes a neighbour, and 4 a query.

    Attributes:
        position: Datastore positions, ``-1`` where fewer are admissible. Shape ``(M, K)``.
        weight: Weights, each row summing to 1, or to 0 where no neighbour is. Shape ``(M, K)``.
        k_min: A query with fewer neighbours has confidence 0.
        nearest: Distance of the nearest neighbour, ``inf`` where none is. Shape ``(M,)``.
        own_nearest: Percentiles of the same over the windows that the datastore was made from.
            Shape ``(101,)``.
        confidence_kind: How far a query is trusted.
    """

    position: NDArray[np.int32]
    weight: Float
    k_min: int
    nearest: Float
    own_nearest: Float
    confidence_kind: ConfidenceKind = "max_weight"

    def __len__(self) -> int:
        return len(self.position)

    @property
    def confidence(self) -> Float:
        """How far each query is trusted, 0 below ``k_min`` neighbours. Shape ``(M,)``."""
        enough = (self.position >= 0).sum(axis=1) >= self.k_min
        value = confidence_of(self.confidence_kind, self.weight, self.nearest, self.own_nearest)
        return np.where(enough, value, 0).astype(np.float32)

    def take(self, which: NDArray[np.int64] | slice) -> "Neighbours":
        """Neighbours of the chosen queries."""
        return replace(
            self,
            position=self.position[which],
            weight=self.weight[which],
            nearest=self.nearest[which],
        )

    def summary(self) -> dict[str, Any]:
        """Counts and mean confidence, for the catalog's preview."""
        admissible = (self.position >= 0).sum(axis=1)
        effective = effective_neighbours(self.weight)
        return {
            "queries": len(self),
            "k": int(self.position.shape[1]),
            "k_min": self.k_min,
            "queries_below_k_min": int((admissible < self.k_min).sum()),
            "confidence": self.confidence_kind,
            "mean_confidence": float(self.confidence.mean()) if len(self) else 0.0,
            "mean_effective_neighbours": float(effective.mean()) if len(self) else 0.0,
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``neighbours.safetensors``."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {"k_min": self.k_min, "confidence": self.confidence_kind}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        save_file({n: np.ascontiguousarray(a) for n, a in arrays.items()}, folder / _FILE)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Neighbours":
        """Read what :meth:`save_pretrained` wrote."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / _FILE)
        return cls(k_min=config["k_min"], confidence_kind=config["confidence"], **arrays)


def softmax_weights(distance: Float, temperature: float) -> Float:
    """Weights ``softmax(-distance / temperature)`` over the neighbours (METHOD 1.4, step 3).

    Args:
        distance: Euclidean distances, ``inf`` for absent neighbours. Shape ``(B, K)``.
        temperature: tau, in units of scaled keys.

    Returns:
        Weights of shape ``(B, K)``; a row without neighbours is all 0.
    """
    nearest = np.min(distance, axis=1, keepdims=True)
    logit = -(distance - np.where(np.isfinite(nearest), nearest, 0)) / temperature
    mass = np.exp(logit)
    total = mass.sum(axis=1, keepdims=True)
    return np.asarray(mass / np.where(total > 0, total, 1), dtype=np.float32)


@dataclass(frozen=True)
class SearchShard:
    """Searches the neighbours of one shard of queries.

    Attributes:
        datastore: Where to search.
        embeddings: The backbone's embeddings of the queries. Shape ``(M, d)``.
        windows: The queries.
        series: The rows they lie on.
        order: Queries in the order in which shards are cut. Shape ``(M,)``.
        size: Queries in a shard.
        k: Neighbours for each query.
        temperature: tau of the weights.
        embargo: What a query may not see.
        rerank: How a larger pool is narrowed down to K.
        device: Torch device that searches; ``cpu`` leaves it to faiss.
    """

    datastore: Datastore
    embeddings: Float
    windows: Windows
    series: SeriesSet
    order: NDArray[np.int64]
    size: int
    k: int
    temperature: float
    embargo: Embargo
    rerank: Rerank | None
    device: str

    def __call__(self, first: int) -> Arrays:
        """``position, weight`` of shape ``(size, K)`` and ``nearest`` of ``(size,)``."""
        chosen, series, k = self.order[first : first + self.size], self.series, self.k
        queries = self.windows.take(chosen)
        keys = make_keys(self.datastore.key, np.asarray(self.embeddings[chosen]), queries, series)
        pool = k if self.rerank is None else max(self.rerank.pool, k)
        position, distance = self.datastore.search(
            keys, queries, series, k=pool, embargo=self.embargo, device=self.device
        )
        if self.rerank is not None:
            position, distance = self.rerank.select(
                self.datastore, queries, series, position, distance, k
            )
        return {
            "position": position.astype(np.int32),
            "weight": softmax_weights(distance, self.temperature),
            "nearest": distance.min(axis=1),
        }


def find_neighbours(
    datastore: Datastore,
    embeddings: Float,
    windows: Windows,
    series: SeriesSet,
    *,
    k: int,
    k_min: int,
    temperature: float,
    embargo: Embargo,
    shard_size: int,
    cache: ShardCache | None = None,
    rerank: Rerank | None = None,
    confidence: ConfidenceKind = "max_weight",
    own_nearest: Float | None = None,
    device: str = "cpu",
    sharing: ShardsConfig = IN_THIS_PROCESS,
) -> Neighbours:
    """Search the datastore for every query, shard by shard.

    Shards are cut along the calendar: queries of one time share most of what they may not see, and
    are searched at once however many series there are.

    Args:
        datastore: Where to search.
        embeddings: The backbone's embeddings of the queries. Shape ``(M, d)``.
        windows: The queries.
        series: The rows they lie on.
        k: Neighbours for each query.
        k_min: Fewer admissible neighbours than this give confidence 0.
        temperature: tau of the weights.
        embargo: What a query may not see.
        shard_size: Queries in a shard.
        cache: Where finished shards are kept, so that a killed search goes on where it was.
        rerank: How a larger pool is narrowed down to K; ``None`` takes the K nearest by key.
        confidence: How far queries are trusted.
        own_nearest: Percentiles of nearest distances that the queries' are compared with; by
            default their own, which are the datastore's where queries are training windows.
        device: Torch device that searches; ``cpu`` leaves it to faiss, others search exactly.
        sharing: Who works through the shards; by default this process.

    Returns:
        Neighbours and weights of the queries.

    Raises:
        UserError: More neighbours are asked for than any group of the datastore holds, or a device
            that this machine lacks.
    """
    check_device(device)
    largest = int(np.diff(datastore.group_edges).max(initial=0))
    if k > largest:
        raise UserError(
            f"teacher.k = {k} neighbours are asked for, but the datastore holds at most {largest} "
            f"windows that may be searched together: lower teacher.k or windowing.strides.datastore"
        )
    order = np.lexsort((windows.calendar(series), datastore.groups_of(windows, series)))
    settings = {
        "k": k,
        "temperature": temperature,
        "embargo": embargo,
        "shard_size": shard_size,
        "device": device,
        "rerank": None if rerank is None else asdict(rerank),
    }
    opened = None
    if cache:
        opened = cache.open(_fingerprint(settings, datastore, embeddings, windows, series))
    work = SearchShard(
        *(datastore, embeddings, windows, series, order, shard_size),
        k=k,
        temperature=temperature,
        embargo=embargo,
        rerank=rerank,
        device=device,
    )
    firsts = range(0, len(windows), shard_size)
    shards = map_shards(
        work, firsts, cache=opened, description="Searching neighbours", config=sharing
    )
    position = np.empty((len(windows), k), np.int32)
    weight = np.empty((len(windows), k), np.float32)
    nearest = np.empty(len(windows), np.float32)
    for first, shard in zip(firsts, shards, strict=True):
        chosen = order[first : first + shard_size]
        position[chosen], weight[chosen] = shard["position"], shard["weight"]
        nearest[chosen] = shard["nearest"]
    return Neighbours(
        position=position,
        weight=weight,
        k_min=k_min,
        nearest=nearest,
        own_nearest=percentiles(nearest) if own_nearest is None else own_nearest,
        confidence_kind=confidence,
    )


def _fingerprint(
    settings: dict[str, Any],
    datastore: Datastore,
    embeddings: Float,
    windows: Windows,
    series: SeriesSet,
) -> str:
    """What the shards depend on."""
    arrays: dict[str, np.ndarray] = {
        "embeddings": embeddings,
        "calendar": windows.calendar(series),
        "stored_row": datastore.row,
        "stored_start": datastore.start,
        "stored_calendar": datastore.calendar,
        "key_mean": datastore.scaler.mean,
        "key_scale": datastore.scaler.scale,
    }
    stored = datastore.summary()
    parts = {"settings": settings, "stored": stored, "arrays": digest_arrays(arrays)}
    parts |= {
        "windows": windows.fingerprint(series),
        "channels": series.channel.astype(str).tolist(),
    }
    return digest(parts)


def query_batches(count: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` queries."""
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))
