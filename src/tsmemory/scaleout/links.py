"""Two places on one machine with a slow link between them: network namespaces and ``tc``."""

import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tsmemory.scaleout.errors import ScaleoutError

INTERFACE = "tsm0"  # the same name on both sides: one to a namespace
LOOPBACK = "lo"
_COUNTERS = Path("/proc/self/net/dev")  # of the namespace of this process


@dataclass(frozen=True)
class Place:
    """Where ranks run.

    Attributes:
        namespace: Network namespace; ``None`` is the machine's own.
        address: By which others reach it.
        interface: Over which they do.
    """

    namespace: str | None
    address: str
    interface: str

    def command(self, arguments: list[str]) -> list[str]:
        """The same command, run in this place."""
        inside = [] if self.namespace is None else ["ip", "netns", "exec", self.namespace]
        return [*inside, *arguments]


HERE = Place(None, "127.0.0.1", LOOPBACK)


def why_no_namespaces() -> str | None:
    """Why this process cannot make network namespaces; ``None`` where it can."""
    missing = [tool for tool in ("ip", "tc") if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} of iproute2 are not installed"
    if os.name == "nt" or os.geteuid() != 0:
        return "only root can"
    return _why_not(lone_loopback())


def why_no_slow_link(rate: str) -> str | None:
    """Why this process cannot make a slow link of a rate; ``None`` where it can."""
    return why_no_namespaces() or _why_not(slow_link(rate))


@contextmanager
def lone_loopback() -> Iterator[tuple[Place, Place]]:
    """Two groups in one namespace, on whose loopback nothing else travels.

    Raises:
        ScaleoutError: The system refuses it.
    """
    with _namespace(f"tsm-{os.getpid()}") as name:
        place = Place(name, "127.0.0.1", LOOPBACK)
        yield place, place


@contextmanager
def slow_link(rate: str) -> Iterator[tuple[Place, Place]]:
    """Two groups in two namespaces; what goes from one to the other is held back.

    Args:
        rate: In each direction, as ``tc`` has it, such as ``100mbit``.

    Yields:
        Both places. Inside one, traffic goes over its own loopback at full speed.

    Raises:
        ScaleoutError: The system refuses a part of it.
    """
    near, far = f"tsm-{os.getpid()}a", f"tsm-{os.getpid()}b"
    with ExitStack() as stack:
        for name in (near, far):
            stack.enter_context(_namespace(name))
        ends = ("link", "add", INTERFACE, "netns", near, "type", "veth")
        _ip(*ends, "peer", "name", INTERFACE, "netns", far)
        for number, name in enumerate((near, far), start=1):
            _ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", INTERFACE)
            _ip("-n", name, "link", "set", INTERFACE, "up")
            shape = ("root", "tbf", "rate", rate, "burst", "64kb", "latency", "100ms")
            _run("tc", "-n", name, "qdisc", "add", "dev", INTERFACE, *shape)
        yield Place(near, "10.77.0.1", INTERFACE), Place(far, "10.77.0.2", INTERFACE)


def bytes_sent(interface: str) -> float:
    """Bytes that have left through an interface of the place where this process runs.

    Only Linux tells; elsewhere NaN.
    """
    try:
        lines = _COUNTERS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.nan
    found = [line.split(":", 1)[1].split() for line in lines if line.strip().startswith(interface)]
    return float(found[0][8]) if found else 0.0


def _why_not(places: AbstractContextManager[object]) -> str | None:
    """Why places cannot be made, which is tried; ``None`` where they can."""
    try:
        with places:
            return None
    except ScaleoutError as error:
        return str(error)


@contextmanager
def _namespace(name: str) -> Iterator[str]:
    """A network namespace with a loopback, removed in the end with all that is in it.

    A process waits for the end, so that it is removed even if this one is killed.
    """
    _ip("netns", "add", name)
    keeper = subprocess.Popen(
        ["sh", "-c", 'read end; exec ip netns delete "$0"', name],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what ends all processes of a terminal does not end it
    )
    try:
        _ip("-n", name, "link", "set", LOOPBACK, "up")
        yield name
    finally:
        keeper.communicate()  # closes its standard input


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ScaleoutError(f"{' '.join(command)} failed: {done.stderr.strip()}")
