"""Pipelines on a pool of processes and on a Dask cluster: the same artefacts, to the bit."""

import subprocess
import sys

import pytest
from projects import Project

from tsmemory.runs.errors import ParameterError

PIPELINES = ["ingestion", "windowing", "indexing", "teacher"]
SMALL = {
    "indexing.shard_size": 40,
    "teacher.shard_size": 50,
    "backbone.name": "seasonal_naive",  # workers start sooner than with torch models
}
MADE = ("train_forecasts", "validation_forecasts", "datastore", "neighbours")


@pytest.fixture(scope="module")
def alone(repository, tmp_path_factory):
    """Digests of what one process makes."""
    project = Project.make(repository, tmp_path_factory.mktemp("alone"))
    project.run(SMALL, pipelines=PIPELINES)
    return project.digests(*MADE)


def test_processes(fresh, alone):
    fresh.run({**SMALL, "shards.executor": "processes", "shards.workers": 2}, pipelines=PIPELINES)
    assert fresh.digests(*MADE) == alone
    # Who worked is no part of what was made.
    assert not {"search_neighbours", "index_training_windows"} & set(
        fresh.run(SMALL, pipelines=PIPELINES)
    )


def test_a_dask_cluster_at_an_address_from_the_command_line(fresh, alone):
    distributed = pytest.importorskip("distributed")
    (fresh.folder / "src").mkdir()  # Kedro asks for it; the code is the installed package's
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0
    ) as cluster:
        given = {
            **SMALL,
            "shards.executor": "dask",
            "shards.address": cluster.scheduler_address,
        }
        params = ",".join(f"{name}={value}" for name, value in given.items())
        asked = ["--env", "test", "--pipelines", ",".join(PIPELINES), "--params", params]
        done = subprocess.run(
            [sys.executable, "-m", "kedro", "run", *asked],
            cwd=fresh.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert fresh.digests(*MADE) == alone


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"shards.executor": "threads"}, "shards.executor = 'threads'"),
        ({"shards.worker": 2}, "did you mean shards.workers"),
        ({"shards.address": "tcp://a:1"}, "address belongs to executor dask"),
    ],
)
def test_impossible_settings_are_refused_before_the_run(fresh, params, reason):
    with pytest.raises(ParameterError, match=reason):
        fresh.run(params)
    assert not fresh.has_artefacts()
