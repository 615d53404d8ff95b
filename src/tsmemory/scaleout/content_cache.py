"""What was expensive to work out, kept by its content so that another run finds it again."""

import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsmemory.fingerprint import sha256_of_file

CHECKSUMS = "checksums.json"

_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ContentCache:
    """Folders of files, each under a digest of all that its content follows from.

    Every piece of work has its own part and every part holds one entry, the latest: a new one takes
    its place. What is kept is therefore bounded by what one run makes, and can be removed at any
    time; the next run then works it out again.

    Attributes:
        folder: Where the entries lie; nothing else may lie there.
    """

    folder: Path

    def part(self, name: str) -> "ContentCache":
        """The cache of one of several pieces of work that share the folder."""
        return ContentCache(self.folder / name)

    def find(self, key: str) -> Path | None:
        """Look an entry up.

        Args:
            key: Digest of everything that the content follows from.

        Returns:
            Its folder, where every file is as it was written, by size and SHA-256; ``None`` where
            there is no such entry or, with a warning, where it is damaged.
        """
        entry = self.folder / key
        if not entry.is_dir():
            return None
        try:
            written = json.loads((entry / CHECKSUMS).read_text(encoding="utf-8"))
            if written.keys() != {file.name for file in entry.iterdir()} - {CHECKSUMS}:
                raise ValueError("files are missing, or there are more of them")
            for name, about in written.items():
                if about != _about(entry / name, about["bytes"]):
                    raise ValueError(f"{name} is not as it was written")
        except _DAMAGED as error:
            logger.warning("%s is damaged, so it is worked out again: %s", entry, error)
            return None
        return entry

    def store(self, key: str, write: Callable[[Path], None]) -> Path:
        """Keep an entry, in one step: a kill leaves it whole or absent. Others are removed.

        Args:
            key: Digest of everything that the content follows from.
            write: Writes the files into the empty folder that it is given.

        Returns:
            The entry's folder. Its files never change, so that they may be linked to.
        """
        entry, partial = self.folder / key, self.folder / f".{key}.saving"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        about = {file.name: _about(file) for file in partial.iterdir()}
        text = json.dumps(about, indent=1, sort_keys=True) + "\n"
        (partial / CHECKSUMS).write_text(text, encoding="utf-8")
        shutil.rmtree(entry, ignore_errors=True)
        os.replace(partial, entry)
        for other in self.folder.iterdir():
            if other != entry:
                shutil.rmtree(other, ignore_errors=True)
        return entry

    def forget(self) -> None:
        """Remove every entry."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self) -> None:
        """Remove what killed runs left unfinished; whole entries stay for the next run."""
        for partial in self.folder.rglob(".*.saving"):
            shutil.rmtree(partial, ignore_errors=True)


def link_or_save(array: np.ndarray, path: Path, *, source: Path | None) -> None:
    """Write an array to a new ``.npy`` file.

    Args:
        array: The array.
        path: The file, which does not exist yet.
        source: A file that will never change. If it is what the array is mapped from, it is linked
            to, which takes neither time nor room, where the file system has links.
    """
    if source is not None and _is_mapped_from(array, source):
        try:
            os.link(source, path)
            return
        except OSError as error:
            logger.debug("%s cannot be linked to and is copied: %s", source, error)
    np.save(path, array)


def _is_mapped_from(array: np.ndarray, file: Path) -> bool:
    """Whether an array is the whole content of a file, as it lies there."""
    if not isinstance(array, np.memmap) or isinstance(array.base, np.memmap):
        return False  # in memory, or a part of what is mapped
    return Path(str(array.filename)) == file.resolve()


def _about(file: Path, expected_bytes: int | None = None) -> dict[str, int | str]:
    """Size and SHA-256 of a file, which is not read where the size is not the expected one."""
    size = file.stat().st_size
    if expected_bytes not in (None, size):
        return {"bytes": size}
    return {"bytes": size, "sha256": sha256_of_file(file)}
