"""A function that several processes run together, and how they meet for it."""

import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]

from tsmemory.scaleout.config import CommunicationConfig
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.groups import Ranks
from tsmemory.scaleout.payload import pack, unpack

T = TypeVar("T")
R = TypeVar("R")

POLL_SECONDS = 0.1
_HEADER = "header"
_FAILED = "failed"
_END = "end"
_FAREWELL_SECONDS = 30.0


@dataclass(frozen=True)
class Job:
    """One function that all ranks run.

    Attributes:
        store: Where all ranks meet for it, and for nothing else.
        rank: Number of this process.
        size: Number of processes.
        local_rank: Number of this process on its machine.
        local_size: Processes on this machine.
        lost: Tells why a process has ended, where that can be known.
    """

    store: Store
    rank: int
    size: int
    local_rank: int
    local_size: int
    lost: Callable[[], str | None] = field(default=lambda: None)

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
            ScaleoutError: Another rank has failed.
        """
        header = {"device": device, "communication": asdict(communication)}
        self.store.set(_HEADER, json.dumps(header))
        ranks = self._ranks(device, communication)
        with self._joined(ranks):
            try:
                same = self.local_size == self.size
                ranks.agree(pack((function, task), same_machine=same))
                return function(ranks, task)
            except ScaleoutError:
                raise
            except RuntimeError as error:  # a lost connection is one; the cause may be elsewhere
                if cause := self.failure():
                    raise ScaleoutError(cause) from error
                raise

    def follow(self) -> bool:
        """Run the first rank's function as another one.

        Returns:
            Whether it has come to its end here; else the first rank knows why not.
        """
        header = json.loads(self.store.get(_HEADER))
        ranks = self._ranks(header["device"], CommunicationConfig(**header["communication"]))
        with self._joined(ranks):
            try:
                function, task = unpack(ranks.agree(b""))
                function(ranks, task)
            except Exception:
                # Before connections close: the first rank looks here when it loses one.
                self.store.compare_set(_FAILED, "", f"{self.rank}\n{traceback.format_exc()}")
                return False
        return True

    def _ranks(self, device: str, communication: CommunicationConfig) -> Ranks:
        if torch.device(device).type == "cuda":
            device = f"cuda:{self.local_rank}"
            torch.cuda.set_device(self.local_rank)
        return Ranks(self.rank, self.size, device, self.local_size, communication)

    @contextmanager
    def _joined(self, ranks: Ranks) -> Iterator[None]:
        """A process group for as long as the function runs."""
        cuda = ranks.device.startswith("cuda")
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

    def failure(self) -> str | None:
        """Why another rank has failed, if one has."""
        if self.store.check([_FAILED]):
            rank, _, text = self.store.get(_FAILED).decode().partition("\n")
            return f"rank {rank} of {self.size} has failed:\n{text}"
        return self.lost()


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
