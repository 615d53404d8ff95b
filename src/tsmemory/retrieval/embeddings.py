"""Keys of many stored windows; the backbone embeds those that it has not embedded before."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsmemory.backbones import Backbone
from tsmemory.backbones.answers import answers_key
from tsmemory.fingerprint import digest
from tsmemory.retrieval.keys import Float, KeyConfig, calendar_phases, make_keys
from tsmemory.scaleout.content_cache import ContentCache
from tsmemory.scaleout.shards import ShardCache, map_shards
from tsmemory.series.series_set import Int, SeriesSet
from tsmemory.series.windows import Windows

_KEYS = "keys.npy"
logger = logging.getLogger(__name__)


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
    config: KeyConfig,
    shard_size: int,
    known: KnownKeys | None = None,
    cache: ShardCache | None = None,
    answers: ContentCache | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Float:
    """Keys of many windows.

    Args:
        backbone: Asked for embeddings where keys are embeddings.
        windows: N windows.
        series: The rows they lie on.
        config: What the keys are.
        shard_size: Windows in a shard.
        known: Embeddings of windows on the same rows that need not be asked for again.
        cache: Where finished shards are kept, so that a killed run goes on where it was.
        answers: Where embeddings are found that an earlier run asked for, and kept for the next.
        settings: What the backbone was loaded with, as far as its fingerprint does not say it.

    Returns:
        Unscaled keys of shape ``(N, d)``.
    """
    if config.phase_weight > 0 and not any(calendar_phases(series.freq)):
        logger.warning("Steps of %s have no hour or weekday: keys have no phase", series.freq)
    embeddings: Float | None = None
    if config.kind == "embedding":
        embeddings = _embeddings(
            backbone, windows, series, shard_size, known, cache, answers, settings
        )
    elif answers is not None:
        answers.forget()  # what other settings needed
    keys = np.empty((0, 0), np.float32)
    for first in range(0, len(windows), shard_size):
        part = slice(first, first + shard_size)
        given = None if embeddings is None else embeddings[part]
        made = make_keys(config, given, windows.take(part), series)
        if first == 0:
            keys = np.empty((len(windows), made.shape[1]), np.float32)
        keys[part] = made
    return keys


def _embeddings(
    backbone: Backbone,
    windows: Windows,
    series: SeriesSet,
    shard_size: int,
    known: KnownKeys | None,
    cache: ShardCache | None,
    answers: ContentCache | None,
    settings: Mapping[str, Any] | None,
) -> Float:
    """Embeddings, known ones and new ones. Shape ``(N, d)``."""
    place = np.full(len(windows), -1) if known is None else known.positions(windows)
    new = np.flatnonzero(place < 0)
    if known is not None and not len(new):
        if answers is not None:
            answers.forget()
        return np.asarray(known.keys[place])
    embedded = _embed(backbone, windows.take(new), series, shard_size, cache, answers, settings)
    if known is None or len(new) == len(windows):
        return embedded
    embeddings = np.empty((len(windows), embedded.shape[1]), np.float32)
    embeddings[new] = embedded
    embeddings[place >= 0] = known.keys[place[place >= 0]]
    return embeddings


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
