"""Ranks of torchrun, on what look like two machines, and the project as they run it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rank_jobs

from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.groups import Ranks
from tsmemory.scaleout.launch import join_launch, main

TORCHRUN = (sys.executable, "-m", "torch.distributed.run")
SESSION = """
import sys
import numpy as np
import rank_jobs
from tsmemory.scaleout import launch
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.parallel import fit_parallel

def session(arguments):
    np.save("table.npy", np.arange(4.0))
    table = np.load("table.npy", mmap_mode="r")
    found = fit_parallel(rank_jobs.describe, {"mapped": table}, devices=1)
    try:
        fit_parallel(rank_jobs.fail_at, 1)
    except ScaleoutError as error:
        found["failure"] = np.array(str(error))
    found["weights"] = rank_jobs.flat(fit_parallel(rank_jobs.train_on, None))
    np.savez("found.npz", **found)
    return 0

launch._run_project = session
sys.exit(launch.main(sys.argv[1:]))
"""


def _environment() -> dict[str, str]:
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "src")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "120"}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def two_machines(tmp_path_factory):
    """A session on two ranks of two launchers, as two machines have them."""
    folder = tmp_path_factory.mktemp("launch")
    (folder / "session.py").write_text(SESSION)
    meeting = ("--nnodes", "2", "--master-addr", "127.0.0.1", "--master-port", str(_free_port()))
    launchers = [
        subprocess.Popen(
            [*TORCHRUN, *meeting, "--node-rank", str(node), "session.py"],
            cwd=folder,
            env=_environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for node in range(2)
    ]
    errors = [launcher.communicate(timeout=300)[1] for launcher in launchers]
    assert [launcher.returncode for launcher in launchers] == [0, 0], errors
    with np.load(folder / "found.npz", allow_pickle=False) as found:
        return dict(found)


def test_the_launcher_says_how_many_ranks_there_are(two_machines):
    told = two_machines["told"]
    assert told[:, :3].tolist() == [[0, 2, 1], [1, 2, 1]]


def test_another_machine_gets_the_content_of_mapped_files(two_machines):
    assert two_machines["mapped"].tolist() == [[1, 6], [0, 6]]


def test_a_failure_elsewhere_is_the_first_rank_s_to_raise_and_later_work_goes_on(two_machines):
    assert "a rank's own trouble" in str(two_machines["failure"])
    alone = rank_jobs.flat(rank_jobs.train(Ranks()))
    np.testing.assert_allclose(two_machines["weights"], alone, rtol=0, atol=1e-6)


def test_the_project_runs_once_and_its_status_is_everyone_s(repository, tmp_path):
    for name in ("conf", "pyproject.toml", ".telemetry"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/01_raw").symlink_to(repository / "data/01_raw")
    command = [*TORCHRUN, "--nproc-per-node", "2", "-m", "tsmemory.scaleout.launch"]
    asked = ["--pipelines", "ingestion", "--env", "test"]
    done = subprocess.run(
        [*command, *asked],
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("Completed in") == 1
    assert any((tmp_path / "data").glob("0[2-8]*"))


def test_without_a_launcher_it_says_how_to_start(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ScaleoutError, match=r"RANK.* are not set: start this module with torchrun"):
        join_launch()


@pytest.mark.parametrize(("ends", "status"), [(None, 0), (0, 0), (2, 2), ("words", 1)])
def test_the_status_is_that_of_the_run(monkeypatch, ends, status):
    monkeypatch.setattr("tsmemory.scaleout.launch.join_launch", _Alone)
    monkeypatch.setattr("tsmemory.scaleout.launch.enter", lambda launch: None)

    def run(name, **_):
        assert (name, sys.argv) == ("tsmemory", ["tsmemory", "--env", "test"])
        raise SystemExit(ends)

    monkeypatch.setattr("runpy.run_module", run)
    monkeypatch.setattr("sys.argv", [])
    assert main(["--env", "test"]) == status


class _Alone:
    rank = 0

    def dismiss(self, status: int) -> None:
        assert isinstance(status, int)
