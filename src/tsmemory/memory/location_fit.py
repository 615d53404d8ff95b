"""Weights of the fused median: least squares on windows that the memory was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.candidates import last_values, seasonal_values, way_home
from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import CANDIDATES, closed_form_location
from tsmemory.memory.fusion_windows import Part, Parts, by_block
from tsmemory.memory.gate import open_steps
from tsmemory.memory.instance_norm import instance_normalise
from tsmemory.memory.simplex import shrunk_weights
from tsmemory.metrics import typical_step
from tsmemory.series.series_set import Int

_STRETCHES = 3  # fewer cannot tell what is steady

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


class Stretch(NamedTuple):
    """Sums over one stretch of time and all channels; see :class:`MixtureSums`.

    Attributes:
        gram: Shape ``(K, K, blocks)``.
        moment: Shape ``(K, blocks)``.
    """

    gram: Sums
    moment: Sums

    def homing(self, weights: Sums) -> Sums:
        """The long-run level's weight beside given ones, by least squares, of any sign.

        Args:
            weights: Of all candidates, the last of which is not heeded. Shape ``(K, blocks)``.

        Returns:
            NaN where nothing is known. Shape ``(blocks,)``.
        """
        gram = self.gram[-1]
        left = self.moment[-1] - (gram[:-1] * weights[:-1]).sum(axis=0)
        return _ratio(left, gram[-1])

    def length(self, weights: Sums) -> Sums:
        """How much of the step that weights take from the backbone it wants, by least squares.

        Args:
            weights: Of all candidates. Shape ``(K, blocks)``.

        Returns:
            1 is all of it, NaN where there is none. Shape ``(blocks,)``.
        """
        wanted = (weights * self.moment).sum(axis=0)
        return _ratio(wanted, np.einsum("kb,klb,lb->b", weights, self.gram, weights))

    def whole(self) -> "Stretch":
        """All horizon blocks as one."""
        return Stretch(*(sums.sum(axis=-1, keepdims=True) for sums in self))


def steadied(stretches: Sequence[Stretch], weights: Sums, shrinkage: float) -> Sums:
    """Weights that no stretch of time speaks against.

    Whether a pattern lasts, or a series comes back to where it was, is a question of seasons and
    years, of which there are few. Weights that are best on the mean follow the stretch with the
    farthest excursion, and a season later they may do harm. So each stretch has a veto: the step
    away from the backbone is cut to the shortest that any of them wants, and the long-run level
    gets the least weight that any wants for it. Where weights are stable this changes little.

    Args:
        stretches: Validation, and stretches of training windows that are seen from outside.
        weights: Weights of the other candidates, the last line of which is 0. ``(K, blocks)``.
        shrinkage: Of each block's cut towards that of all blocks together.

    Returns:
        Shape ``(K, blocks)``. With fewer than three stretches the weights stay as they are.
    """
    if len(stretches) < _STRETCHES:
        return weights
    overall = weights.mean(axis=1, keepdims=True)
    whole = _least([stretch.whole().length(overall) for stretch in stretches], 1.0)
    own = _least([stretch.length(weights) for stretch in stretches], whole)
    kept = weights * ((1 - shrinkage) * own + shrinkage * whole).clip(0, 1)
    level = _least([stretch.homing(kept) for stretch in stretches], 0.0)
    kept[-1] = level.clip(0, (1 - kept[:-1].sum(axis=0)).clip(0))
    return np.asarray(kept)


def _least(wanted: Sequence[Sums], otherwise: Sums | float) -> Sums:
    """The least of what stretches want, where at least three of them want something."""
    values = np.stack(wanted)
    known = np.isfinite(values)
    least = np.where(known, values, np.inf).min(axis=0)
    return np.asarray(np.where(known.sum(axis=0) >= _STRETCHES, least, otherwise))


def _ratio(above: Sums, below: Sums) -> Sums:
    """A ratio, NaN where there is nothing to divide by."""
    telling = below > 0
    return np.asarray(np.where(telling, above / np.where(telling, below, 1.0), np.nan))


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
        """Weights of the memory without any other candidate. Shape ``(K, blocks)``."""
        gram, moment = self.gram.sum(axis=0), self.moment.sum(axis=0)
        memory = shrunk_weights(gram[:1, :1], moment[:1], shrinkage)
        return np.concatenate([memory, np.zeros_like(moment[1:])])

    def mixed(self, shrinkage: float, channel: int | None = None) -> Sums:
        """Weights of all candidates but the long-run level, for all channels or one.

        Shape ``(K, blocks)``; the last line is 0.
        """
        gram, moment = (
            sums.sum(axis=0) if channel is None else sums[channel]
            for sums in (self.gram, self.moment)
        )
        others = shrunk_weights(gram[:-1, :-1], moment[:-1], shrinkage)
        return np.concatenate([others, np.zeros_like(others[:1])])

    def best(self) -> Sums:
        """Weights of all candidates with the least squared error. Shape ``(K, blocks)``."""
        return shrunk_weights(self.gram.sum(axis=0), self.moment.sum(axis=0), 0.0)

    def stretch(self, *, level_known: bool = True) -> Stretch:
        """The sums over all channels.

        Args:
            level_known: Whether the long-run level was known by then; else nothing is said of it.
        """
        gram, moment = self.gram.sum(axis=0), self.moment.sum(axis=0)
        if not level_known:
            gram[-1], gram[:, -1], moment[-1] = 0, 0, 0
        return Stretch(gram, moment)


def candidate_steps(part: Part, median: int, season: int, config: FusionConfig) -> torch.Tensor:
    """Steps from the backbone's median to each candidate, 0 where the gate is shut.

    Returns:
        Shape ``(K, B, H)``, in the order of :data:`~tsmemory.memory.fusion.CANDIDATES`.
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
    if config.long_run:
        steps[3] = way_home(instance_normalise(contexts))
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
