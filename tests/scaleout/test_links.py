"""Places with a slow link between them: refusals are told, and nothing stays behind."""

import math
import os
import signal
import subprocess
import sys
import time

import pytest

from tsmemory.scaleout import links
from tsmemory.scaleout.errors import ScaleoutError

needs_root = pytest.mark.skipif(
    links.why_no_namespaces() is not None, reason="network namespaces need root"
)

HOLD = """
import sys, time
from tsmemory.scaleout.links import lone_loopback
with lone_loopback() as (place, _):
    print(place.namespace, flush=True)
    time.sleep(60)
"""


class System:
    """Stands in for ``ip`` and ``tc``, and refuses one command."""

    def __init__(self, refused):
        self.refused, self.run_commands = refused, []

    def run(self, command, **_):
        self.run_commands.append(command)
        refused = self.refused in command
        return subprocess.CompletedProcess(command, int(refused), "", "not permitted\n")


@pytest.fixture
def refuse(monkeypatch):
    def install(command):
        system = System(command)
        monkeypatch.setattr(links.shutil, "which", lambda tool: f"/sbin/{tool}")
        monkeypatch.setattr(links.os, "geteuid", lambda: 0)
        monkeypatch.setattr(links.subprocess, "run", system.run)
        return system

    return install


@pytest.mark.parametrize(
    ("refused", "namespaces", "said"),
    [
        ("add", False, "ip netns add tsm-"),
        ("veth", True, "type veth peer name tsm0"),
        ("tbf", True, "qdisc add dev tsm0 root tbf rate 7mbit"),
    ],
)
def test_a_refusal_is_the_reason_with_what_the_system_says(refuse, refused, namespaces, said):
    system = refuse(refused)
    assert (links.why_no_namespaces() is None) == namespaces
    reason = links.why_no_slow_link("7mbit")
    assert said in reason
    assert reason.endswith("failed: not permitted")
    names = [command[3] for command in system.run_commands if command[1:3] == ["netns", "add"]]
    assert all(str(os.getpid()) in name for name in names)  # another process tries at the same time


def test_a_link_that_is_refused_raises_the_same(refuse):
    refuse("tbf")
    with pytest.raises(ScaleoutError, match="not permitted"), links.slow_link("7mbit"):
        pass


def test_bytes_are_unknown_where_the_system_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(links, "_COUNTERS", tmp_path / "absent")
    assert math.isnan(links.bytes_sent(links.LOOPBACK))


def test_bytes_are_those_of_one_interface(monkeypatch, tmp_path):
    counters = tmp_path / "dev"
    counters.write_text(
        "Inter-| Receive | Transmit\n face |bytes ...\n"
        "    lo: 11 1 0 0 0 0 0 0 22 1 0 0 0 0 0 0\n  tsm0: 33 1 0 0 0 0 0 0 44 1 0 0 0 0 0 0\n"
    )
    monkeypatch.setattr(links, "_COUNTERS", counters)
    assert links.bytes_sent(links.LOOPBACK) == 22
    assert links.bytes_sent(links.INTERFACE) == 44
    assert links.bytes_sent("absent") == 0


@needs_root
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_leaves_no_namespace(number):
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as held:
        name = held.stdout.readline().strip()
        assert os.path.exists(f"/run/netns/{name}")
        held.send_signal(number)
    deadline = time.monotonic() + 30
    while os.path.exists(f"/run/netns/{name}"):
        assert time.monotonic() < deadline, "the namespace stays behind"
        time.sleep(0.05)
