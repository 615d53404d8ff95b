"""Progress bars are for people at a terminal."""

import sys

import pytest

from tsmemory.progress import is_watched, track


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for name in ("CI", "TERM"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_terminal_is_watched(terminal):
    assert is_watched()
    assert list(track(range(3), "Counting")) == [0, 1, 2]
    assert track(range(3), "Counting") is not range(3)


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("CI", "1"), ("TERM", "dumb")])
def test_ci_and_dumb_terminals_are_not(terminal, name, value):
    terminal.setenv(name, value)
    assert not is_watched()
    items = range(3)
    assert track(items, "Counting") is items


def test_ci_may_be_denied(terminal):
    terminal.setenv("CI", "false")
    assert is_watched()


def test_files_and_pipes_are_not(terminal):
    terminal.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert not is_watched()
