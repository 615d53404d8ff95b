"""What a worker does with a shard; it runs in another process, on this machine or another."""

import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from tsmemory.fingerprint import code_digest
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.payload import unpack
from tsmemory.scaleout.shard_cache import Arrays, OpenShardCache

_known: dict[str, Any] = {}  # the work at hand, unpacked once in a process
_unpacking = threading.Lock()


@dataclass(frozen=True)
class SharedWork:
    """One function and its shards, as workers find them.

    Attributes:
        name: Tells this piece of work from all others.
        code: Digest of the code that is to do it.
        packed: File that holds function and shards, where workers see it; ``None`` where they are
            handed over with each shard.
        cache: Where workers keep what they have made; ``None`` where it travels back.
    """

    name: str
    code: str
    packed: Path | None
    cache: OpenShardCache | None


def run_shard(work: SharedWork, data: bytes | None, index: int) -> Arrays | None:
    """Work through one shard.

    Args:
        work: Whose shard it is.
        data: Function and shards, where no file holds them.
        index: Number of the shard.

    Returns:
        Its arrays; ``None`` if they are in the cache.

    Raises:
        ScaleoutError: This worker has other code than the process that shares the work out.
    """
    if code_digest() != work.code:
        raise ScaleoutError(
            "a worker has another version of tsmemory, or of the libraries that it computes with, "
            "than the process that shares the work out: install the same on every machine, and do "
            "not edit it meanwhile"
        )
    function, shards = _unpacked(work, data)
    if work.cache is not None and work.cache.load(index) is not None:
        return None  # its worker died after it had been written
    arrays: Arrays = function(shards[index])
    if work.cache is None:
        return arrays
    work.cache.store(index, arrays)
    return None


def forget(name: str) -> None:
    """Let the memory of finished work go."""
    _known.pop(name, None)


def sees(path: Path) -> bool:
    """Whether a file is there, as seen from a worker."""
    return path.is_file()


def begin_process() -> None:
    """Begin as a process of a pool: end when the terminal says so, and when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    # The queue of a pool does not tell its processes that nobody will fill it any more.
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _unpacked(work: SharedWork, data: bytes | None) -> Any:
    with _unpacking:
        if work.name not in _known:
            packed = data if work.packed is None else work.packed.read_bytes()
            assert packed is not None
            _known.clear()
            _known[work.name] = unpack(packed)
        return _known[work.name]
