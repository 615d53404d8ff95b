"""Weights of the fused median: least squares on windows that the memory was not trained on."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.candidates import last_values, seasonal_values
from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import closed_form_location
from tsmemory.memory.fusion_windows import Part, Parts, by_block
from tsmemory.memory.gate import open_steps
from tsmemory.memory.simplex import shrunk_weights
from tsmemory.metrics import typical_step
from tsmemory.series.series_set import Int

CANDIDATES = ("memory", "last_value", "seasonal_naive")

Sums = NDArray[np.float64]


def fit_location(parts: Parts, *, block: int, median: int, shrinkage: float) -> tuple[float, ...]:
    """Location weights in closed form (squared error), one for each horizon block."""
    numerator, denominator = np.zeros(1), np.zeros(1)
    for part in parts():
        step = part.memory[:, median] - part.backbone[:, median]
        gap = torch.nan_to_num(part.target - part.backbone[:, median])
        known = ~torch.isnan(part.target)
        numerator = numerator + by_block((gap * step * known).sum(0).double(), block)
        denominator = denominator + by_block((step**2 * known).sum(0).double(), block)
    return closed_form_location(numerator, denominator, shrinkage)


@dataclass(frozen=True)
class MixtureSums:
    """Sums from which the weights of a mixture follow, for each channel and horizon block.

    Attributes:
        channels: Names of the C channels; a single empty one where they are not known.
        gram: Products of the candidates' steps away from the backbone. ``(C, K, K, blocks)``.
        moment: Their products with the backbone's error. Shape ``(C, K, blocks)``.
        square: Squares of the backbone's error. Shape ``(C, blocks)``.
        count: Known target steps. Shape ``(C, blocks)``.
        known: Whether anything is known of a window in a block. Shape ``(N, blocks)``.
    """

    channels: tuple[str, ...]
    gram: Sums
    moment: Sums
    square: Sums
    count: Sums
    known: NDArray[np.bool_]

    @classmethod
    def collect(
        cls, parts: Parts, *, median: int, season: int, config: FusionConfig
    ) -> "MixtureSums":
        """Sum over windows; a candidate that is not wanted has steps of zero."""
        sums: dict[str, list[Sums]] = {}
        known: list[NDArray[np.bool_]] = []
        for part in parts():
            observed = ~torch.isnan(part.target)
            known.append(by_block(observed.double(), config.block) > 0)
            steps = candidate_steps(part, median, season, config) * observed
            gap = torch.nan_to_num(part.target - part.backbone[:, median]).double()
            names = np.array([""] * len(gap)) if part.channels is None else part.channels
            for name in np.unique(names):
                which = torch.from_numpy(np.flatnonzero(names == name))
                mine, error = steps[:, which].double(), gap[which]
                found = [
                    torch.einsum("kbh,lbh->klh", mine, mine),
                    torch.einsum("kbh,bh->kh", mine, error),
                    error.square().sum(0),
                    observed[which].double().sum(0),
                ]
                own = [by_block(values, config.block) for values in found]
                before = sums.get(str(name), [np.zeros(1)] * len(own))
                sums[str(name)] = [a + b for a, b in zip(before, own, strict=True)]
        channels = tuple(sorted(sums))
        gram, moment, square, count = (
            np.stack([sums[name][place] for name in channels]) for place in range(4)
        )
        return cls(channels, gram, moment, square, count, np.concatenate(known))

    def alone(self, shrinkage: float) -> Sums:
        """Weights of the memory without any naive forecast. Shape ``(3, blocks)``."""
        gram, moment = self.gram.sum(axis=0), self.moment.sum(axis=0)
        memory = shrunk_weights(gram[:1, :1], moment[:1], shrinkage)
        return np.concatenate([memory, np.zeros_like(moment[1:])])

    def mixed(self, shrinkage: float, channel: int | None = None) -> Sums:
        """Weights of all candidates, for all channels or one. Shape ``(3, blocks)``."""
        gram, moment = (
            sums.sum(axis=0) if channel is None else sums[channel]
            for sums in (self.gram, self.moment)
        )
        return shrunk_weights(gram, moment, shrinkage)


def candidate_steps(part: Part, median: int, season: int, config: FusionConfig) -> torch.Tensor:
    """Steps from the backbone's median to each candidate, 0 where the gate is shut.

    Returns:
        Shape ``(3, B, H)``, in the order of :data:`CANDIDATES`.
    """
    middle, contexts = part.backbone[:, median], part.contexts
    steps = torch.zeros(len(CANDIDATES), *middle.shape)
    steps[0] = part.memory[:, median] - middle
    if contexts is None:
        return steps
    if config.last_value:
        steps[1] = last_values(contexts) - middle
    if config.seasonal_naive:
        steps[2] = seasonal_values(contexts, season, middle.shape[1]) - middle
    if config.gate.is_on:
        steps *= open_steps(config.gate, part.backbone, part.memory, contexts, median)
    return steps


def independent_stretches(
    known: NDArray[np.bool_], origin_time: Int, *, block: int, stride: int
) -> Sums:
    """How many stretches of time, each as long as it looks ahead, speak for a horizon block.

    Args:
        known: Whether anything is known of a window in a block. Shape ``(N, blocks)``.
        origin_time: Origin of each window. Shape ``(N,)``.
        block: Steps in a horizon block.
        stride: Steps between consecutive origins of one row.

    Returns:
        Shape ``(blocks,)``.
    """
    step = typical_step(origin_time, stride)
    origins = np.array([len(np.unique(origin_time[column])) for column in known.T])
    return np.asarray(origins * step / (block * np.arange(1, known.shape[1] + 1)))
