"""What out-of-fold training windows say of the fusion (METHOD 1.5 and 1.7).

The frozen backbone and the naive forecasts have learnt nothing from the training windows, and each
window is forecast by a ridge that has not seen its steps. So these windows, of which there are many
more than of validation, tell honestly how far to trust each of them, how wide the errors are, and,
where validation is too short to tell anything, whether the mixture is better than the backbone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.fusion import CANDIDATES
from tsmemory.memory.fusion_parts import Residuals
from tsmemory.memory.guard import Evidence
from tsmemory.memory.location_fit import Stretch, independent_stretches
from tsmemory.series.series_set import Int

STATES = ("frozen", "memory", "naive", "width_memory", "width_residuals")


@dataclass(frozen=True)
class OutOfFold:
    """Weights, widths and losses on out-of-fold training windows.

    Attributes:
        season: Steps in a season.
        alone: Weights of the memory without other candidates. Shape ``(K, blocks)``.
        mixed: Weights of all candidates for the median. Shape ``(K, blocks)``.
        channel_mixed: The same for each channel alone. Shape ``(C, K, blocks)``.
        stretch_gram: Sums over each stretch, from which weights follow; see
            :class:`~tsmemory.memory.location_fit.Stretch`. Shape ``(F, K, K, blocks)``.
        stretch_moment: Likewise. Shape ``(F, K, blocks)``.
        knots: Steps ahead that ``offsets`` are given for. Shape ``(K,)``.
        offsets: Quantiles of the residuals around their median at the knots, in their own unit,
            ascending over levels. Shape ``(Q, K)``.
        channels: Names of the channels.
        channel_scale: Size of each channel's residuals in those of all. Shape ``(C, blocks)``.
        losses: Mean pinball loss of each of :data:`STATES`. Shape ``(5, M, blocks)``.
        origin_time: Origin of each window in ``losses``. Shape ``(M,)``.
    """

    season: int
    alone: NDArray[np.float64]
    mixed: NDArray[np.float64]
    channel_mixed: NDArray[np.float64]
    stretch_gram: NDArray[np.float64]
    stretch_moment: NDArray[np.float64]
    knots: Int
    offsets: NDArray[np.float64]
    channels: tuple[str, ...]
    channel_scale: NDArray[np.float64]
    losses: NDArray[np.float64]
    origin_time: Int

    def residuals(self, weight: tuple[float, ...], factor: tuple[float, ...]) -> Residuals:
        """The residuals as a source of widths with these weights and factors."""
        offsets = tuple(tuple(float(value) for value in line) for line in self.offsets)
        return Residuals(weight, factor, tuple(int(knot) for knot in self.knots), offsets)

    def evidence(
        self, states: Sequence[str], references: Sequence[str], weight: float
    ) -> Evidence | None:
        """Losses of one state beside those of another.

        Args:
            states: The state in each block; weights for each channel count as those for all.
            references: What it is compared with in each block.
            weight: What one of their bootstrap blocks counts beside one of validation.

        Returns:
            The losses, NaN in blocks with a state that is not known here; ``None`` if that is so in
            all of them or none may count.
        """
        pairs = [
            (_ALIKE.get(a, a), _ALIKE.get(b, b)) for a, b in zip(states, references, strict=True)
        ]
        known = [a != b and a in STATES and b in STATES for a, b in pairs]
        if weight <= 0 or not any(known):
            return None
        ours, theirs = np.full((2, *self.losses.shape[1:]), np.nan)
        for block, (state, reference) in enumerate(pairs):
            if known[block]:
                ours[:, block] = self.losses[STATES.index(state), :, block]
                theirs[:, block] = self.losses[STATES.index(reference), :, block]
        return Evidence(ours, theirs, self.origin_time, weight)

    def by_stretch(self) -> list[Stretch]:
        """Sums over each stretch of training time."""
        pairs = zip(self.stretch_gram, self.stretch_moment, strict=True)
        return [Stretch(gram, moment) for gram, moment in pairs]

    def stretches(self, block: int) -> NDArray[np.float64]:
        """How many independent stretches of time speak for each horizon block. ``(blocks,)``."""
        gaps = np.diff(np.unique(self.origin_time))
        stride = math.ceil(2 * np.median(gaps)) if len(gaps) else 1  # longer ones: between folds
        known = ~np.isnan(self.losses[0])
        return independent_stretches(known, self.origin_time, block=block, stride=stride)

    def mixed_of(self, channel: str) -> NDArray[np.float64]:
        """Weights of a channel, those for all if it is unknown. Shape ``(K, blocks)``."""
        if channel in self.channels:
            return np.asarray(self.channel_mixed[self.channels.index(channel)])
        return self.mixed

    def scale_of(self, channel: str) -> NDArray[np.float64]:
        """Relative size of a channel's residuals, 1 for an unknown one. Shape ``(blocks,)``."""
        if channel in self.channels:
            return np.asarray(self.channel_scale[self.channels.index(channel)])
        return np.ones(self.channel_scale.shape[1])

    def summary(self) -> dict[str, Any]:
        """Weights, for people."""
        return {
            "season": self.season,
            "memory_alone": self.alone[0].tolist(),
            "mixed": dict(zip(CANDIDATES, self.mixed.tolist(), strict=True)),
            "channels": list(self.channels),
            "windows": len(self.origin_time),
        }

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything that is an array, to be saved; :meth:`from_tensors` reads it."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}

    @classmethod
    def from_tensors(
        cls, summary: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
    ) -> "OutOfFold":
        """Read what :meth:`summary` and :meth:`tensors` gave."""
        arrays = {name: tensors[name].numpy() for name in _ARRAYS}
        return cls(season=int(summary["season"]), channels=tuple(summary["channels"]), **arrays)


_ALIKE = {"channels": "naive"}
_ARRAYS = (
    "alone",
    "mixed",
    "channel_mixed",
    "stretch_gram",
    "stretch_moment",
    "knots",
    "offsets",
    "channel_scale",
    "losses",
    "origin_time",
)
