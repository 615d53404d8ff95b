"""Windows that a fusion is chosen and judged on."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.fusion import Fusion
from tsmemory.memory.objective import pinball


class Part(NamedTuple):
    """Some windows with what is known of them.

    Attributes:
        target: NaN where unknown. Shape ``(B, H)``.
        backbone: Qb. Shape ``(B, Q, H)``.
        memory: Qm. Shape ``(B, Q, H)``.
        contexts: What was forecast, for naive forecasts and scales. Shape ``(B, L)``.
        channels: Channel of each window. Shape ``(B,)``.
    """

    target: torch.Tensor
    backbone: torch.Tensor
    memory: torch.Tensor
    contexts: torch.Tensor | None = None
    channels: NDArray[np.str_] | None = None

    def take(self, which: NDArray[np.bool_]) -> "Part":
        """The chosen windows."""
        rows = torch.from_numpy(np.flatnonzero(which))
        return Part(
            self.target[rows],
            self.backbone[rows],
            self.memory[rows],
            None if self.contexts is None else self.contexts[rows],
            None if self.channels is None else self.channels[which],
        )

    def fuse(self, fusion: Fusion, median: int) -> torch.Tensor:
        """Fused quantiles. Shape ``(B, Q, H)``."""
        return fusion.apply(self.backbone, self.memory, median, self.contexts, self.channels)


Parts = Callable[[], Iterable[Part]]  # starts a new pass over the windows at each call


def block_losses(parts: Parts, fusion: Fusion, *, levels: tuple[float, ...]) -> NDArray[np.float64]:
    """Mean pinball loss of each window in each horizon block.

    Args:
        parts: The windows.
        fusion: What is judged.
        levels: Quantile levels.

    Returns:
        Loss over the known steps, NaN where none is known. Shape ``(N, blocks)``.
    """
    return losses_of_each(parts(), [fusion], levels=levels)[0]


def losses_of_each(
    parts: Iterable[Part], fusions: Sequence[Fusion], *, levels: tuple[float, ...]
) -> list[NDArray[np.float64]]:
    """:func:`block_losses` of several fusions of the same blocks, from one pass."""
    level, median = torch.tensor(levels), levels.index(0.5)
    rows: list[list[NDArray[np.float64]]] = [[] for _ in fusions]
    for part in parts:
        count = by_block((~torch.isnan(part.target)).double(), fusions[0].block)
        for number, fusion in enumerate(fusions):
            loss = pinball(part.target, part.fuse(fusion, median), level)
            total = by_block(loss.double(), fusion.block)
            rows[number].append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return [np.concatenate(found) for found in rows]


def by_block(values: torch.Tensor, block: int) -> NDArray[np.float64]:
    """Sum the last axis over blocks of steps."""
    padding = -values.shape[-1] % block
    padded = torch.nn.functional.pad(values, (0, padding))
    return np.asarray(padded.reshape(*values.shape[:-1], -1, block).sum(-1).numpy())
