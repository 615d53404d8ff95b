"""Losses of large batches and of half the bits.

``python -m tsmemory.pretraining.bench_large_batch`` measures; here everything runs once, so that it
does not rot.
"""

import numpy as np
import pytest

from tsmemory.pretraining import bench_large_batch as bench

TASK = bench.Task(samples=1024, batch=16, held_out=8)


def test_all_ways():
    pytest.importorskip("pytorch_optimizer")
    lines = list(bench.compare(TASK, [16, 64]))
    ways = list(bench.ways(1, TASK))
    assert [(line["times"], line["way"]) for line in lines] == [
        (times, way) for times in (16, 64) for way in ways
    ]
    assert [line["steps"] for line in lines] == [4] * len(ways) + [1] * len(ways)
    assert np.isfinite([line["held_out"] for line in lines]).all()


def test_all_precisions():
    table = bench.compare_precisions(TASK, times=16)
    assert table["step"].tolist() == [1, 2, 3, 4]
    for precision in ("bfloat16", "float16"):
        assert table[precision].to_numpy() == pytest.approx(table["float32"].to_numpy(), rel=0.02)
