"""Who works through shards beside this process: a pool of processes, or a Dask cluster."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from tsmemory.scaleout.config import ShardsConfig
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.shard_cache import Arrays
from tsmemory.scaleout.shard_worker import SharedWork, begin_process, forget, run_shard, sees

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_TIMEOUT = 30  # seconds in which a cluster must answer
# What Dask raises where nobody answers; the last, where its client has closed itself for that.
_SILENT = (OSError, RuntimeError, TimeoutError, AttributeError)
KEPT = (
    "The shards that are done are kept where there is a workspace: the same command goes on from "
    "them"
)
Made = Future[Arrays | None]


class Pool(Protocol):
    """Workers of one piece of work."""

    final: tuple[type[Exception], ...]
    """Errors after which a shard is not tried again, since the pool has done so itself."""

    @property
    def size(self) -> int:
        """Shards that are worked on at the same time; 0 while there is no worker."""
        ...

    def submit(self, index: int) -> Made:
        """Have one more shard worked on."""
        ...

    def close(self) -> None:
        """Dismiss the workers, whatever they are at."""
        ...


@dataclass
class _Slot:
    """Place for one process of a pool, and for the next one where that has died."""

    executor: ProcessPoolExecutor | None = None
    process: BaseProcess | None = None
    made: Made | None = None

    @property
    def idle(self) -> bool:
        return self.made is None or self.made.done()

    @property
    def broken(self) -> bool:
        made = self.made
        return made is not None and made.done() and isinstance(made.exception(), BrokenExecutor)


class ProcessPool:
    """Processes of this machine, of one thread each.

    Each is an executor of its own: a process that dies takes no other shard with it than the one
    that it was working on, and it is known which.
    """

    final: tuple[type[Exception], ...] = ()

    def __init__(self, workers: int, work: SharedWork) -> None:
        """Make room for ``workers`` processes, which start when they have something to do."""
        self._slots = [_Slot() for _ in range(workers)]
        self._work = work

    @property
    def size(self) -> int:
        """Number of processes."""
        return len(self._slots)

    def submit(self, index: int) -> Made:
        """Give a shard to a process that has none."""
        slot = next(slot for slot in self._slots if slot.idle)
        if slot.broken:
            self._dismiss(slot)
        try:
            return self._start(slot, index)
        except BrokenExecutor:  # its process has died while it had nothing to do
            self._dismiss(slot)
            return self._start(slot, index)

    def _start(self, slot: _Slot, index: int) -> Made:
        """Have the process of a slot begin with a shard; without one, a new one."""
        if slot.executor is None:
            slot.executor = ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn"), initializer=begin_process
            )
        others = set(multiprocessing.active_children())
        with _one_thread_each():
            slot.made = slot.executor.submit(run_shard, self._work, None, index)
        slot.process = next(iter(set(multiprocessing.active_children()) - others), slot.process)
        return slot.made

    def close(self) -> None:
        """End the processes."""
        for slot in self._slots:
            if not slot.idle and slot.process is not None:
                slot.process.terminate()
            self._dismiss(slot)

    @staticmethod
    def _dismiss(slot: _Slot) -> None:
        if slot.executor is not None:
            slot.executor.shutdown(wait=True, cancel_futures=True)
        slot.executor, slot.process, slot.made = None, None, None


class DaskPool:
    """Workers of a Dask cluster: of one at an address, or of one that lives here meanwhile."""

    def __init__(self, config: ShardsConfig, workers: int) -> None:
        """Meet the workers.

        Args:
            config: Where they are, and how often a cluster that starts here tries a shard again
                whose worker has died. Another cluster does that as often as it is set up to.
            workers: Processes of a cluster that starts here.

        Raises:
            ScaleoutError: Dask is not installed, or there is no such cluster, or it has no worker.
        """
        try:
            dask: Any = import_module("dask")
            distributed: Any = import_module("distributed")
        except ImportError as error:
            raise ScaleoutError(
                "shards.executor = dask needs Dask: pip install 'tsmemory[dask]', or set "
                "shards.executor=processes"
            ) from error
        self.final: tuple[type[Exception], ...] = (distributed.KilledWorker,)
        self._cluster: Any = None
        self._client: Any = None
        self._work: SharedWork | None = None
        self._data: bytes | None = None
        self._sent: Any = None
        try:
            if config.address is None:
                allowed = {"distributed.scheduler.allowed-failures": config.retries}
                with dask.config.set(allowed):
                    self._cluster = distributed.LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        memory_limit=0,
                        dashboard_address=":0",
                    )
            place = self._cluster or config.address
            self._client = distributed.Client(place, timeout=_TIMEOUT, set_as_default=False)
            self._client.wait_for_workers(1, timeout=_TIMEOUT)
        except (*_SILENT, ValueError) as error:
            self.close()
            raise ScaleoutError(_no_cluster(config.address, error)) from error
        self._executor = self._client.get_executor(pure=False)

    def begin(self, work: SharedWork, data: bytes | None) -> None:
        """Set the workers to a piece of work.

        Args:
            work: What they are to do.
            data: Function and shards, for workers that do not see the files of this machine.
        """
        self._work, self._data = work, data

    def all_see(self, path: Any) -> bool:
        """Whether every worker sees a file of this machine."""
        return all(self._client.run(sees, path).values())

    @property
    def size(self) -> int:
        """Threads of all workers that are there now, which may change.

        Raises:
            ScaleoutError: The scheduler has ended.
        """
        try:
            return sum(self._client.nthreads().values())
        except _SILENT as error:
            if self._client.status == "closed":
                raise ScaleoutError(
                    "the scheduler of the Dask cluster does not answer any more: start it again, "
                    f"with workers that meet it. {KEPT}"
                ) from error
            return 0  # the connection has broken, and the client tries to mend it

    def submit(self, index: int) -> Made:
        """Have the cluster work on a shard."""
        made: Made = self._executor.submit(run_shard, self._work, self._handed_over(), index)
        return made

    def _handed_over(self) -> Any:
        """What workers need that they do not find in files, kept on the cluster."""
        if self._data is None:
            return None
        if self._sent is None or self._sent.status != "finished":  # those that had it have died
            self._sent = self._client.scatter(self._data, broadcast=True, hash=False)
        return self._sent

    def close(self) -> None:
        """Leave the cluster, which forgets the work; end one that was started here."""
        if self._client is not None:
            if self._work is not None and self._cluster is None:
                with suppress(*_SILENT):
                    self._client.run(forget, self._work.name, on_error="ignore")
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _no_cluster(address: str | None, error: Exception) -> str:
    """What to say where no worker of a Dask cluster is met."""
    if address is None:
        return (
            f"a Dask cluster could not be started on this machine: {error}. Set "
            "shards.executor=processes, which needs none, or shards.address to a cluster that runs"
        )
    return (
        f"no Dask cluster with a worker answers at {address}: {error}. Is shards.address the "
        "scheduler's, and does a worker run?"
    )


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start meanwhile compute on one thread."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
