"""Steps per second with each way to exchange gradients, on a loopback and over a slow link.

``python -m tsmemory.scaleout.bench_communication`` measures; here everything runs once, so that it
does not rot.
"""

import pandas as pd
import pytest

from tsmemory.scaleout import bench_communication as bench
from tsmemory.scaleout.groups import Ranks
from tsmemory.scaleout.links import HERE, slow_link, why_no_slow_link

TASK = bench.Task(steps=8, batch=8, layers=2, width=16)


def _check(found, *, link):
    assert list(found) == list(bench.ways(2))
    table = pd.DataFrame(found).T
    assert (table["steps_per_second"] > 0).all()
    assert (table["link_mb"] > 0).all() == link
    alone = bench.measure(Ranks(), TASK)["loss"]
    exact = [way for way in found if not way.startswith(("fp16", "PowerSGD", "averages"))]
    assert table.loc[exact, "loss"].to_numpy() == pytest.approx(alone, abs=1e-2)


def test_here():
    _check(bench.run_ranks((HERE, HERE), 4, TASK), link=False)


@pytest.mark.skipif(why_no_slow_link("200mbit") is not None, reason="a slow link needs root")
def test_over_a_slow_link():
    with slow_link("200mbit") as places:
        _check(bench.run_ranks(places, 4, TASK, port=29418), link=True)
