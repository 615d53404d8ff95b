"""The fusion while it is being chosen: its candidates, and what has been kept of them so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_parts import Channel, Naive
from tsmemory.memory.location_fit import (
    MixtureSums,
    independent_stretches,
    steadied,
)
from tsmemory.memory.out_of_fold import OutOfFold
from tsmemory.memory.width_fit import WidthWeights
from tsmemory.series.series_set import Int

Weights = NDArray[np.float64]  # of all candidates for the median, (K, blocks)

_SUM = 1 - 1e-9  # what weights are scaled to that rounding has brought above one


@dataclass(frozen=True)
class Mixture:
    """Candidates for the fusion, and the weights kept so far.

    Attributes:
        config: Blocks, gate and candidates.
        season: Steps in a season.
        training: What out-of-fold training windows say.
        alone: Weights of the memory without naive forecasts.
        mixed: Weights of all candidates.
        by_channel: The same for each channel.
        location: Weights kept for the median.
        channel_location: Weights kept for the median of each channel.
        widths: Shares and factors of memory and residuals in the spread.
    """

    config: FusionConfig
    season: int
    training: OutOfFold | None
    alone: Weights
    mixed: Weights
    by_channel: Mapping[str, Weights]
    location: Weights
    channel_location: Mapping[str, Weights] = field(default_factory=dict)
    widths: WidthWeights | None = None

    @classmethod
    def fit(
        cls,
        sums: MixtureSums,
        origin_time: Int,
        *,
        season: int,
        stride: int,
        config: FusionConfig,
        training: OutOfFold | None,
    ) -> "Mixture":
        """Find the weights of all candidates, shrunk towards those of training windows.

        Args:
            sums: Sums over validation windows.
            origin_time: Origin of each window. Shape ``(N,)``.
            season: Steps in a season.
            stride: Steps between consecutive origins of one row.
            config: Shrinkage and groups.
            training: What out-of-fold training windows say.

        Returns:
            The candidates; nothing is kept yet.
        """
        trust = np.ones(sums.known.shape[1])
        if training is not None:
            own_stretches = independent_stretches(
                sums.known, origin_time, block=config.block, stride=stride
            )
            others = config.training_weight * training.stretches(config.block)
            trust = own_stretches / np.maximum(own_stretches + others, 1e-9)

        def shrunk(own: Weights, prior: Weights | None) -> Weights:
            if prior is None:
                return own
            return trust * own + (1 - trust) * prior

        prior = None if training is None else training.mixed
        alone = shrunk(sums.alone(config.shrinkage), None if training is None else training.alone)
        mixed = shrunk(sums.mixed(config.shrinkage), prior)
        cut = np.ones(sums.known.shape[1])
        if training is not None:
            stretches = [sums.stretch(), *training.by_stretch()]
            kept = steadied(stretches, mixed, config.shrinkage)
            cut = kept[:-1].sum(axis=0) / np.maximum(mixed[:-1].sum(axis=0), 1e-12)
            mixed = kept
            alone = steadied(stretches, alone, config.shrinkage)
            alone[-1] = 0
        by_channel = {}
        if config.groups == "channel" and len(sums.channels) > 1:
            for number, name in enumerate(sums.channels):
                given = None if training is None else training.mixed_of(name)
                own = shrunk(sums.mixed(config.shrinkage, number), given)
                own = own * cut
                own[-1] = np.minimum(mixed[-1], 1 - own[:-1].sum(axis=0))
                by_channel[name] = (1 - config.shrinkage) * own + config.shrinkage * mixed
        nothing = np.zeros_like(mixed)
        return cls(config, season, training, alone, mixed, by_channel, nothing)

    def location_steps(self) -> dict[str, Fusion]:
        """Fusions of the median, each with more in it; the spread is the backbone's."""
        nothing = np.zeros_like(self.alone)
        steps = {"frozen": nothing, "memory": self.alone, "naive": self.mixed}
        if not self.mixed[1:].any():
            del steps["naive"]
        fusions = {name: self._fusion(weights) for name, weights in steps.items()}
        if self.by_channel:
            fusions["channels"] = self._fusion(self.mixed, self.by_channel)
        return fusions

    def keep_location(self, kept: Sequence[str]) -> "Mixture":
        """Keep what was shown to help, the name of a step for each block."""
        steps = {"frozen": np.zeros_like(self.alone), "memory": self.alone}
        steps |= {"naive": self.mixed, "channels": self.mixed}
        location = np.stack([steps[name][:, b] for b, name in enumerate(kept)], axis=1)
        own = np.array(kept) == "channels"
        by_channel = {
            name: np.where(own, weights, location) for name, weights in self.by_channel.items()
        }
        return replace(self, location=location, channel_location=by_channel if own.any() else {})

    def spread_basis(self) -> Fusion:
        """The median that is kept, with the backbone's spread."""
        return self._fusion(self.location, self.channel_location)

    def with_widths(self, widths: WidthWeights) -> "Mixture":
        """The same with sources of the spread, none of them kept yet."""
        return replace(self, widths=widths)

    def spread_steps(self) -> dict[str, Fusion]:
        """Fusions around the median that is kept, each with more in its spread."""
        if self.widths is None:
            raise ValueError("the sources of the spread are not known yet")
        none = np.zeros_like(self.widths.share)
        memory = none.copy()
        memory[0] = 1.0
        steps = {"backbone": none, "width_memory": memory, "width_residuals": self.widths.share}
        if np.allclose(self.widths.share, memory):
            del steps["width_residuals"]
        return {
            name: self._fusion(self.location, self.channel_location, share)
            for name, share in steps.items()
        }

    def finish(self, kept: Sequence[str], passed: Sequence[bool]) -> Fusion:
        """The fusion of what was kept, where the whole has passed.

        Args:
            kept: Name of the spread's step for each block.
            passed: Whether the guard lets the whole through, for each block.

        Returns:
            The fusion.
        """
        if self.widths is None:
            raise ValueError("the sources of the spread are not known yet")
        share = np.zeros_like(self.widths.share)
        for block, name in enumerate(kept):
            if name == "width_memory":
                share[0, block] = 1.0
            elif name == "width_residuals":
                share[:, block] = self.widths.share[:, block]
        on = np.array(passed, dtype=float)
        by_channel = {name: weights * on for name, weights in self.channel_location.items()}
        return self._fusion(self.location * on, by_channel, share * on)

    def _fusion(
        self,
        location: Weights,
        by_channel: Mapping[str, Weights] | None = None,
        share: NDArray[np.float64] | None = None,
    ) -> Fusion:
        """A fusion of these weights; what has none anywhere is left out."""
        blocks = location.shape[1]
        share = np.zeros((2, blocks)) if share is None else share
        factor = np.ones((2, blocks)) if self.widths is None else self.widths.factor
        channels = self._channels(location, by_channel or {}, bool(share[1].any()))
        location = _within_one(location)
        share = _within_one(share)
        naive = None
        if location[1:].any() or channels:
            naive = Naive.of(location[1:], self.season)
        residuals = None
        if share[1].any() and self.training is not None:
            residuals = self.training.residuals(_plain(share[1]), _plain(factor[1]))
        return Fusion(
            block=self.config.block,
            location=_plain(location[0]),
            spread=_plain(share[0]),
            factor=_plain(factor[0]),
            naive=naive,
            residuals=residuals,
            channels=channels,
            gate=self.config.gate,
        )

    def _channels(
        self, location: Weights, by_channel: Mapping[str, Weights], residuals: bool
    ) -> dict[str, Channel]:
        """Weights of channels that have their own, or residuals of their own size."""
        names = sorted(self.by_channel) if residuals or by_channel else ()
        channels = {}
        for name in names:
            weights = _within_one(by_channel.get(name, location))
            scale = np.ones(location.shape[1])
            if residuals and self.training is not None:
                scale = self.training.scale_of(name)
            channels[name] = Channel.of(weights, scale)
        return channels


def _within_one(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same weights, scaled down where rounding has brought their sum above one."""
    weights = weights.clip(0, 1)
    total = weights.sum(axis=0)
    return np.where(total > _SUM, weights / np.where(total > 0, total, 1.0), weights)


def _plain(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
