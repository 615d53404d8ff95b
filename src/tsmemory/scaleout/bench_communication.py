"""What each way to exchange gradients costs; ``python -m tsmemory.scaleout.bench_communication``.

Ranks in two groups train one small network, first over a loopback and then with a slow link between
the groups. Bytes are those that the interfaces have counted, headers included.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from tsmemory.scaleout.communication import SharedModel
from tsmemory.scaleout.config import CommunicationConfig
from tsmemory.scaleout.groups import Ranks
from tsmemory.scaleout.launch import join_launch
from tsmemory.scaleout.links import (
    HERE,
    INTERFACE,
    LOOPBACK,
    Place,
    bytes_sent,
    lone_loopback,
    slow_link,
    why_no_namespaces,
    why_no_slow_link,
)
from tsmemory.scaleout.parallel import enter, fit_parallel
from tsmemory.scaleout.placed_ranks import answer_of_ranks, check_ranks, end_with_parent
from tsmemory.scaleout.writing import write_whole

MODULE = "tsmemory.scaleout.bench_communication"
ALONE = "one process"
PLAIN = "plain DDP"
WARM_STEPS = 4
_EVERY = 8
_SMALL_MB = 0.3  # one matrix of the network and its bias
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What is trained.

    Attributes:
        steps: Steps that are timed, after a few that are not.
        batch: Rows of a step, of all ranks together.
        layers: Residual layers.
        width: Features of each.
        seed: Of weights and rows.
    """

    steps: int = 16
    batch: int = 128
    layers: int = 24
    width: int = 256
    seed: int = 0


def ways(group_size: int) -> dict[str, CommunicationConfig]:
    """All ways, for groups of a size."""
    plain = CommunicationConfig(group_size=group_size)
    return {
        PLAIN: plain,
        "plain, a bucket for each layer": replace(plain, bucket_cap_mb=_SMALL_MB),
        "hierarchical": replace(plain, reduce="hierarchical"),
        "hierarchical, a bucket for each layer": replace(
            plain, reduce="hierarchical", bucket_cap_mb=_SMALL_MB
        ),
        "hybrid, buckets of 1 MiB": replace(
            plain, reduce="hybrid", bucket_cap_mb=1.0, hybrid_mb=0.75
        ),
        "fp16": replace(plain, compression="fp16"),
        "hierarchical, fp16": replace(plain, reduce="hierarchical", compression="fp16"),
        "PowerSGD, rank 2": replace(plain, compression="powersgd", powersgd_start=2),
        f"averages every {_EVERY} steps": replace(
            plain, average_every=_EVERY, average_after=WARM_STEPS
        ),
    }


class Residual(nn.Module):
    """Layers that each add to what they are given."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(task.width, task.width) for _ in range(task.layers))
        self.head = nn.Linear(task.width, 8)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(B, 8)`` of rows ``(B, width)``."""
        for layer in self.layers:
            x = x + torch.tanh(layer(x)) / len(self.layers) ** 0.5
        out: Tensor = self.head(x)
        return out


def measure(ranks: Ranks, task: Task) -> dict[str, float]:
    """Train with one way of exchanging gradients, on all ranks.

    Args:
        ranks: Who trains, and how gradients are exchanged.
        task: What is trained.

    Returns:
        ``steps_per_second``, ``link_mb`` and ``loopback_mb`` (MB a step over the link between the
        groups, both directions, and inside the places), ``loss`` after the last step.
    """
    torch.manual_seed(task.seed)
    model = Residual(task)
    shared = SharedModel(model, ranks, _loss)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    rng = np.random.default_rng(task.seed)
    truth = rng.normal(size=(task.width, 8)).astype(np.float32) / task.width**0.5
    began, before = 0.0, np.zeros(2)
    for step in range(WARM_STEPS + task.steps):
        if step == WARM_STEPS:
            ranks.wait()
            began, before = time.perf_counter(), _sent(ranks)
        x = rng.normal(size=(task.batch, task.width)).astype(np.float32)
        rows = ranks.share(task.batch).rows
        inputs, targets = (torch.from_numpy(a[rows]) for a in (x, np.sin(2 * x @ truth)))
        optimizer.zero_grad()
        shared(inputs, targets).backward()
        optimizer.step()
        shared.stepped()
    shared.settle()
    took = time.perf_counter() - began
    ranks.wait()
    link, loopback = (_sent(ranks) - before) / task.steps / 1e6
    x = rng.normal(size=(4096, task.width)).astype(np.float32)
    with torch.no_grad():
        loss = _loss(model, torch.from_numpy(x), torch.from_numpy(np.sin(2 * x @ truth)))
    return {
        "steps_per_second": task.steps / took,
        "link_mb": float(link),
        "loopback_mb": float(loopback),
        "loss": float(loss),
    }


def run_ranks(
    places: tuple[Place, Place], ranks: int, task: Task, port: int = 29417
) -> dict[str, dict[str, float]]:
    """Measure all ways with ranks in two places, half of them in each.

    Args:
        places: Where both groups run.
        ranks: Number of ranks, even and at least 4.
        task: What is trained.
        port: On which the first rank meets the others.

    Returns:
        What :func:`measure` found, by way.

    Raises:
        ScaleoutError: A rank has failed, or so many do not make two groups.
    """
    command = [sys.executable, "-m", MODULE, "--as-rank", json.dumps(asdict(task))]
    answer = answer_of_ranks(places, ranks, command, port)
    found: dict[str, dict[str, float]] = json.loads(answer)
    return found


def compare_ways(ranks: int, task: Task, rate: str | None) -> pd.DataFrame:
    """Measure one process, all ways on a loopback, and all ways over a slow link.

    Every process has one thread.

    Args:
        ranks: Number of ranks, half of them on each side of the link; even, and at least 4.
        task: What is trained.
        rate: Of the slow link, as ``tc`` has it; ``None`` leaves it out.

    Returns:
        Table ``link, way, steps_per_second, link_mb, loopback_mb, loss, of_plain``; the last is the
        speed as a share of plain DDP's on the same link. Without network namespaces bytes include
        those of others; where no slow link can be made, nothing is measured over it.

    Raises:
        ScaleoutError: A rank has failed, or so many do not make two groups.
    """
    check_ranks(ranks)
    shared, unslowed = why_no_namespaces(), None if rate is None else why_no_slow_link(rate)
    if shared is not None:
        logger.warning("Bytes include those of others: no network namespace: %s", shared)
    if unslowed is not None:
        logger.warning("Nothing is measured over a slow link: %s", unslowed)
    with _one_thread():
        lines = [{"link": "none", "way": ALONE, **measure(Ranks(), task)}]
    with nullcontext((HERE, HERE)) if shared else lone_loopback() as places:
        lines += _lines("loopback", run_ranks(places, ranks, task))
    if rate is not None and unslowed is None:
        with slow_link(rate) as places:
            lines += _lines(rate, run_ranks(places, ranks, task))
    table = pd.DataFrame(lines)
    plain = table[table["way"] == PLAIN].set_index("link")["steps_per_second"]
    table["of_plain"] = table["steps_per_second"] / table["link"].map(plain)
    return table


def main(arguments: Sequence[str]) -> None:
    """Measure, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", default="100mbit", help="of the slow link, as tc has it")
    parser.add_argument("--ranks", type=int, default=4, help="an even number of at least 4")
    parser.add_argument("--steps", type=int, default=Task.steps)
    parser.add_argument("--out", type=Path, help="a CSV file for the table")
    parser.add_argument("--as-rank", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.as_rank:
        _be_rank(Task(**json.loads(chosen.as_rank)))
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    table = compare_ways(chosen.ranks, Task(steps=chosen.steps), chosen.rate)
    if chosen.out is not None:
        write_whole(chosen.out, table.to_csv(index=False))
    logger.info(table.to_string(index=False, float_format="%.3f"))


@contextmanager
def _one_thread() -> Iterator[None]:
    """As many threads as a rank has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _lines(link: str, found: dict[str, dict[str, float]]) -> list[dict[str, object]]:
    return [{"link": link, "way": way, **values} for way, values in found.items()]


def _be_rank(task: Task) -> None:
    """Take part; the first rank writes what it has found to its standard output."""
    end_with_parent()
    torch.set_num_threads(1)
    launch = join_launch()
    if launch.rank > 0:
        launch.follow()
        return
    enter(launch)
    found = {
        way: fit_parallel(measure, task, communication=config)
        for way, config in ways(launch.local_size).items()
    }
    launch.dismiss(0)
    json.dump(found, sys.stdout)


def _loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    loss: Tensor = (model(x) - y).square().mean()
    return loss


def _sent(ranks: Ranks) -> np.ndarray:
    """Bytes over the link, and over the loopbacks, told by one rank of each place."""
    link = os.environ.get("GLOO_SOCKET_IFNAME") == INTERFACE
    tells = ranks.rank % ranks.local_size == 0 and (link or ranks.is_first)
    return ranks.sum(np.array([bytes_sent(INTERFACE), bytes_sent(LOOPBACK)]) * float(tells))


if __name__ == "__main__":
    main(sys.argv[1:])
