"""Workers that go away: one is replaced, and where none is left, nobody waits for ever."""

import os
import signal
import time
from concurrent.futures import Future

import numpy as np
import pytest
from shard_jobs import Noted, calls, workers

from tsmemory.scaleout.config import ShardsConfig
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.shard_crew import Crew, shared_out
from tsmemory.scaleout.shards import map_shards

ONES = np.ones(9, np.float32)


def test_a_worker_that_dies_while_it_is_idle_costs_nothing(tmp_path):
    config = ShardsConfig("processes", workers=1, retries=0)
    work = Noted(tmp_path, ONES)
    with shared_out(work, range(3), range(3), None, "work", config) as take:
        first = take(0)["scaled"]  # nothing else is handed out before the next is asked for
        (worker,) = workers(tmp_path)
        os.kill(worker, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while os.path.exists(f"/proc/{worker}"):
            assert time.monotonic() < deadline, "the pool did not notice"
            time.sleep(0.02)
        found = [first, take(1)["scaled"], take(2)["scaled"]]
    assert calls(tmp_path) == dict.fromkeys(range(3), 1)
    assert len(workers(tmp_path)) == 2
    np.testing.assert_array_equal(found, [work(index)["scaled"] for index in range(3)])


class Deserted:
    """A pool without workers, until one comes."""

    final = ()

    def __init__(self, looks):
        self._looks = looks

    @property
    def size(self):
        self._looks -= 1
        return int(self._looks < 0)

    def submit(self, index):
        made = Future()
        made.set_result({"index": np.array(index)})
        return made


@pytest.fixture
def cluster():
    """A Dask cluster of one worker, which a test takes something from."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0", memory_limit=0
    ) as found:
        yield found


@pytest.fixture
def begun(cluster, tmp_path, monkeypatch):
    """Long work on it, of which the first shard is done; a silent scheduler is noticed soon."""
    monkeypatch.setattr("tsmemory.scaleout.shard_pools._TIMEOUT", 5)
    config = ShardsConfig("dask", address=cluster.scheduler_address)
    work = Noted(tmp_path, ONES, "slow")
    results = map_shards(work, range(90), cache=None, description="work", config=config)
    next(results)
    return results


@pytest.mark.parametrize("looks", [3, 10**9])
def test_workers_that_are_gone_are_waited_for_but_not_for_ever(looks, monkeypatch, caplog):
    monkeypatch.setattr("tsmemory.scaleout.shard_crew._LOOK", 0.01)
    monkeypatch.setattr("tsmemory.scaleout.shard_crew._PATIENCE", 30.0 if looks == 3 else 0.1)
    crew = Crew(Deserted(looks), range(2), None, 0, "work")
    if looks == 3:
        assert [int(crew.take(index)["index"]) for index in range(2)] == [0, 1]
    else:
        with pytest.raises(ScaleoutError, match="work: all workers are gone"):
            crew.take(0)
    assert caplog.text.count("no worker is left") == 1


def test_a_cluster_that_has_lost_its_workers_is_given_up(cluster, begun, monkeypatch):
    monkeypatch.setattr("tsmemory.scaleout.shard_crew._PATIENCE", 0.5)
    cluster.scale(0)
    with pytest.raises(ScaleoutError, match="all workers are gone"):
        list(begun)


def test_a_cluster_whose_scheduler_has_ended_is_told(cluster, begun):
    cluster.close()
    with pytest.raises(ScaleoutError, match=r"scheduler .* does not answer any more"):
        list(begun)
