"""What spawned ranks run in tests; they import it by name."""

import copy
import os
import signal
from dataclasses import replace

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from tsmemory.scaleout.communication import Exchange, SharedModel
from tsmemory.scaleout.config import CommunicationConfig
from tsmemory.scaleout.groups import Groups, Ranks

BATCH, STEPS = 22, 6  # 22: not to be divided by 4
EXACT = {
    "plain": CommunicationConfig(),
    "one bucket for each matrix": CommunicationConfig(bucket_cap_mb=1e-4),
    "hierarchical": CommunicationConfig(reduce="hierarchical", group_size=2),
    "hierarchical, small buckets": CommunicationConfig(
        reduce="hierarchical", group_size=2, bucket_cap_mb=1e-4
    ),
    "hierarchical, one group": CommunicationConfig(reduce="hierarchical"),
    "hybrid": CommunicationConfig(
        reduce="hybrid", group_size=2, bucket_cap_mb=1e-4, hybrid_mb=2e-4
    ),
    "post-local, not yet": CommunicationConfig(average_every=3, group_size=1),
}
ROUGH = {
    "fp16": CommunicationConfig(compression="fp16"),
    "fp16, hierarchical": CommunicationConfig(
        compression="fp16", reduce="hierarchical", group_size=2
    ),
    "post-local": CommunicationConfig(average_every=3, average_after=2, group_size=2),
}
LATE = CommunicationConfig(compression="powersgd", powersgd_rank=1)
if not torch.cuda.is_available():  # PyTorch's hook does not work on the CPU of such a machine
    EXACT["powersgd, not yet"] = LATE
    ROUGH["powersgd"] = replace(LATE, powersgd_start=2)
    ROUGH["powersgd, small buckets"] = replace(LATE, powersgd_start=2, bucket_cap_mb=1e-4)


def network(seed: int) -> nn.Module:
    """A small network; its weights follow from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 24), nn.Linear(24, 3))


def squared_error(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return (model(x) - y).square().mean()


def train(ranks: Ranks, steps: int = STEPS, *, first: int = 0) -> nn.Module:
    """Train on batches that all ranks draw alike; each takes its share of every one."""
    model = network(seed=ranks.rank)  # others than the first's are of no effect
    shared = SharedModel(model, ranks, squared_error, first_step=first)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rng = np.random.default_rng(5)
    for _ in range(steps):
        x, y = (torch.from_numpy(rng.normal(size=(BATCH, n)).astype("f4")) for n in (12, 3))
        share = ranks.share(BATCH)
        optimizer.zero_grad()
        (share.weight * shared(x[share.rows], y[share.rows])).backward()
        optimizer.step()
        shared.stepped()
    shared.settle()
    return model


def accumulate(ranks: Ranks) -> nn.Module:
    """One step of plain gradient descent on a batch in two halves."""
    model = network(seed=0)
    shared = SharedModel(model, ranks, squared_error)
    rng = np.random.default_rng(5)
    x, y = (torch.from_numpy(rng.normal(size=(BATCH, n)).astype("f4")) for n in (12, 3))
    halves = [slice(0, BATCH // 2), slice(BATCH // 2, BATCH)]
    for half in halves:
        share = ranks.share(BATCH // 2)
        rows = torch.arange(BATCH)[half][share.rows]
        last = half is halves[-1]
        with shared.holding_back() if not last else torch.enable_grad():
            (share.weight * shared(x[rows], y[rows]) / 2).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return model


def flat(model: nn.Module) -> np.ndarray:
    return torch.cat([w.detach().reshape(-1) for w in model.parameters()]).numpy()


def every_exchange(ranks: Ranks, names: list[str]) -> dict[str, np.ndarray]:
    """Weights after training with each way to exchange gradients, of every rank. ``(ranks, W)``."""
    found = {}
    for name in names:
        config = (EXACT | ROUGH)[name]
        found[name] = gather(ranks, flat(train(replace(ranks, communication=config))))
    found["accumulated"] = gather(ranks, flat(accumulate(ranks)))
    return found


def gather(ranks: Ranks, values: np.ndarray) -> np.ndarray:
    """Every rank's values, at every rank."""
    table = np.zeros((ranks.size, len(values)))
    table[ranks.rank] = values
    return ranks.sum(table)


def sums_by_groups(ranks: Ranks, lengths: list[int]) -> dict[str, float]:
    """Largest deviation of sums by groups from plain ones, over vectors of several lengths."""
    by_groups = Exchange(replace(ranks, communication=EXACT["hierarchical"]))
    assert by_groups.groups is not None
    worst = 0.0
    for number, length in enumerate(lengths):
        draws = np.random.default_rng([number, ranks.rank]).normal(size=length)
        vector = torch.from_numpy(draws.astype("f4"))
        plain = vector.clone()
        dist.all_reduce(plain)
        summed = by_groups.sum(vector, vector.nbytes).wait()
        worst = max(worst, float((summed - plain).abs().max()))
    return {"worst": worst, "leader": float(by_groups.groups.leader)}


def whole_check(ranks: Ranks, names: list[str]) -> dict[str, object]:
    """Everything that four ranks are started for."""
    found: dict[str, object] = dict(every_exchange(ranks, names))
    found["sums"] = gather(ranks, np.array([sums_by_groups(ranks, [1, 7, 4096, 100_003])["worst"]]))
    found["leaders"] = gather(ranks, np.array([float(Groups.of(_by_twos(ranks)).leader)]))
    found["agreed"] = gather(ranks, np.array([float(ranks.agree(ranks.rank + 10))]))
    found["seeds"] = gather(ranks, np.array([float(ranks.seed(3))]))
    found["resumed"] = gather(ranks, flat(_resumed(ranks)))
    if "powersgd" in names:
        late = replace(ranks, communication=LATE)
        found["powersgd, resumed"] = gather(ranks, flat(train(late, first=100)))
    once = Groups.of(_by_twos(ranks)) is Groups.of(_by_twos(ranks))
    found["groups made once"] = gather(ranks, np.array([float(once)]))
    ranks.wait()
    return found


def _by_twos(ranks: Ranks) -> Ranks:
    return replace(ranks, communication=CommunicationConfig(group_size=2))


def _resumed(ranks: Ranks) -> nn.Module:
    """Post-local training that goes on after its first two steps: it is local at once."""
    config = replace(ROUGH["post-local"], average_every=1000, group_size=1)
    model = network(seed=0)
    shared = SharedModel(model, replace(ranks, communication=config), squared_error, first_step=2)
    x = torch.full((4, 12), float(ranks.rank))
    shared(x, torch.ones(4, 3)).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    apart = copy.deepcopy(model)
    shared.stepped()
    shared.settle()
    if np.allclose(flat(apart), flat(model)):
        raise RuntimeError("the ranks were not apart before they were averaged")
    return model


def describe(ranks: Ranks, task: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What each rank was told and given."""
    table = task["mapped"]
    told = [ranks.rank, ranks.size, ranks.local_size, torch.get_num_threads(), os.getpid()]
    return {
        "told": gather(ranks, np.array(told, dtype=float)),
        "mapped": gather(ranks, np.array([table.filename is not None, table.sum()], dtype=float)),
    }


def fail_at(ranks: Ranks, rank: int) -> None:
    """One rank raises while the others wait for it."""
    if ranks.rank == rank:
        raise LookupError("a rank's own trouble")
    ranks.sum(np.ones(1))


def die_at(ranks: Ranks, rank: int) -> None:
    """One rank is killed while the others wait for it."""
    if ranks.rank == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.sum(np.ones(1))


def refuse(ranks: Ranks, task: None) -> None:
    """Every rank refuses in its own words."""
    from tsmemory.errors import UserError

    raise UserError(f"refused by rank {ranks.rank}")


def train_on(ranks: Ranks, task: None) -> nn.Module:
    return train(ranks)
