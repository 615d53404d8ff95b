"""Runs the project on several ranks, which torchrun starts on one or several machines.

``torchrun --nnodes 2 --nproc-per-node 4 --rdzv-endpoint host:29500 --rdzv-backend c10d
-m tsmemory.scaleout.launch --pipelines distillation`` does what ``kedro run --pipelines
distillation`` does: the first rank runs the pipelines, and the others join it wherever it trains.
"""

import logging
import os
import runpy
import sys
import time
from collections.abc import Sequence

import torch
from torch.distributed.rendezvous import rendezvous

from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.jobs import Launch
from tsmemory.scaleout.parallel import enter

_LAST_SECONDS = 5.0  # torchrun names the rank that fails first as the cause: let it be the first
logger = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Run the project as the first rank, or help the first rank.

    Args:
        arguments: Those of ``kedro run``; only the first rank heeds them.

    Returns:
        Exit status of the first rank's run, at every rank.

    Raises:
        ScaleoutError: Not started by a launcher.
    """
    launch = join_launch()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if launch.rank > 0:
        logger.debug("Rank %d of %d waits for the first", launch.rank, launch.size)
        status = launch.follow()
        if status:
            time.sleep(_LAST_SECONDS)
        return status
    enter(launch)
    status = 1
    try:
        status = _run_project(arguments)
    finally:
        launch.dismiss(status)
    return status


def join_launch() -> Launch:
    """Meet the other ranks.

    Raises:
        ScaleoutError: Not started by a launcher.
    """
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR") if name not in os.environ]
    if missing:
        raise ScaleoutError(
            f"{', '.join(missing)} are not set: start this module with torchrun, as in `torchrun "
            "--nproc-per-node 2 -m tsmemory.scaleout.launch --pipelines distillation`"
        )
    store, rank, size = next(rendezvous("env://"))
    local_rank = int(os.environ.get("LOCAL_RANK", rank))
    return Launch(store, rank, size, local_rank, int(os.environ.get("LOCAL_WORLD_SIZE", size)))


def _run_project(arguments: Sequence[str]) -> int:
    """``python -m tsmemory`` in this process, by its name: the library does not know Kedro."""
    sys.argv = ["tsmemory", *arguments]
    try:
        runpy.run_module("tsmemory", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
