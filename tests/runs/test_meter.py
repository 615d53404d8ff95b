"""Time and memory of steps."""

import time

import numpy as np
import pytest

from tsmemory.runs import meter as module
from tsmemory.runs.meter import Meter, highest_resident_bytes, resident_bytes


def test_memory_of_this_process_is_plausible():
    assert 10 * 2**20 < resident_bytes() < 2**40
    assert highest_resident_bytes() >= 10 * 2**20


def test_a_step_is_credited_with_its_time_and_memory():
    meter = Meter()
    before = resident_bytes()
    meter.touch("large")
    held = np.ones(40 * 2**20 // 8)
    time.sleep(0.15)
    meter.close("large")
    del held
    time.sleep(0.1)
    meter.touch("small")
    time.sleep(0.02)
    meter.close("small")
    meter.stop()
    large, small = meter.costs["large"], meter.costs["small"]
    assert large.peak - before > 30 * 2**20
    assert meter.peak >= large.peak >= small.peak
    assert large.finished - large.started >= 0.15
    assert 0.02 <= small.finished - small.started < 5
    assert not meter._thread.is_alive()


def test_without_proc_the_high_water_mark_serves(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "STATM", tmp_path / "none")
    monkeypatch.setattr(module, "STATUS", tmp_path / "none")
    resource = pytest.importorskip("resource")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resident_bytes() >= peak
