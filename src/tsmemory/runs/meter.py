"""Time and peak memory of each step, sampled beside the work."""

import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

STATM = Path("/proc/self/statm")
STATUS = Path("/proc/self/status")
INTERVAL = 0.05


@dataclass
class Cost:
    """What a step took.

    Attributes:
        started: Clock at its first event, seconds.
        finished: Clock at its last event, seconds.
        peak: Highest resident memory seen between the two, bytes.
    """

    started: float
    finished: float
    peak: int


class Meter:
    """Watches the process while steps run.

    A thread reads the resident memory twenty times a second and credits it to the steps that run
    at that moment. A peak shorter than that can be missed, and steps that run side by side share
    what they see.
    """

    def __init__(self) -> None:
        """Start watching."""
        self.costs: dict[str, Cost] = {}
        self.peak = 0
        self._active: set[str] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="meter", daemon=True)
        self._sample()
        self._thread.start()

    def touch(self, name: str) -> None:
        """Note that a step does something; the first time, it begins."""
        with self._lock:
            now = time.perf_counter()
            self.costs.setdefault(name, Cost(now, now, 0)).finished = now
            self._active.add(name)
        self._sample()

    def is_open(self, name: str) -> bool:
        """Whether a step has begun and is not done."""
        return name in self._active

    def close(self, name: str) -> Cost:
        """Note that a step is done, and return what it took."""
        self.touch(name)
        with self._lock:
            self._active.discard(name)
            return self.costs[name]

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(INTERVAL):
            self._sample()

    def _sample(self) -> None:
        resident = resident_bytes()
        with self._lock:
            self.peak = max(self.peak, resident)
            for name in self._active:
                self.costs[name].peak = max(self.costs[name].peak, resident)


def resident_bytes() -> int:
    """Resident memory of this process, in bytes.

    Where there is no ``/proc`` (macOS), it is the highest so far, so that a step is credited with
    at least what earlier steps took; where there is no ``resource`` module either (Windows), it
    is 0.
    """
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return highest_resident_bytes()


def highest_resident_bytes() -> int:
    """Highest resident memory that this process ever had, in bytes; 0 where unknown."""
    try:
        # On Linux, getrusage would count what the parent held when it started this process.
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
