"""Where finished shards of long work are kept, so that a kill costs no more than one shard."""

import logging
import os
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsmemory.fingerprint import code_digest, digest

Arrays = dict[str, np.ndarray]

_UNFINISHED = ".unfinished_"
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
        # Of a name of its own: what a killed run has left running may be at the same shard.
        with tempfile.NamedTemporaryFile(
            dir=self.folder, prefix=_UNFINISHED, suffix=".partial", delete=False
        ) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(file.name, self.path(index))

    def tidy(self) -> None:
        """Remove what killed runs left unfinished; whole shards stay."""
        for left in self.folder.glob(f"{_UNFINISHED}*"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)

    def room(self) -> Path:
        """A new folder for what is needed only while shards are made."""
        return Path(tempfile.mkdtemp(dir=self.folder, prefix=_UNFINISHED))


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
