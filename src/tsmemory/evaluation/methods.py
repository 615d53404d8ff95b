"""The rows of every table: forecasters of one batch of windows (METHOD 1.8).

Each method turns a :class:`Split` of B windows into quantiles ``(B, Q, H)`` in z units. What they
need to be fitted is fitted on training or validation windows, never on the test split.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_fit import Part, fit_location
from tsmemory.memory.instance_norm import instance_normalise
from tsmemory.memory.profiles import Adapter
from tsmemory.memory.split import BATCH, Split, evenly
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.embargo import Embargo
from tsmemory.series.series_set import Float
from tsmemory.teacher.neighbours import find_neighbours
from tsmemory.teacher.rerank import Rerank
from tsmemory.teacher.synthesis import Teacher

Method = Callable[[Split], Float]
Point = Callable[[Float], Float]  # contexts (B, L) -> forecasts (B, H)

_FIT_WINDOWS = 4096  # validation windows that baselines are calibrated on


def frozen(split: Split) -> Float:
    """The backbone as it is."""
    return np.asarray(split.forecasts.quantiles, dtype=np.float32)


@dataclass(frozen=True)
class Fused:
    """The memory fused with the backbone.

    Attributes:
        adapter: The memory adapter.
        fusion: Its fusion weights.
    """

    adapter: Adapter
    fusion: Fusion

    @torch.inference_mode()
    def __call__(self, split: Split) -> Float:
        """Fused quantiles. Shape ``(B, Q, H)``."""
        contexts, _, quantiles, keys = split.tensors()
        memory = self.adapter(contexts, quantiles, keys)
        median, channels = self.adapter.config.median, split.channels()
        return self.fusion.apply(quantiles, memory, median, contexts, channels).numpy()


@dataclass(frozen=True)
class PointWithSpread:
    """A point forecast with the quantiles of its own validation errors around it.

    Errors are taken in units of the context's scale, by channel and horizon block, so that a naive
    forecast gets as fair a band as its errors allow. The point forecast stays the median.

    Attributes:
        point: The point forecast.
        offsets: Distance of each level from the median. Shape ``(channels, blocks, Q)``.
        channels: Channel names, in the order of ``offsets``.
        block: Steps in a block.
    """

    point: Point
    offsets: NDArray[np.float32]
    channels: NDArray[np.str_]
    block: int

    @classmethod
    def fit(cls, point: Point, validation: Split, block: int) -> "PointWithSpread":
        """Take the errors of (a sample of) validation windows."""
        sample = validation.windows.take(evenly(len(validation.windows), _FIT_WINDOWS))
        contexts, target = sample.contexts(validation.series), sample.targets(validation.series)
        scale = _scale(contexts)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where(scale > 0, (target - point(contexts)) / scale, np.nan)
        names = validation.series.channel.astype(str)
        channels = np.unique(names)
        code = np.searchsorted(channels, names[sample.row])
        levels = np.array(validation.forecasts.levels)
        blocks = -(-sample.horizon // block)
        offsets = np.zeros((len(channels), blocks, len(levels)), np.float32)
        for channel in range(len(channels)):
            for number in range(blocks):
                part = error[code == channel, number * block : (number + 1) * block]
                part = part[~np.isnan(part)]
                if len(part):
                    offsets[channel, number] = np.quantile(part, levels)
        below, above = np.minimum(offsets, 0), np.maximum(offsets, 0)
        offsets = np.where(levels < 0.5, below, np.where(levels > 0.5, above, 0))
        return cls(point, offsets.astype(np.float32), channels, block)

    def __call__(self, split: Split) -> Float:
        """Quantiles around the point forecast. Shape ``(B, Q, H)``."""
        contexts = split.windows.contexts(split.series)
        names = split.series.channel.astype(str)[split.windows.row]
        offsets = self.offsets[np.searchsorted(self.channels, names)]  # (B, blocks, Q)
        steps = np.repeat(offsets, self.block, axis=1)[:, : split.windows.horizon]
        band = steps.transpose(0, 2, 1) * _scale(contexts)[:, :, None]
        return np.asarray(self.point(contexts)[:, None] + band, dtype=np.float32)


@dataclass(frozen=True)
class OnlineKnn:
    """Retrieval at inference, fused with the backbone (what RAFT and TS-RAG do).

    Attributes:
        datastore: Stored training windows, searched for every forecast.
        teacher: Forms quantiles from neighbours.
        k: Neighbours.
        temperature: tau of the weights.
        embargo: As for the teacher.
        rerank: As for the teacher.
        location: Fusion weight of each horizon block, fitted on validation.
        block: Steps in a block.
    """

    datastore: Datastore
    teacher: Teacher
    k: int
    temperature: float
    embargo: Embargo
    rerank: Rerank | None = None
    location: tuple[float, ...] = ()
    block: int = 24

    def fit(self, validation: Split, config: FusionConfig) -> "OnlineKnn":
        """Choose the fusion weights on (a sample of) validation windows."""
        sample = validation.take(evenly(len(validation.windows), _FIT_WINDOWS))

        def parts() -> list[Part]:
            found = []
            for first in range(0, len(sample.windows), BATCH):
                batch = sample.take(slice(first, first + BATCH))
                _, target, quantiles, _ = batch.tensors()
                found.append(Part(target, quantiles, torch.from_numpy(self.retrieved(batch))))
            return found

        median = validation.forecasts.levels.index(0.5)
        location = fit_location(
            parts, block=config.block, median=median, shrinkage=config.shrinkage
        )
        return replace(self, location=location, block=config.block)

    def retrieved(self, split: Split) -> Float:
        """Quantiles of the retrieved futures, the backbone's where there is no neighbour."""
        neighbours = find_neighbours(
            self.datastore,
            split.forecasts.keys,
            split.windows,
            split.series,
            k=self.k,
            k_min=1,
            temperature=self.temperature,
            embargo=self.embargo,
            shard_size=len(split.windows),
            rerank=self.rerank,
            device=self.teacher.device,
        )
        found = self.teacher.quantiles(split.windows, neighbours, split.windows.horizon)
        return np.where(np.isnan(found), split.forecasts.quantiles, found)

    def __call__(self, split: Split) -> Float:
        """Retrieved quantiles fused with the backbone's. Shape ``(B, Q, H)``."""
        fusion = Fusion(self.block, self.location, self.location, (1.0,) * len(self.location))
        quantiles = torch.from_numpy(np.array(split.forecasts.quantiles))
        median = split.forecasts.levels.index(0.5)
        return fusion.apply(quantiles, torch.from_numpy(self.retrieved(split)), median).numpy()


def _scale(contexts: Float) -> Float:
    """Standard deviation of each context. Shape ``(B, 1)``."""
    return instance_normalise(torch.from_numpy(contexts)).scale.numpy()
