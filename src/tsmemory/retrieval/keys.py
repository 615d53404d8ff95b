"""Keys: what windows are compared by (METHOD 1.2)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tsmemory.backbones import Backbone
from tsmemory.fingerprint import digest
from tsmemory.scaleout.shards import ShardCache, map_shards
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows

Float = NDArray[np.float32]
KeyKind = Literal["embedding", "window"]


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


def embed_windows(
    backbone: Backbone,
    windows: Windows,
    series: SeriesSet,
    *,
    kind: KeyKind,
    shard_size: int,
    cache: ShardCache | None = None,
) -> Float:
    """Keys of many windows, shard by shard.

    Args:
        backbone: Asked for embeddings where keys are embeddings.
        windows: N windows.
        series: The rows they lie on.
        kind: What the keys are.
        shard_size: Windows in a shard.
        cache: Where finished shards are kept, so that a killed run goes on where it was.

    Returns:
        Unscaled keys of shape ``(N, d)``.
    """
    firsts = list(range(0, len(windows), shard_size))

    def embed_shard(first: int) -> dict[str, np.ndarray]:
        contexts = windows.take(slice(first, first + shard_size)).contexts(series)
        keys = backbone.embed(contexts) if kind == "embedding" else window_keys(contexts)
        return {"keys": keys}

    opened = None
    if cache:
        settings = {
            "backbone": backbone.fingerprint,
            "device": getattr(backbone, "device", None),
            "windows": windows.fingerprint(series),
            "kind": kind,
            "shard_size": shard_size,
        }
        opened = cache.open(digest(settings))
    shards = map_shards(embed_shard, firsts, cache=opened, description="Embedding windows")
    return np.concatenate([shard["keys"] for shard in shards])


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
