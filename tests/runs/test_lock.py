"""One run at a time for each domain, and no lock outlives its process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tsmemory.runs import lock as module
from tsmemory.runs.errors import ParameterError, RefusedRunError
from tsmemory.runs.lock import DomainLock

HOLD = """
import sys, time
from pathlib import Path
from tsmemory.runs.lock import DomainLock
DomainLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reports/domain/run.lock"


def test_it_is_held_until_it_is_released(path):
    lock = DomainLock(path)
    assert json.loads(path.read_text())["pid"] == os.getpid()
    with pytest.raises(RefusedRunError, match=f"process {os.getpid()}"):
        DomainLock(path)
    lock.release()
    DomainLock(path).release()
    assert not (path.parents[1]).exists()


def test_a_second_release_does_not_take_another_ones_lock(path):
    first = DomainLock(path)
    first.release()
    second = DomainLock(path)
    first.release()
    assert path.exists()
    second.release()


def test_folders_with_artefacts_stay(path):
    lock = DomainLock(path)
    (path.parent / "table.csv").write_text("x")
    lock.release()
    assert [file.name for file in path.parent.iterdir()] == ["table.csv"]


def test_another_live_process_is_named_and_a_killed_one_gives_way(path):
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RefusedRunError, match=rf"process {process.pid}\).*run\.lock"):
            DomainLock(path)
        process.kill()
    lock = DomainLock(path)
    assert json.loads(path.read_text())["pid"] == os.getpid()
    lock.release()


@pytest.mark.parametrize("pid", [os.getpid(), os.getppid()], ids=["own", "parent"])
def test_a_number_given_out_again_is_not_its_first_owner(path, pid):
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"pid": pid, "started": "long ago"}))
    DomainLock(path).release()


def test_an_empty_lock_counts_only_while_it_is_fresh(path):
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(RefusedRunError, match="has just begun"):
        DomainLock(path)
    os.utime(path, (1, 1))
    DomainLock(path).release()


def test_a_lock_taken_meanwhile_is_put_back(path, monkeypatch):
    lock = DomainLock(path)
    text = path.read_text()
    lock._set_aside("what was read before")
    assert path.read_text() == text
    assert [file.name for file in path.parent.iterdir()] == ["run.lock"]
    lock.release()


def test_runs_hold_it_and_release_it_whatever_happens(project, breaking, mended, monkeypatch):
    place = project.folder / "data/run.lock"
    seen = []
    whole = module.DomainLock.release
    monkeypatch.setattr(
        module.DomainLock, "release", lambda self: (seen.append(place.exists()), whole(self))
    )
    project.run()
    assert seen[0]
    assert not place.exists()
    breaking("score")
    with pytest.raises(RuntimeError, match="score broke"):
        project.run(score={"horizon": 96})
    assert not place.exists()
    with pytest.raises(ParameterError):
        project.run(resume="no")
    assert not place.exists()
    mended()
    assert project.run(score={"horizon": 96}) == ["score"]
