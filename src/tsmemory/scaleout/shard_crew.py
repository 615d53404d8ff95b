"""Shards worked through by several workers: what fails is tried again, and little is in flight."""

import ctypes
import gc
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tsmemory.errors import UserError
from tsmemory.fingerprint import code_digest
from tsmemory.scaleout.config import ShardsConfig
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.payload import pack
from tsmemory.scaleout.shard_cache import Arrays, OpenShardCache
from tsmemory.scaleout.shard_pools import KEPT, DaskPool, Made, Pool, ProcessPool
from tsmemory.scaleout.shard_worker import SharedWork

_AHEAD = 2  # shards for each worker that may be made before their turn comes
_LOOK = 1.0  # seconds after which it is seen to whether any worker is left
_PATIENCE = 300.0  # seconds without a worker after which nobody is expected to come any more
logger = logging.getLogger(__name__)


class Crew:
    """Hands shards to workers and takes their results, in any order that is asked for.

    At most a few shards for each worker are made ahead, so that memory does not grow with their
    number where results travel back.
    """

    def __init__(
        self,
        pool: Pool,
        missing: Sequence[int],
        cache: OpenShardCache | None,
        retries: int,
        description: str,
    ) -> None:
        """Prepare; nothing is worked on yet.

        Args:
            pool: The workers.
            missing: Shards to work on, in the order in which they will be asked for.
            cache: Where results are kept.
            retries: Times that a shard is tried again.
            description: Names the work in messages.
        """
        self._pool, self._cache, self._retries = pool, cache, retries
        self._description = description
        self._waiting = deque(missing)
        self._running: dict[Made, int] = {}
        self._done: dict[int, Arrays | None] = {}
        self._failures: Counter[int] = Counter()
        self._alone_since: float | None = None

    def take(self, index: int) -> Arrays:
        """The arrays of a shard, as soon as they are there.

        Raises:
            ScaleoutError: It has failed too often, or there is no worker any more.
        """
        while index not in self._done:
            size = self._pool.size
            self._await_workers(size)
            self._hand_out(index, size)
            if not self._running:  # nobody is there to hand anything to
                time.sleep(_LOOK)
            finished, _ = wait(self._running, timeout=_LOOK, return_when=FIRST_COMPLETED)
            for made in finished:
                self._receive(self._running.pop(made), made)
        arrays = self._done.pop(index)
        if self._cache is None or arrays is not None:
            assert arrays is not None
            return arrays
        arrays = self._cache.load(index)
        if arrays is None:
            self._failed(index, OSError("what its worker has written cannot be read here"))
            return self.take(index)
        return arrays

    def _await_workers(self, size: int) -> None:
        """Say that no worker is left, and give up where none comes for long."""
        now = time.monotonic()
        if size:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now
            logger.warning(
                "%s: no worker is left; new ones are waited for, at most %.0f s",
                self._description,
                _PATIENCE,
            )
        elif now - self._alone_since > _PATIENCE:
            raise ScaleoutError(
                f"{self._description}: all workers are gone, and for {_PATIENCE:.0f} s none has "
                f"come: start workers that meet the scheduler. {KEPT}"
            )

    def _hand_out(self, wanted: int, size: int) -> None:
        """Keep the workers busy, first of all with the shard that is waited for."""
        if wanted not in self._running.values():
            if wanted in self._waiting:
                self._waiting.remove(wanted)
            self._waiting.appendleft(wanted)
        while self._waiting and len(self._running) < size:
            if len(self._running) + len(self._done) >= _AHEAD * size and self._running:
                break
            index = self._waiting.popleft()
            self._running[self._pool.submit(index)] = index

    def _receive(self, index: int, made: Made) -> None:
        """Note what a worker has made, or that it has failed."""
        try:
            arrays = made.result()
            if arrays is not None and self._cache is not None:
                self._cache.store(index, arrays)
            self._done[index] = arrays
        except UserError:
            raise
        except Exception as error:
            self._failed(index, error)

    def _failed(self, index: int, error: Exception) -> None:
        """Have a shard tried again, as often as that is allowed."""
        self._failures[index] += 1
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        final = isinstance(error, self._pool.final)
        if final or self._failures[index] > self._retries:
            often = "as often as the cluster allows" if final else f"{self._failures[index]} times"
            raise ScaleoutError(
                f"{self._description}: shard {index} could not be made; it was tried {often}, at "
                f"last it failed with {reason}. {KEPT}"
            ) from error
        logger.warning(
            "%s: shard %d has failed and is tried again: %s", self._description, index, reason
        )
        self._waiting.appendleft(index)


@contextmanager
def shared_out(
    function: Callable[[Any], Arrays],
    shards: Sequence[Any],
    missing: Sequence[int],
    cache: OpenShardCache | None,
    description: str,
    config: ShardsConfig,
) -> Iterator[Callable[[int], Arrays]]:
    """Workers for a piece of work, for as long as it lasts.

    Args:
        function: Turns a shard into arrays. If it has a ``device``, that is the torch device on
            which it does so.
        shards: All shards.
        missing: Those that are to be made.
        cache: Where they are kept.
        description: Names the work in messages.
        config: Who works.

    Yields:
        What gives the arrays of a shard.
    """
    folder = Path(tempfile.mkdtemp(prefix="tsmemory_")) if cache is None else cache.room()
    workers = min(config.workers or _workers_for(function), len(missing))
    _give_back_memory()
    pool: Pool | None = None
    try:
        if config.executor == "processes":
            packed = _write(folder, (function, shards))
            pool = ProcessPool(workers, _work(packed, cache))
        else:
            pool = _dask_pool(config, workers, folder, (function, shards), cache)
        yield Crew(pool, missing, cache, config.retries, description).take
    finally:
        if pool is not None:
            pool.close()
        shutil.rmtree(folder, ignore_errors=True)


def _dask_pool(
    config: ShardsConfig, workers: int, folder: Path, task: Any, cache: OpenShardCache | None
) -> DaskPool:
    """A Dask cluster that works on shards where they lie, if all of its workers see the folder."""
    pool = DaskPool(config, workers)
    try:
        probe = folder / "probe"
        probe.touch()
        if pool.all_see(probe):
            pool.begin(_work(_write(folder, task), cache), None)
        else:
            pool.begin(_work(None, None), pack(task, same_machine=False))
    except BaseException:
        pool.close()
        raise
    return pool


def _write(folder: Path, task: Any) -> Path:
    """Put function and shards where workers find them."""
    packed = folder / "work"
    packed.write_bytes(pack(task, same_machine=True, folder=folder))
    return packed


def _work(packed: Path | None, cache: OpenShardCache | None) -> SharedWork:
    where = None if packed is None else packed.absolute()
    kept = None if cache is None else OpenShardCache(cache.folder.absolute())
    return SharedWork(uuid.uuid4().hex, code_digest(), where, kept)


def _give_back_memory() -> None:
    """Let workers have what this process has freed: glibc keeps a gigabyte of an earlier index."""
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):  # another C library has no such function
        ctypes.CDLL(None).malloc_trim(0)


def _workers_for(function: object) -> int:
    """How many processes are of use: off the CPU one, since each would have the device's memory."""
    device = str(getattr(function, "device", "cpu"))
    return _processors() if device == "cpu" else 1


def _processors() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
