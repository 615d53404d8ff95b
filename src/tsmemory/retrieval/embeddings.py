"""Keys of many stored windows; the backbone embeds those that it has not embedded before."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tsmemory.backbones import Backbone
from tsmemory.backbones.answers import answers_key
from tsmemory.retrieval.keys import Float, KeyConfig, calendar_phases, make_keys
from tsmemory.scaleout.config import IN_THIS_PROCESS, ShardsConfig
from tsmemory.scaleout.content_cache import ContentCache, link_or_save
from tsmemory.scaleout.gathering import gather_shards
from tsmemory.scaleout.shards import Arrays, ShardCache
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


@dataclass(frozen=True)
class EmbedShard:
    """Embeds one shard of windows.

    Attributes:
        backbone: The backbone.
        windows: All windows.
        series: The rows they lie on.
    """

    backbone: Backbone
    windows: Windows
    series: SeriesSet

    @property
    def device(self) -> str:
        """Torch device that it computes on."""
        return str(getattr(self.backbone, "device", "cpu"))

    def __call__(self, part: slice) -> Arrays:
        """``keys`` of a part of the windows. Shape ``(B, d)``."""
        return {"keys": self.backbone.embed(self.windows.take(part).contexts(self.series))}


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
    sharing: ShardsConfig = IN_THIS_PROCESS,
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
        sharing: Who works through the shards; by default this process.

    Returns:
        Unscaled keys of shape ``(N, d)``. Plain embeddings are mapped from a file where there is
        ``cache`` or ``answers``, so that memory does not grow with the windows; they have to be
        used before it goes.
    """
    if config.phase_weight > 0 and not any(calendar_phases(series.freq)):
        logger.warning("Steps of %s have no hour or weekday: keys have no phase", series.freq)
    embeddings: Float | None = None
    if config.kind == "embedding":
        embed = _Embedding(
            EmbedShard(backbone, windows, series), shard_size, cache, answers, settings, sharing
        )
        embeddings = embed.all(known)
        if config.is_plain:
            return embeddings
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


@dataclass(frozen=True)
class _Embedding:
    """Embeddings of windows, and where they may be found.

    Attributes:
        work: Backbone and windows.
        size: Windows in a shard.
        cache: Where finished shards are kept.
        answers: Where embeddings are found that an earlier run asked for, and kept for the next.
        settings: What the backbone was loaded with.
        sharing: Who works through the shards.
    """

    work: EmbedShard
    size: int
    cache: ShardCache | None
    answers: ContentCache | None
    settings: Mapping[str, Any] | None
    sharing: ShardsConfig

    def all(self, known: KnownKeys | None) -> Float:
        """Embeddings, known ones and new ones. Shape ``(N, d)``."""
        windows = self.work.windows
        place = np.full(len(windows), -1) if known is None else known.positions(windows)
        new = np.flatnonzero(place < 0)
        if known is not None and not len(new):
            if self.answers is not None:
                self.answers.forget()
            if np.array_equal(place, np.arange(len(known.keys))):
                return known.keys  # as they lie in their file
            return np.asarray(known.keys[place])
        if known is None or len(new) == len(windows):
            return self._found()
        embedded = replace(self, work=replace(self.work, windows=windows.take(new)))._found()
        embeddings = np.empty((len(windows), embedded.shape[1]), np.float32)
        embeddings[new] = embedded
        embeddings[place >= 0] = known.keys[place[place >= 0]]
        return embeddings

    def _found(self) -> Float:
        """Embeddings as an earlier run has kept them, or else shard by shard. Shape ``(N, d)``."""
        work = self.work
        key = answers_key(
            work.backbone, work.windows, work.series, horizon=None, settings=self.settings
        )
        entry = None if self.answers is None else self.answers.find(key)
        if entry is not None:
            logger.info("Embeddings of %d windows are known from an earlier run", len(work.windows))
            return _mapped(entry / _KEYS)
        gathered = gather_shards(
            work,
            len(work.windows),
            self.size,
            key=key,
            cache=self.cache,
            description="Embedding windows",
            config=self.sharing,
        )
        keys = gathered.arrays.get("keys", np.empty((0, 0), np.float32))
        if self.answers is None:
            return keys

        def write(folder: Path) -> None:
            source = None if gathered.folder is None else gathered.folder / _KEYS
            link_or_save(keys, folder / _KEYS, source=source)

        return _mapped(self.answers.store(key, write) / _KEYS)


def _mapped(file: Path) -> Float:
    """An array as it lies in a file."""
    array: Float = np.load(file, mmap_mode="r", allow_pickle=False)
    return array
