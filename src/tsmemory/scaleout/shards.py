"""Long work in shards that survives a kill: whole shards are kept on disk and never made twice."""

import logging
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from tsmemory.fingerprint import code_digest, digest
from tsmemory.progress import track

Arrays = dict[str, np.ndarray]
S = TypeVar("S")

_UNREADABLE = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenShardCache:
    """The shards of one piece of work.

    Attributes:
        folder: Holds ``shard_00000.npz``, ``shard_00001.npz``, …
    """

    folder: Path

    def path(self, index: int) -> Path:
        """Where a shard lies, or will lie."""
        return self.folder / f"shard_{index:05d}.npz"

    def load(self, index: int) -> Arrays | None:
        """Read a shard; ``None`` where there is none or where it cannot be read to its end."""
        path = self.path(index)
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as shard:
                return {name: shard[name] for name in shard.files}
        except _UNREADABLE as error:
            logger.warning("Shard %s cannot be read and is computed again: %s", path, error)
            return None

    def store(self, index: int, arrays: Arrays) -> None:
        """Write a shard in one step: a kill leaves it whole or absent.

        Raises:
            ValueError: An array holds Python objects, which only a pickle could keep.
        """
        for name, array in arrays.items():
            if np.asarray(array).dtype.hasobject:
                raise ValueError(f"shard array {name!r} holds Python objects; store numbers")
        path = self.path(index)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(partial, path)


@dataclass(frozen=True)
class ShardCache:
    """A folder for unfinished work, one subfolder for each fingerprint.

    Attributes:
        folder: Scratch space; nothing else may lie in it.
    """

    folder: Path

    def part(self, name: str) -> "ShardCache":
        """The cache of one of several pieces of work that share the folder."""
        return ShardCache(self.folder / name)

    def open(self, fingerprint: str) -> OpenShardCache:
        """Open the shards of one piece of work and forget all others.

        Args:
            fingerprint: Digest of everything that the shards depend on, the way in which the work
                is cut into shards included. The code and the libraries are added here: shards from
                before an edit or an upgrade are never mixed with new ones.

        Returns:
            The cache; shards that an interrupted run left are in it.
        """
        chosen = self.folder / digest([fingerprint, code_digest()])
        chosen.mkdir(parents=True, exist_ok=True)
        for other in self.folder.iterdir():
            if other != chosen and other.is_dir():
                shutil.rmtree(other)
        return OpenShardCache(chosen)

    def clear(self) -> None:
        """Remove all shards; to be called once the merged artefact is saved."""
        shutil.rmtree(self.folder, ignore_errors=True)


def map_shards(
    function: Callable[[S], Arrays],
    shards: Sequence[S],
    *,
    cache: OpenShardCache | None,
    description: str,
) -> Iterator[Arrays]:
    """Apply a function to every shard, in order, keeping each result before the next begins.

    One result is held at a time, so that a merge that consumes them as they come needs no more
    memory than one shard.

    Args:
        function: Turns a shard into named arrays.
        shards: What to work through.
        cache: Where results are kept and, after an interrupted run, found; ``None`` keeps nothing.
        description: A few words on the work, for the progress bar.

    Yields:
        The result of each shard, in the order of ``shards``.
    """
    if cache is not None:
        ready = sum(cache.path(index).exists() for index in range(len(shards)))
        if ready:
            logger.info("%s: %d of %d shards are already there", description, ready, len(shards))
    for index in track(range(len(shards)), description):
        arrays = cache.load(index) if cache is not None else None
        if arrays is None:
            arrays = function(shards[index])
            if cache is not None:
                cache.store(index, arrays)
        yield arrays
