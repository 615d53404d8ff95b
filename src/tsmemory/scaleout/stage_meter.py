"""Time and memory of the stages of long work, all of its processes together (Linux)."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_MB = 1e6
logger = logging.getLogger(__name__)


class StageMeter:
    """Time of each stage, and memory of this process and of all that it has started."""

    def __init__(self) -> None:
        self._stages: dict[str, dict[str, float]] = {}

    @contextmanager
    def stage(self, name: str, windows: int) -> Iterator[None]:
        """Measure what is done inside, for so many windows.

        Processes count towards its time if they have ended by its end, as pools of shards have.
        """
        over, peak = threading.Event(), [0.0, 0.0]
        watcher = threading.Thread(target=_watch, args=(over, peak), daemon=True)
        watcher.start()
        began, before = time.perf_counter(), sum(os.times()[:4])
        try:
            yield
        finally:
            seconds, cpu = time.perf_counter() - began, sum(os.times()[:4]) - before
            over.set()
            watcher.join()
        self._stages[name] = {
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu, 1),
            "cpu_ms_a_window": round(1e3 * cpu / windows, 4),
            "peak_mb": round(peak[0]),
            "anonymous_mb": round(peak[1]),
        }
        logger.info("%s: %s", name, self._stages[name])

    def summary(self, *, leave_out: str) -> dict[str, Any]:
        """All stages, their sums without one of them, and peaks."""
        real = [stage for name, stage in self._stages.items() if name != leave_out]
        return {
            "stages": self._stages,
            "seconds": round(sum(stage["seconds"] for stage in real), 1),
            "cpu_ms_a_window": round(sum(stage["cpu_ms_a_window"] for stage in real), 4),
            "peak_mb": max(stage["peak_mb"] for stage in self._stages.values()),
            "anonymous_mb": max(stage["anonymous_mb"] for stage in self._stages.values()),
        }


def _watch(over: threading.Event, peak: list[float]) -> None:
    """Keep the highest memory of all processes, what they share counted once."""
    while not over.wait(0.25):
        sizes = np.sum([_proportional(pid) for pid in _family()], axis=0)
        peak[:] = np.maximum(peak, sizes).tolist()


def _family() -> list[int]:
    """This process and those that it has started, and they."""
    found = [os.getpid()]
    for pid in found:
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it has ended
    return found


def _proportional(pid: int) -> tuple[float, float]:
    """Memory of a process in MB, of shared pages its part; the same without mapped files."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0.0, 0.0
    size = {name: int(rest.split()[0]) for name, _, rest in (ln.partition(":") for ln in lines)}
    return size["Pss"] * 1024 / _MB, size["Pss_Anon"] * 1024 / _MB
