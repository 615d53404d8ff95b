"""Work for workers of shards: importable, since it runs in other processes."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsmemory.errors import UserError


@dataclass(frozen=True)
class Noted:
    """Scales random numbers, and notes who did it.

    Attributes:
        folder: Where every call is noted, in a file named after the shard.
        values: What is scaled.
        trouble: What happens at shard 3: nothing, an ``error``, a ``refusal``, or a ``kill`` of the
            worker; or ``hang``, for a minute. ``slow`` makes every shard take a while.
        times: How often it happens.
    """

    folder: Path
    values: np.ndarray
    trouble: str = ""
    times: int = 1

    def __call__(self, shard: int) -> dict[str, np.ndarray]:
        calls = self.folder / f"calls_{shard}"
        with calls.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if shard == 3 and len(calls.read_text().split()) <= self.times:
            self._fail()
        if self.trouble == "slow":
            time.sleep(0.1)
        draw = np.random.default_rng(shard).normal(size=len(self.values)).astype(np.float32)
        threads = np.array(int(os.environ.get("OMP_NUM_THREADS", "0")))
        return {"scaled": draw * self.values, "threads": threads}

    def _fail(self) -> None:
        if self.trouble == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trouble == "error":
            raise RuntimeError("broken on purpose")
        if self.trouble == "refusal":
            raise UserError("mend it")
        if self.trouble == "hang":
            time.sleep(60)


@dataclass(frozen=True)
class NotedOn(Noted):
    """The same, and says on which device it does so."""

    device: str = "cpu"


def calls(folder: Path) -> dict[int, int]:
    """How often each shard was begun."""
    files = folder.glob("calls_*")
    return {int(f.name.removeprefix("calls_")): len(f.read_text().split()) for f in files}


def workers(folder: Path) -> set[int]:
    """Processes that have worked."""
    return {int(pid) for file in folder.glob("calls_*") for pid in file.read_text().split()}
