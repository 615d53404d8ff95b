"""A function that several processes run together, and how they meet for it."""

import json
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]

from tsmemory.fingerprint import code_digest
from tsmemory.scaleout.config import CommunicationConfig
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.groups import Ranks, warn_of_idle_groups
from tsmemory.scaleout.payload import pack, unpack

T = TypeVar("T")
R = TypeVar("R")

POLL_SECONDS = 0.1
_HEADER = "header"
_FAILED = "failed"
_END = "end"
_FAREWELL_SECONDS = 30.0
_WATCH_SECONDS = 1.0
_GRACE_SECONDS = 60.0  # for a rank that has trouble of its own to tell, or a file to write
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One function that all ranks run.

    Attributes:
        store: Where all ranks meet for it, and for nothing else.
        rank: Number of this process.
        size: Number of processes.
        local_rank: Number of this process on its machine.
        local_size: Processes on this machine.
        lost: Tells why a process has ended, or ends within seconds, where that can be known.
    """

    store: Store
    rank: int
    size: int
    local_rank: int
    local_size: int
    lost: Callable[[float], str | None] = field(default=lambda seconds: None)
    _asking: threading.Lock = field(default_factory=threading.Lock, init=False, compare=False)

    def lead(
        self,
        function: Callable[[Ranks, T], R],
        task: T,
        device: str,
        communication: CommunicationConfig,
    ) -> R:
        """Run a function as the first rank.

        Args:
            function: Called as ``function(ranks, task)`` at every rank.
            task: What it works on.
            device: ``cpu`` or ``cuda``.
            communication: How gradients are exchanged.

        Returns:
            What it returned here.

        Raises:
            ScaleoutError: Another rank has failed, or lacks a device or the same code.
        """
        about = {"device": device, "communication": asdict(communication)}
        self.store.set(_HEADER, json.dumps({"code": code_digest(), **about}))
        with ExitStack() as group:
            try:
                ranks = self._ranks(device, communication)
                warn_of_idle_groups(ranks)
                self._meet(communication.timeout_minutes)
                group.enter_context(self._joined(ranks))
                same = self.local_size == self.size
                ranks.agree(pack((function, task), same_machine=same))
                result = function(ranks, task)
            except Exception as error:
                # A lost connection is a RuntimeError; its cause may be elsewhere.
                cause = self.failure() if isinstance(error, RuntimeError) else None
                self._tell()
                if cause is not None:
                    raise ScaleoutError(cause) from error
                raise
        if cause := self.failure(0.0):
            raise ScaleoutError(cause)
        return result

    def follow(self) -> bool:
        """Run the first rank's function as another one.

        Returns:
            Whether it has come to its end here; else the first rank knows why not.
        """
        header = json.loads(self.store.get(_HEADER))
        with ExitStack() as group:
            try:
                _refuse_other_code(header["code"])
                communication = CommunicationConfig(**header["communication"])
                ranks = self._ranks(header["device"], communication)
                self._meet(communication.timeout_minutes)
                group.enter_context(self._joined(ranks))
                function, task = unpack(ranks.agree(b""))
                function(ranks, task)
            except Exception:
                # Before connections close: the first rank looks there when it loses one.
                if self._tell():
                    logger.error("Rank %d has failed:\n%s", self.rank, traceback.format_exc())
                return False
        return True

    def _ranks(self, device: str, communication: CommunicationConfig) -> Ranks:
        if torch.device(device).type == "cuda":
            if (there := torch.cuda.device_count()) < self.local_size:
                raise ScaleoutError(
                    f"{self.local_size} ranks were started on a machine with {there} CUDA devices: "
                    "start at most one for each (torchrun's --nproc-per-node), or set device to "
                    "cpu"
                )
            device = f"cuda:{self.local_rank}"
            torch.cuda.set_device(self.local_rank)
        return Ranks(self.rank, self.size, device, self.local_size, communication)

    def _meet(self, minutes: float) -> None:
        """Go on when every rank can: connecting to one that does not come has no end.

        Raises:
            ScaleoutError: One of them has failed, or does not come.
        """
        self.store.set(f"here/{self.rank}", "")
        everyone = [f"here/{rank}" for rank in range(self.size)]
        latest = time.monotonic() + 60 * minutes
        while not self.store.check(everyone):
            if cause := self.failure(POLL_SECONDS):
                raise ScaleoutError(cause)
            if time.monotonic() > latest:
                raise ScaleoutError(
                    f"not all of {self.size} ranks have come within {minutes:g} minutes: start "
                    "them together, or raise communication.timeout_minutes"
                )
            time.sleep(POLL_SECONDS)

    @contextmanager
    def _joined(self, ranks: Ranks) -> Iterator[None]:
        """A process group for as long as the function runs."""
        cuda = ranks.device.startswith("cuda")
        with self._watching() if cuda else nullcontext():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if cuda else "gloo",
                store=PrefixStore("group", self.store),
                rank=self.rank,
                world_size=self.size,
                timeout=timedelta(minutes=ranks.communication.timeout_minutes),
            )
            try:
                yield
            finally:
                dist.destroy_process_group()

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """End this process some time after another rank has failed, unless it is done by then.

        NCCL does not notice the failure, and what waits for a GPU cannot be interrupted.
        """
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_WATCH_SECONDS):
                if cause := self.failure(0.0):
                    if not done.wait(_GRACE_SECONDS):
                        logger.critical("Rank %d ends, since %s", self.rank, cause)
                        os._exit(1)
                    return

        threading.Thread(target=watch, name="watch-ranks", daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def _tell(self) -> bool:
        """Tell all ranks of the error that is being handled; whether it is the first one."""
        text = f"rank {self.rank} of {self.size} has failed:\n{traceback.format_exc()}"
        return self.store.compare_set(_FAILED, "", text).decode() == text

    def failure(self, seconds: float = 1.0) -> str | None:
        """Why a rank has failed, if one has.

        Args:
            seconds: To wait for a process to end, where that can be known.
        """
        with self._asking:  # a process that has ended is told of once
            if not self.store.check([_FAILED]):
                if not (cause := self.lost(seconds)):
                    return None
                self.store.compare_set(_FAILED, "", cause)
            return self.store.get(_FAILED).decode()


def _refuse_other_code(code: str) -> None:
    if code != code_digest():
        raise ScaleoutError(
            "this rank has another version of tsmemory, or of the libraries that it computes with, "
            "than the first one: install the same on every machine, and do not edit it meanwhile"
        )


@dataclass
class Launch:
    """Ranks that a launcher such as torchrun has started on one or several machines.

    Attributes:
        store: Where all ranks meet.
        rank: Number of this process.
        size: Number of processes.
        local_rank: Number of this process on its machine.
        local_size: Processes on this machine.
        jobs: Functions run so far.
    """

    store: Store
    rank: int
    size: int
    local_rank: int
    local_size: int
    jobs: int = 0

    def lead(
        self,
        function: Callable[[Ranks, T], R],
        task: T,
        device: str,
        communication: CommunicationConfig,
    ) -> R:
        """Run a function with all ranks; the others are in :meth:`follow`."""
        store = PrefixStore(f"job/{self.jobs}", self.store)
        self.jobs += 1
        job = Job(store, self.rank, self.size, self.local_rank, self.local_size)
        return job.lead(function, task, device, communication)

    def follow(self) -> int:
        """Join every function that the first rank runs, until its session ends.

        Returns:
            Exit status of that session.
        """
        while True:
            store = PrefixStore(f"job/{self.jobs}", self.store)
            if store.check([_HEADER]):
                self.jobs += 1
                job = Job(store, self.rank, self.size, self.local_rank, self.local_size)
                # A failure is the first rank's to raise: its session writes what is to be written.
                job.follow()
            elif self.store.check([_END]):
                self.store.add("left", 1)
                return int(self.store.get(_END))
            else:
                time.sleep(POLL_SECONDS)

    def dismiss(self, status: int) -> None:
        """Tell the others that the session has ended, and give them time to hear it.

        Args:
            status: Its exit status.
        """
        self.store.set(_END, str(status))
        latest = time.monotonic() + _FAREWELL_SECONDS
        while self.store.add("left", 0) < self.size - 1 and time.monotonic() < latest:
            time.sleep(POLL_SECONDS)
