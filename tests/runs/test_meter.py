"""Time and memory of steps."""

import mmap
import time

import pytest

from tsmemory.runs import meter as module
from tsmemory.runs.meter import Meter, highest_resident_bytes, resident_bytes


def test_memory_of_this_process_is_plausible():
    assert 10 * 2**20 < resident_bytes() < 2**40
    assert highest_resident_bytes() >= 10 * 2**20


def test_resident_memory_grows_with_what_is_touched():
    size = 64 * 2**20
    before = resident_bytes()
    # An allocator may hand out pages that are resident already; a fresh private mapping never is.
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        held.write(bytes(size))
        grown = resident_bytes() - before
    assert grown > size / 2


def test_a_step_is_credited_with_its_time_and_memory(monkeypatch):
    resident = [100]
    monkeypatch.setattr(module, "resident_bytes", lambda: resident[0])
    meter = Meter()
    meter.touch("large")
    resident[0] = 900
    patience = time.monotonic() + 60
    while meter.peak < 900 and time.monotonic() < patience:
        time.sleep(module.INTERVAL)
    resident[0] = 500
    meter.close("large")
    resident[0] = 300
    meter.touch("small")
    time.sleep(0.02)
    meter.close("small")
    meter.stop()
    large, small = meter.costs["large"], meter.costs["small"]
    assert (large.peak, small.peak, meter.peak) == (900, 300, 900)
    assert large.finished - large.started >= module.INTERVAL / 2
    assert small.finished - small.started >= 0.02
    assert not meter._thread.is_alive()


def test_without_proc_the_high_water_mark_serves(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "STATM", tmp_path / "none")
    monkeypatch.setattr(module, "STATUS", tmp_path / "none")
    resource = pytest.importorskip("resource")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resident_bytes() >= peak
