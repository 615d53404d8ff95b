"""Keys: what windows are compared by (METHOD 1.2)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tsmemory.backbones import Backbone
from tsmemory.backbones.answers import answers_key
from tsmemory.fingerprint import digest
from tsmemory.scaleout.content_cache import ContentCache
from tsmemory.scaleout.shards import ShardCache, map_shards
from tsmemory.series.series_set import Int, SeriesSet
from tsmemory.series.windows import Windows

Float = NDArray[np.float32]
KeyKind = Literal["embedding", "window"]

_KEYS = "keys.npy"
logger = logging.getLogger(__name__)


def query_keys(kind: KeyKind, embeddings: Float, contexts: Float) -> Float:
    """Keys of queries whose embeddings are already known.

    Args:
        kind: ``"embedding"`` or ``"window"`` (the instance-normalised context itself).
        embeddings: The backbone's embeddings. Shape ``(B, d)``.
        contexts: Contexts, NaN where missing. Shape ``(B, L)``.

    Returns:
        Keys of shape ``(B, d')``, not yet scaled.
    """
    return embeddings if kind == "embedding" else window_keys(contexts)


def window_keys(contexts: Float) -> Float:
    """The instance-normalised contexts; missing steps count as the mean. Shape ``(B, L)``."""
    seen = ~np.isnan(contexts)
    count = np.maximum(seen.sum(axis=1, keepdims=True), 1)
    mean = np.where(seen, contexts, 0).sum(axis=1, keepdims=True) / count
    centred = np.where(seen, contexts - mean, 0)
    scale = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    return np.asarray(centred / np.where(scale > 0, scale, 1), dtype=np.float32)


@dataclass(frozen=True)
class KnownKeys:
    """Embeddings that the backbone has given already, beside its forecasts.

    Attributes:
        windows: M windows.
        keys: Their embeddings. Shape ``(M, d)``.
    """

    windows: Windows
    keys: Float

    def positions(self, windows: Windows) -> Int:
        """Where the embedding of each window lies in ``keys``, -1 where it is not known. ``(N,)``.

        Both kinds of windows must lie on the same rows.
        """
        if windows.context_length != self.windows.context_length or not len(self.windows):
            return np.full(len(windows), -1, np.int64)
        span = 1 + max(int(self.windows.start.max()), int(windows.start.max(initial=0)))
        known = self.windows.row * span + self.windows.start
        wanted = windows.row * span + windows.start
        order = np.argsort(known)
        place = np.searchsorted(known, wanted, sorter=order)
        found = order[np.minimum(place, len(known) - 1)]
        return np.where(known[found] == wanted, found, -1)


def embed_windows(
    backbone: Backbone,
    windows: Windows,
    series: SeriesSet,
    *,
    kind: KeyKind,
    shard_size: int,
    known: KnownKeys | None = None,
    cache: ShardCache | None = None,
    answers: ContentCache | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Float:
    """Keys of many windows; the backbone embeds those that it has not embedded before.

    Args:
        backbone: Asked for embeddings where keys are embeddings.
        windows: N windows.
        series: The rows they lie on.
        kind: What the keys are.
        shard_size: Windows in a shard.
        known: Embeddings of windows on the same rows that need not be asked for again.
        cache: Where finished shards are kept, so that a killed run goes on where it was.
        answers: Where embeddings are found that an earlier run asked for, and kept for the next.
        settings: What the backbone was loaded with, as far as its fingerprint does not say it.

    Returns:
        Unscaled keys of shape ``(N, d)``.
    """
    place = np.full(len(windows), -1) if known is None else known.positions(windows)
    new = np.flatnonzero(place < 0)
    if answers is not None and (kind == "window" or not len(new)):
        answers.forget()  # what other settings needed
    if kind == "window":
        parts = windows.batches(shard_size)
        return np.concatenate([window_keys(part.contexts(series)) for part in parts])
    if known is not None and not len(new):
        return np.asarray(known.keys[place])
    embedded = _embed(backbone, windows.take(new), series, shard_size, cache, answers, settings)
    if known is None or len(new) == len(windows):
        return embedded
    keys = np.empty((len(windows), embedded.shape[1]), np.float32)
    keys[new] = embedded
    keys[place >= 0] = known.keys[place[place >= 0]]
    return keys


def _embed(
    backbone: Backbone,
    windows: Windows,
    series: SeriesSet,
    shard_size: int,
    cache: ShardCache | None,
    answers: ContentCache | None,
    settings: Mapping[str, Any] | None,
) -> Float:
    """Embeddings as an earlier run has kept them, or else shard by shard. Shape ``(N, d)``."""
    key = answers_key(backbone, windows, series, horizon=None, settings=settings)
    entry = None if answers is None else answers.find(key)
    if entry is not None:
        logger.info("Embeddings of %d windows are known from an earlier run", len(windows))
        return np.asarray(np.load(entry / _KEYS, allow_pickle=False), dtype=np.float32)
    firsts = list(range(0, len(windows), shard_size))

    def embed_shard(first: int) -> dict[str, np.ndarray]:
        part = windows.take(slice(first, first + shard_size))
        return {"keys": backbone.embed(part.contexts(series))}

    opened = None if cache is None else cache.open(digest([key, shard_size]))
    shards = map_shards(embed_shard, firsts, cache=opened, description="Embedding windows")
    keys = np.concatenate([shard["keys"] for shard in shards])

    def write(folder: Path) -> None:
        np.save(folder / _KEYS, keys)

    if answers is not None:
        answers.store(key, write)
    return keys


@dataclass(frozen=True)
class KeyScaler:
    """Centres keys and scales them to unit mean square, so that one temperature serves every kind.

    Attributes:
        mean: Mean key of the datastore. Shape ``(d,)``.
        scale: Root mean squared norm of the centred keys.
    """

    mean: Float
    scale: float

    @classmethod
    def fit(cls, keys: Float) -> "KeyScaler":
        """Fit on the keys of the datastore, shape ``(n, d)``."""
        mean = keys.mean(axis=0, dtype=np.float64)
        power = float(np.mean(((keys - mean) ** 2).sum(axis=1)))
        return cls(mean=mean.astype(np.float32), scale=float(np.sqrt(power)) or 1.0)

    def __call__(self, keys: Float) -> Float:
        """Scaled keys, shape ``(n, d)``."""
        return np.ascontiguousarray((keys - self.mean) / np.float32(self.scale), dtype=np.float32)
