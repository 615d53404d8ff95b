"""Distillation in large batches and in half the bits.

``python -m tsmemory.memory.bench_distillation`` measures; here it runs once on next to nothing, so
that it does not rot.
"""

import numpy as np
import pandas as pd
import pytest

from tsmemory.memory import bench_distillation as bench


def test_every_way_at_every_size(base):
    pytest.importorskip("pytorch_optimizer")
    material = bench.Material.read(base.folder / "data", base.domain)
    table = pd.DataFrame(bench.compare(material, [1, 2], epochs=2))
    assert table["way"].tolist() == 2 * list(bench.ways(1))
    assert np.isfinite(table[["start", "last", "best", "training"]]).all(axis=None)
    assert table["start"].nunique() == 1
    steps = table.set_index("times")["steps"]
    assert steps[1].min() > steps[2].max()
    rates = table.set_index(["way", "times"])["rate"]
    assert rates[bench.PLAIN].nunique() == 1
    assert rates["LAMB", 2] == pytest.approx(2 * rates["LAMB", 1])
