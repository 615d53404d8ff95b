"""Locks that end with their holder."""

import subprocess
import sys
import threading

import pytest

from tsmemory.tuning.locks import FileLock, is_held

HOLD = """
import sys, time
from pathlib import Path
from tsmemory.tuning.locks import FileLock
FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_only_one_holds_it(tmp_path):
    one, two = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert not is_held(one.path)
    with one:
        assert is_held(one.path)
        assert not two.try_acquire()
    assert two.try_acquire()
    two.release()
    two.release()
    assert not is_held(one.path)


def test_others_wait(tmp_path):
    lock, order = FileLock(tmp_path / "lock"), []

    def wait():
        with FileLock(tmp_path / "lock"):
            order.append("second")

    with lock:
        thread = threading.Thread(target=wait)
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_kill_gives_it_back(tmp_path):
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        assert is_held(path)
        process.kill()
        process.wait()
        assert not is_held(path)


def test_without_locks_of_the_system_a_file_stands_for_one(tmp_path, monkeypatch):
    monkeypatch.setattr("tsmemory.tuning.locks.fcntl", None)
    one, two = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    with one:
        assert not two.try_acquire()
        assert is_held(one.path)
    assert not is_held(one.path)
    assert not one.path.exists()


def test_other_errors_are_not_taken_for_a_holder(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(5, "no")

    monkeypatch.setattr("tsmemory.tuning.locks.fcntl.flock", broken)
    with pytest.raises(OSError, match="no"):
        FileLock(tmp_path / "lock").try_acquire()
