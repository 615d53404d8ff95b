"""The ranks that train together, and groups of them."""

import logging
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from tsmemory.scaleout.config import CommunicationConfig
from tsmemory.scaleout.errors import ScaleoutError

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Share:
    """A rank's part of a batch.

    Attributes:
        rows: Which rows of the batch; never none, since every rank has to take part in a step.
        weight: What the mean over these rows has to be multiplied with, so that the mean over all
            ranks is the mean over the batch. 1 where the batch can be divided evenly.
    """

    rows: slice
    weight: float


@dataclass(frozen=True)
class Ranks:
    """One rank among those that train together.

    Attributes:
        rank: Number of this rank; 0 runs the pipeline, and writes.
        size: Number of ranks.
        device: Where this rank computes.
        local_size: Ranks on this machine.
        communication: How gradients are exchanged.
        made: Groups of these ranks by their size, as far as they have been asked for.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    local_size: int = 1
    communication: CommunicationConfig = field(default_factory=CommunicationConfig)
    made: dict[int, "Groups"] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files, logs and shows progress."""
        return self.rank == 0

    def share(self, count: int) -> Share:
        """This rank's part of a batch that all ranks have drawn alike.

        Args:
            count: Rows of the whole batch.
        """
        first, last = (count * each // self.size for each in (self.rank, self.rank + 1))
        if first == last:
            return Share(slice(0, 1), 0.0)
        return Share(slice(first, last), (last - first) * self.size / count)

    def seed(self, seed: int) -> int:
        """A seed for what has to differ between ranks, as dropout; rank 0 keeps the given one."""
        if self.is_first:
            return seed
        return int(np.random.SeedSequence([seed, self.rank]).generate_state(1)[0])

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of every rank's values, at every rank."""
        if self.size == 1:
            return values
        total = torch.from_numpy(np.array(values, dtype=np.float64))
        dist.all_reduce(total)
        return total.numpy()

    def agree(self, value: T) -> T:
        """What rank 0 says, at every rank.

        Args:
            value: Rank 0's counts: a decision to stop, or states read from a checkpoint. It travels
                as a pickle between processes of one run, and never through a file.
        """
        if self.size == 1:
            return value
        said: list[Any] = [value if self.is_first else None]
        dist.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        return said[0]  # type: ignore[no-any-return]

    def wait(self) -> None:
        """Go on when every rank has come to this point."""
        if self.size > 1:
            self.sum(np.zeros(1))  # monitored_barrier refuses ranks that have NCCL beside gloo


@dataclass(frozen=True)
class Groups:
    """Ranks in groups of consecutive ones, with one leader each.

    Attributes:
        size: Ranks in a group.
        own: The group of this rank.
        leader: Rank that leads it.
        leaders: All leaders; ``None`` at ranks that do not lead.
    """

    size: int
    own: dist.ProcessGroup
    leader: int
    leaders: dist.ProcessGroup | None

    @classmethod
    def of(cls, ranks: Ranks) -> "Groups":
        """The groups, which are made at the first call; every rank has to make that.

        Args:
            ranks: Among whom a process group exists already.

        Raises:
            ScaleoutError: Groups of the asked size do not come out even.
        """
        size = check_group_size(ranks)
        if size not in ranks.made:
            firsts = range(0, ranks.size, size)
            made = {first: dist.new_group(range(first, first + size)) for first in firsts}
            leaders = dist.new_group(firsts)
            leader = ranks.rank - ranks.rank % size
            own = leaders if leader == ranks.rank else None
            ranks.made[size] = cls(size, made[leader], leader, own)
        return ranks.made[size]


def check_group_size(ranks: Ranks) -> int:
    """Ranks in a group.

    Raises:
        ScaleoutError: Groups of the asked size do not come out even.
    """
    size = ranks.communication.group_size or ranks.local_size
    if ranks.size % size:
        raise ScaleoutError(
            f"{ranks.size} ranks do not fall into groups of {size}: set communication.group_size "
            f"to a divisor of {ranks.size}"
        )
    return size


def warn_of_idle_groups(ranks: Ranks) -> None:
    """Say where groups were asked for that change nothing, as one group of all ranks does.

    Raises:
        ScaleoutError: Groups of the asked size do not come out even.
    """
    config = ranks.communication
    if ranks.size == 1 or not config.by_groups:
        return
    size, least = check_group_size(ranks), 1 if config.average_every > 1 else 2
    if least <= size < ranks.size:
        return
    asked = f"reduce {config.reduce}" if least == 2 else f"average_every {config.average_every}"
    logger.warning(
        "communication.%s changes nothing with %d ranks in groups of %d: set "
        "communication.group_size to a divisor of the number of ranks from %d to half of it%s",
        asked,
        ranks.size,
        size,
        least,
        ", which takes 4 ranks at least" if least == 2 else "",
    )
