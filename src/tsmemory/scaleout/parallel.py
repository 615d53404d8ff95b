"""One training function: on one device, on several of one machine, or on several machines.

The process that runs the pipeline is always the first rank and goes on alone afterwards, so that
nothing has to be brought back from the others, and a Kedro node that trains on several ranks is
still run once.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import ProcessContext, ProcessException, start_processes

from tsmemory.scaleout.config import CommunicationConfig
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.groups import Ranks
from tsmemory.scaleout.jobs import POLL_SECONDS, Job, Launch

T = TypeVar("T")
R = TypeVar("R")

_launch: Launch | None = None


def enter(launch: Launch) -> None:
    """Let every later :func:`fit_parallel` of this process use the ranks of a launcher."""
    global _launch
    _launch = launch


def fit_parallel(
    function: Callable[[Ranks, T], R],
    task: T,
    *,
    device: str = "cpu",
    devices: int = 1,
    communication: CommunicationConfig | None = None,
) -> R:
    """Run a training function on one or several ranks.

    Args:
        function: Called at every rank with what it needs to know of the others; of an importable
            module. Only the first rank may write files, and all have to take the same steps.
        task: What it works on; copied to the other ranks, but for arrays that are mapped from
            files of the same machine.
        device: ``cpu``, or ``cuda`` for one CUDA device for each rank.
        devices: Ranks on this machine: 1 runs the function in this process alone. Under torchrun
            the launcher says how many there are.
        communication: How gradients are exchanged.

    Returns:
        What the function returned at the first rank, which is this process.

    Raises:
        ScaleoutError: Devices that this machine lacks, or a rank that has failed.
    """
    config = CommunicationConfig() if communication is None else communication
    if _launch is not None:
        return _launch.lead(function, task, device, config)
    if devices == 1:
        return function(Ranks(device=device, communication=config), task)
    _check_devices(device, devices)
    with _lone_machine(devices) as threads:
        return _lead_spawned(function, task, device, devices, config, threads)


def _lead_spawned(
    function: Callable[[Ranks, T], R],
    task: T,
    device: str,
    devices: int,
    communication: CommunicationConfig,
    threads: int,
) -> R:
    """Start the other ranks, run the function with them, and see them end."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    arguments = (store.port, devices, threads)
    helpers = start_processes(  # type: ignore[no-untyped-call]
        _follow_spawned, arguments, nprocs=devices - 1, join=False, daemon=True
    )
    try:
        job = Job(store, 0, devices, 0, devices, partial(_lost, helpers))
        result = job.lead(function, task, device, communication)
        while any(process.is_alive() for process in helpers.processes):
            if cause := job.failure(POLL_SECONDS):
                raise ScaleoutError(cause)
        return result
    finally:
        for process in helpers.processes:
            process.kill()
            process.join()


def _follow_spawned(index: int, port: int, size: int, threads: int) -> None:
    """What a spawned rank does."""
    torch.set_num_threads(threads)
    rank = index + 1
    store = TCPStore("127.0.0.1", port, is_master=False)
    if not Job(store, rank, size, rank, size).follow():
        raise SystemExit(1)


def _lost(helpers: ProcessContext, seconds: float) -> str | None:
    """What is known of a spawned rank that has ended before its time, or ends within seconds."""
    try:
        helpers.join(timeout=seconds, grace_period=1.0)
    except ProcessException as error:
        return f"rank {error.error_index + 1} has ended: {error.msg.strip()}"
    return None


def _check_devices(device: str, devices: int) -> None:
    if devices < 1:
        raise ScaleoutError(f"devices must be at least 1, got {devices}")
    if device not in ("cpu", "cuda"):
        raise ScaleoutError(
            f"device {device!r} cannot be shared by {devices} ranks: use cuda, which gives each "
            "rank a device of its own, or cpu"
        )
    if device == "cuda" and torch.cuda.device_count() < devices:
        raise ScaleoutError(
            f"{devices} CUDA devices were asked for, and this machine has "
            f"{torch.cuda.device_count()}: lower devices"
        )


@contextmanager
def _lone_machine(devices: int) -> Iterator[int]:
    """Share this machine's threads among ranks that talk over the loopback; threads for each."""
    before, name = torch.get_num_threads(), "GLOO_SOCKET_IFNAME"
    loopback = [n for _, n in socket.if_nameindex() if n in ("lo", "lo0")]
    chosen = bool(loopback) and name not in os.environ  # a host name may lead anywhere
    if chosen:
        os.environ[name] = loopback[0]
    threads = max(1, before // devices)
    torch.set_num_threads(threads)
    try:
        yield threads
    finally:
        torch.set_num_threads(before)
        if chosen:
            del os.environ[name]
