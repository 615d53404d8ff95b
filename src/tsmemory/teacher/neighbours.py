"""Neighbours and weights of each query: all that the teacher stores (METHOD 1.4)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tsmemory.errors import UserError
from tsmemory.fingerprint import digest, digest_arrays
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.embargo import Embargo
from tsmemory.retrieval.keys import query_keys
from tsmemory.scaleout.shards import ShardCache, map_shards
from tsmemory.series.series_set import Float, SeriesSet
from tsmemory.series.windows import Windows

_FILE = "neighbours.safetensors"


@dataclass(frozen=True)
class Neighbours:
    """Positions in the datastore with their weights: 8 bytes a neighbour.

    Attributes:
        position: Datastore positions, ``-1`` where fewer are admissible. Shape ``(M, K)``.
        weight: Weights, each row summing to 1, or to 0 where no neighbour is. Shape ``(M, K)``.
        k_min: A query with fewer neighbours has confidence 0.
    """

    position: NDArray[np.int32]
    weight: Float
    k_min: int

    def __len__(self) -> int:
        return len(self.position)

    @property
    def confidence(self) -> Float:
        """Largest weight of each query (TS-Memory, section 4.2), 0 below ``k_min``. ``(M,)``."""
        enough = (self.position >= 0).sum(axis=1) >= self.k_min
        return np.where(enough, self.weight.max(axis=1, initial=0), 0).astype(np.float32)

    def take(self, which: NDArray[np.int64] | slice) -> "Neighbours":
        """Neighbours of the chosen queries."""
        return Neighbours(self.position[which], self.weight[which], self.k_min)

    def summary(self) -> dict[str, Any]:
        """Counts and mean confidence, for the catalog's preview."""
        admissible = (self.position >= 0).sum(axis=1)
        square = (self.weight**2).sum(axis=1)
        effective = np.divide(1, square, out=np.zeros_like(square), where=square > 0)
        return {
            "queries": len(self),
            "k": int(self.position.shape[1]),
            "k_min": self.k_min,
            "queries_below_k_min": int((admissible < self.k_min).sum()),
            "mean_confidence": float(self.confidence.mean()) if len(self) else 0.0,
            "mean_effective_neighbours": float(effective.mean()) if len(self) else 0.0,
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``neighbours.safetensors``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"k_min": self.k_min}), encoding="utf-8")
        arrays = {"position": self.position, "weight": self.weight}
        save_file({n: np.ascontiguousarray(a) for n, a in arrays.items()}, folder / _FILE)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Neighbours":
        """Read what :meth:`save_pretrained` wrote."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / _FILE)
        return cls(arrays["position"], arrays["weight"], config["k_min"])


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
) -> Neighbours:
    """Search the datastore for every query, shard by shard.

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

    Returns:
        Neighbours and weights of the queries.

    Raises:
        UserError: More neighbours are asked for than any group of the datastore holds.
    """
    largest = int(np.diff(datastore.group_edges).max(initial=0))
    if k > largest:
        raise UserError(
            f"teacher.k = {k} neighbours are asked for, but the datastore holds at most {largest} "
            f"windows that may be searched together: lower teacher.k or windowing.strides.datastore"
        )
    firsts = list(range(0, len(windows), shard_size))

    def search_shard(first: int) -> dict[str, np.ndarray]:
        part = slice(first, first + shard_size)
        queries = windows.take(part)
        contexts = queries.contexts(series)
        keys = query_keys(datastore.key_kind, np.asarray(embeddings[part]), contexts)
        position, distance = datastore.search(keys, queries, series, k=k, embargo=embargo)
        return {
            "position": position.astype(np.int32),
            "weight": softmax_weights(distance, temperature),
        }

    settings = {"k": k, "temperature": temperature, "embargo": embargo, "shard_size": shard_size}
    opened = None
    if cache:
        opened = cache.open(_fingerprint(settings, datastore, embeddings, windows, series))
    shards = list(
        map_shards(search_shard, firsts, cache=opened, description="Searching neighbours")
    )
    empty_index, empty_weight = np.empty((0, k), np.int32), np.empty((0, k), np.float32)
    return Neighbours(
        position=np.concatenate([empty_index, *(shard["position"] for shard in shards)]),
        weight=np.concatenate([empty_weight, *(shard["weight"] for shard in shards)]),
        k_min=k_min,
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
    }
    stored = {**datastore.summary(), "key_scale": datastore.scaler.scale}
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
