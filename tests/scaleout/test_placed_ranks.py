"""Ranks in two places: which are refused, what they are told, and that none stays behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tsmemory.scaleout import bench_communication as bench
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.links import HERE
from tsmemory.scaleout.placed_ranks import answer_of_ranks

RANK = """
import os, sys, time
from pathlib import Path
from tsmemory.scaleout.placed_ranks import end_with_parent
end_with_parent()
if len(sys.argv) > 1:
    (Path(sys.argv[1]) / str(os.getpid())).touch()
    time.sleep(60)
names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
print(*(os.environ[name] for name in names))
"""
START = """
import sys
from tsmemory.scaleout.links import HERE
from tsmemory.scaleout.placed_ranks import answer_of_ranks
answer_of_ranks((HERE, HERE), 4, [sys.executable, "-c", sys.argv[1], sys.argv[2]], 29419)
"""


@pytest.mark.parametrize("ranks", [0, 1, 2, 3, 5])
def test_what_does_not_make_two_groups_is_refused_before_anything_starts(ranks, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(ScaleoutError, match=f"^{ranks} ranks .* even number of at least 4"):
        bench.run_ranks((HERE, HERE), ranks, bench.Task())
    with pytest.raises(ScaleoutError, match="even number of at least 4"):
        bench.compare_ways(ranks, bench.Task(), None)


def test_the_first_rank_answers():
    assert answer_of_ranks((HERE, HERE), 4, [sys.executable, "-c", RANK], 29419) == "0 4 0 2\n"


def test_a_first_rank_that_fails_is_told():
    with pytest.raises(ScaleoutError, match="the first rank has failed"):
        answer_of_ranks((HERE, HERE), 4, [sys.executable, "-c", "raise SystemExit(3)"], 29419)


def test_ranks_that_were_started_end_where_another_cannot_start(monkeypatch):
    started, start = [], subprocess.Popen

    def fail_at_third(*arguments, **options):
        if len(started) == 2:
            raise OSError("no more processes")
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", fail_at_third)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(OSError, match="no more processes"):
        answer_of_ranks((HERE, HERE), 4, command, 29419)
    assert [process.poll() for process in started] == [-signal.SIGKILL] * 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ranks_end_with_who_has_started_them(tmp_path, number):
    deadline = time.monotonic() + 60
    with subprocess.Popen([sys.executable, "-c", START, RANK, str(tmp_path)]) as parent:
        while len(list(tmp_path.iterdir())) < 4:
            assert time.monotonic() < deadline, "the ranks did not begin"
            time.sleep(0.05)
        parent.send_signal(number)
    while any(os.path.exists(f"/proc/{rank.name}") for rank in tmp_path.iterdir()):
        assert time.monotonic() < deadline, "ranks outlive their parent"
        time.sleep(0.05)


def test_without_a_slow_link_the_rest_is_measured(monkeypatch, caplog):
    values = {"steps_per_second": 2.0, "link_mb": 0.0, "loopback_mb": 1.0, "loss": 0.5}
    monkeypatch.setattr(bench, "why_no_namespaces", lambda: "only root can")
    monkeypatch.setattr(bench, "why_no_slow_link", lambda rate: f"tc refuses {rate}")
    monkeypatch.setattr(bench, "measure", lambda ranks, task: values)
    monkeypatch.setattr(bench, "run_ranks", lambda *_: {bench.PLAIN: values})
    table = bench.compare_ways(4, bench.Task(), "7mbit")
    assert table["link"].tolist() == ["none", "loopback"]
    assert "Nothing is measured over a slow link: tc refuses 7mbit" in caplog.text
