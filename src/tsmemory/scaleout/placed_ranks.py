"""Ranks in two places; none outlives the process that has started them."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence

from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.links import Place


def check_ranks(ranks: int) -> None:
    """Refuse numbers of ranks that do not fall into two groups of at least two.

    Raises:
        ScaleoutError: This is such a number.
    """
    if ranks < 4 or ranks % 2:
        raise ScaleoutError(
            f"{ranks} ranks do not fall into two groups of at least two, inside which and between "
            "which gradients are exchanged: take an even number of at least 4"
        )


def answer_of_ranks(
    places: tuple[Place, Place], ranks: int, command: Sequence[str], port: int
) -> str:
    """Run a command as every rank, half of them in each place.

    Args:
        places: Where both groups run.
        ranks: Number of ranks, even and at least 4.
        command: What each is, told by its environment which of them; it has to call
            :func:`end_with_parent`.
        port: On which the first rank meets the others.

    Returns:
        What the first rank has written to its standard output.

    Raises:
        ScaleoutError: The first rank has failed, or so many do not make two groups.
    """
    check_ranks(ranks)
    half = ranks // 2
    processes: list[subprocess.Popen[str]] = []
    lifeline, ours = os.pipe()  # it ends for the ranks when this process does
    try:
        for rank in range(ranks):
            place = places[rank // half]
            about = {
                "RANK": rank,
                "WORLD_SIZE": ranks,
                "LOCAL_RANK": rank % half,
                "LOCAL_WORLD_SIZE": half,
                "MASTER_ADDR": places[0].address,
                "MASTER_PORT": port,
                "GLOO_SOCKET_IFNAME": place.interface,
                "OMP_NUM_THREADS": 1,
                "CUDA_VISIBLE_DEVICES": "",  # PowerSGD between CPUs needs it
                "TORCH_CPP_LOG_LEVEL": "ERROR",  # addresses without a name are warned of
            }
            process = subprocess.Popen(
                place.command(list(command)),
                env=os.environ | {name: str(value) for name, value in about.items()},
                stdin=lifeline,
                stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
                text=True,
            )
            processes.append(process)
        answer, _ = processes[0].communicate()
    finally:
        for process in processes:
            process.kill()
            process.wait()
        os.close(lifeline)
        os.close(ours)
    if processes[0].returncode:
        raise ScaleoutError("the first rank has failed; what it says is above")
    return answer


def end_with_parent() -> None:
    """End this rank when the process that has started it ends, however that is."""
    threading.Thread(target=_end_with_input, name="end-with-parent", daemon=True).start()


def _end_with_input() -> None:
    os.read(sys.stdin.fileno(), 1)  # nobody writes; a buffered read would be in the way of the end
    os._exit(1)
