"""Shards on workers: equal to the bit, tried again after failures, never made twice."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from shard_jobs import Noted, NotedOn, calls, workers

from tsmemory.errors import UserError
from tsmemory.scaleout.config import ShardsConfig
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.shard_pools import ProcessPool
from tsmemory.scaleout.shards import ShardCache, map_shards

COUNT = 7
VALUES = np.linspace(0, 1, 400_000, dtype=np.float32)  # large enough for a file of its own
PROCESSES = ShardsConfig("processes", workers=2)

RUN = """
import sys
from pathlib import Path
import numpy as np
from shard_jobs import Noted
from tsmemory.scaleout.config import ShardsConfig
from tsmemory.scaleout.shards import ShardCache, map_shards

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    work = Noted(folder, np.ones(5, np.float32), sys.argv[2])
    cache = ShardCache(folder / "shards").open("run")
    config = ShardsConfig("processes", workers=2)
    for _ in map_shards(work, range(7), cache=cache, description="work", config=config):
        pass
"""


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0
    ) as cluster:
        yield cluster


@pytest.fixture(params=["processes", "dask"])
def config(request):
    if request.param == "processes":
        return PROCESSES
    return ShardsConfig("dask", address=request.getfixturevalue("cluster").scheduler_address)


def run(work, config, cache=None, count=COUNT):
    results = map_shards(work, range(count), cache=cache, description="work", config=config)
    return [arrays["scaled"] for arrays in results]


def expected(values=VALUES, count=COUNT):
    draws = (np.random.default_rng(n).normal(size=len(values)) for n in range(count))
    return [draw.astype(np.float32) * values for draw in draws]


@pytest.mark.parametrize("cached", [True, False])
def test_results_equal_those_of_one_process(tmp_path, config, cached):
    cache = ShardCache(tmp_path / "shards").open("one") if cached else None
    found = run(Noted(tmp_path, VALUES), config, cache)
    np.testing.assert_array_equal(found, expected())
    assert calls(tmp_path) == dict.fromkeys(range(COUNT), 1)
    assert os.getpid() not in workers(tmp_path)
    if cache is not None:
        names = sorted(path.name for path in cache.folder.iterdir())
        assert names == [f"shard_{i:05d}.npz" for i in range(COUNT)]  # and nothing else is left
        assert run(Noted(tmp_path, VALUES), config, cache)[4].tobytes() == found[4].tobytes()
        assert calls(tmp_path) == dict.fromkeys(range(COUNT), 1)


def test_workers_have_one_thread(tmp_path, config):
    work = Noted(tmp_path, VALUES[:3])
    results = map_shards(work, range(3), cache=None, description="work", config=config)
    assert [int(arrays["threads"]) for arrays in results] == [1, 1, 1]


@pytest.mark.parametrize("trouble", ["error", "kill"])
@pytest.mark.parametrize("cached", [True, False])
def test_a_failed_worker_costs_one_shard(tmp_path, config, trouble, cached):
    cache = ShardCache(tmp_path / "shards").open("one") if cached else None
    found = run(Noted(tmp_path, VALUES, trouble), config, cache)
    np.testing.assert_array_equal(found, expected())
    begun = calls(tmp_path)
    assert begun.pop(3) == 2
    # A Dask worker that dies may take with it what it had made just before and not sent yet.
    lost = config.executor == "dask" and trouble == "kill" and not cached
    assert sum(begun.values()) - (COUNT - 1) in ((0, 1) if lost else (0,))


def test_a_shard_that_fails_too_often_is_named_and_the_others_stay(tmp_path):
    cache = ShardCache(tmp_path / "shards").open("one")
    config = ShardsConfig("processes", workers=2, retries=1)
    with pytest.raises(ScaleoutError, match=r"shard 3 .* tried 2 times.*broken on purpose"):
        run(Noted(tmp_path, VALUES, "error", times=9), config, cache)
    kept = [index for index in range(COUNT) if cache.path(index).exists()]
    assert len({0, 1, 2} & set(kept)) >= 2  # before two are done, nobody begins with the fourth
    np.testing.assert_array_equal(run(Noted(tmp_path, VALUES), config, cache), expected())
    begun = calls(tmp_path)
    assert begun[3] == 3
    assert [begun[index] for index in kept] == [1] * len(kept)


@pytest.mark.parametrize("retries", [0, 1])
def test_a_shard_that_kills_its_workers_is_named(tmp_path, retries):
    config = ShardsConfig("processes", workers=2, retries=retries)
    with pytest.raises(ScaleoutError, match="shard 3 could not be made"):
        run(Noted(tmp_path, VALUES, "kill", times=9), config)
    assert calls(tmp_path)[3] == retries + 1


def test_a_local_cluster_lives_as_long_as_the_work(tmp_path):
    pytest.importorskip("distributed")
    config = ShardsConfig("dask", workers=2, retries=1)
    found = run(Noted(tmp_path, VALUES, "kill"), config)
    np.testing.assert_array_equal(found, expected())
    assert len(workers(tmp_path)) >= 2
    with pytest.raises(ScaleoutError, match=r"shard 3 .* tried as often as the cluster allows"):
        run(Noted(tmp_path, VALUES, "kill", times=9), config)


def test_what_a_user_can_mend_is_not_tried_again(tmp_path, config):
    with pytest.raises(UserError, match="mend it"):
        run(Noted(tmp_path, VALUES, "refusal", times=9), config)
    assert calls(tmp_path)[3] == 1


@pytest.mark.parametrize("cached", [True, False])
def test_all_workers_are_busy_to_the_end(tmp_path, config, cached):
    cache = ShardCache(tmp_path / "shards").open("one") if cached else None
    run(Noted(tmp_path, VALUES[:9], "slow"), config, cache, count=30)
    done = Counter(int(file.read_text()) for file in tmp_path.glob("calls_*"))
    assert len(done) == 2
    assert min(done.values()) >= 6


def test_little_is_made_ahead(tmp_path):
    work = Noted(tmp_path, VALUES)
    results = map_shards(work, range(30), cache=None, description="work", config=PROCESSES)
    next(results)
    time.sleep(0.5)
    assert len(calls(tmp_path)) <= 1 + 2 * 2
    results.close()


def test_workers_that_do_not_see_the_files_send_results_back(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr("tsmemory.scaleout.shard_pools.DaskPool.all_see", lambda *_: False)
    cache = ShardCache(tmp_path / "shards").open("one")
    config = ShardsConfig("dask", address=cluster.scheduler_address)
    found = run(Noted(tmp_path, VALUES, "kill"), config, cache)
    np.testing.assert_array_equal(found, expected())
    assert all(cache.path(index).exists() for index in range(COUNT))


def test_a_truncated_shard_is_made_again_by_a_worker(tmp_path, config):
    cache = ShardCache(tmp_path / "shards").open("one")
    run(Noted(tmp_path, VALUES), config, cache)
    for index in (2, 5):
        cache.path(index).unlink()
    cache.path(4).write_bytes(cache.path(4).read_bytes()[:100])
    np.testing.assert_array_equal(run(Noted(tmp_path, VALUES), config, cache), expected())
    assert calls(tmp_path) == dict.fromkeys(range(COUNT), 1) | {2: 2, 4: 2, 5: 2}


def test_other_code_on_a_worker_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tsmemory.scaleout.shard_crew.code_digest", lambda: "edited")
    with pytest.raises(ScaleoutError, match="another version of tsmemory"):
        run(Noted(tmp_path, VALUES), PROCESSES)


def test_a_cluster_that_is_not_there_is_named(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("tsmemory.scaleout.shard_pools._TIMEOUT", 1)
    config = ShardsConfig("dask", address="tcp://127.0.0.1:9")
    with pytest.raises(ScaleoutError, match=r"tcp://127\.0\.0\.1:9.*shards\.address"):
        run(Noted(tmp_path, VALUES), config)


def test_a_cluster_that_does_not_start_here_is_told(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")

    def fail(**_):
        raise RuntimeError("Cluster failed to start: no port is free")

    monkeypatch.setattr(distributed, "LocalCluster", fail)
    with pytest.raises(ScaleoutError, match=r"on this machine: .*no port.*executor=processes"):
        run(Noted(tmp_path, VALUES), ShardsConfig("dask", workers=2))


@pytest.mark.parametrize(("device", "count"), [("cpu", 3), ("cuda:0", 1)])
def test_a_device_is_shared_by_no_more_processes_than_asked_for(
    tmp_path, monkeypatch, device, count
):
    asked = []

    class Watched(ProcessPool):
        def __init__(self, workers, work):
            asked.append(workers)
            super().__init__(workers, work)

    monkeypatch.setattr("tsmemory.scaleout.shard_crew.ProcessPool", Watched)
    monkeypatch.setattr("tsmemory.scaleout.shard_crew._processors", lambda: 3)
    work = NotedOn(tmp_path, VALUES[:9], device=device)
    for workers_wanted in (None, 2):
        run(work, ShardsConfig("processes", workers=workers_wanted), count=4)
    assert asked == [count, 2]


def test_without_dask_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(ScaleoutError, match=r"tsmemory\[dask\]"):
        run(Noted(tmp_path, VALUES), ShardsConfig("dask", workers=2))


def test_a_killed_run_leaves_no_workers_and_resumes(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    paths = [os.path.dirname(__file__), *sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen([*command, "hang"], env=environment) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("shards/*/shard_*"))) < 4:
            assert time.monotonic() < deadline, "the work did not begin"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    done = {int(path.stem[-5:]) for path in tmp_path.glob("shards/*/shard_*")}
    while any(os.path.exists(f"/proc/{pid}") for pid in workers(tmp_path)):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)
    before = calls(tmp_path)
    subprocess.run([*command, "go"], env=environment, check=True)
    after = calls(tmp_path)
    assert {index for index in done if after[index] == before[index]} == done
    assert set(after) == set(range(7))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"workers": 0}, "workers must be at least 1"),
        ({"retries": -1}, "retries must be at least 0"),
        ({"executor": "processes", "address": "tcp://a:1"}, "address belongs to executor dask"),
        ({"executor": "dask", "address": "tcp://a:1", "workers": 2}, "leave workers at null"),
    ],
)
def test_impossible_settings_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        ShardsConfig(**settings)


def test_trouble_is_logged(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        run(Noted(tmp_path, VALUES, "kill"), PROCESSES)
    assert "shard 3 has failed and is tried again" in caplog.text
