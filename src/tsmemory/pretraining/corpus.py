"""The synthetic corpus: a stream of windows that a seed determines, batch by batch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from tsmemory.pretraining import augment
from tsmemory.pretraining.draws import Draws, standardise
from tsmemory.pretraining.families import FAMILIES

_FAR = 20.0  # targets further away than this, in context standard deviations, are cut off


class Batch(NamedTuple):
    """Windows to learn from: contexts ``(B, L)`` and targets ``(B, H)``, NaN where missing."""

    contexts: Tensor
    targets: Tensor


@dataclass(frozen=True)
class CorpusConfig:
    """What the corpus is made of.

    Attributes:
        families: Share of each family of :data:`~tsmemory.pretraining.families.FAMILIES`.
        contexts: Share of each context length; within one, a part of the rows is shorter still.
        horizon: Steps of target.
        mixed: Share of series that are mixtures of two or three.
        warped: Share that is resampled or bent in time.
        bent: Share with a response that is not linear.
        slowed: Share that follows with inertia.
        censored: Share that is cut off.
        disturbed: Share with spikes, and share rounded to a grid.
        incomplete: Share with missing steps, and share with missing stretches.
        shortened: Share whose context is shorter than the batch's.
        chunk: Series made at once; they serve ``chunk / batch`` batches of one context length.
    """

    families: dict[str, float] = field(
        default_factory=lambda: {
            "calendar": 0.46,
            "quasi_periodic": 0.14,
            "autoregressive": 0.16,
            "wandering": 0.08,
            "counts": 0.06,
            "machines": 0.10,
        }
    )
    contexts: dict[int, float] = field(
        default_factory=lambda: {2048: 0.08, 1024: 0.14, 512: 0.48, 256: 0.18, 128: 0.12}
    )
    horizon: int = 720
    mixed: float = 0.35
    warped: float = 0.12
    bent: float = 0.12
    slowed: float = 0.10
    censored: float = 0.08
    disturbed: float = 0.10
    incomplete: float = 0.10
    shortened: float = 0.20
    chunk: int = 1024


def draw_series(config: CorpusConfig, draws: Draws, n: int, length: int) -> Tensor:
    """Draw whole series. Shape ``(n, length)``, each of unit variance, nothing missing."""
    share = torch.tensor(list(config.families.values()))
    number = torch.floor(share / share.sum() * n).long()
    number[0] += n - number.sum()
    parts = [
        standardise(FAMILIES[name](draws, int(count), length))
        for name, count in zip(config.families, number, strict=True)
        if count
    ]
    series = torch.cat(parts)[torch.randperm(n, generator=draws.generator, device=draws.device)]
    series = augment.bend_values(draws, series, config.bent)
    series = augment.follow_slowly(draws, series, config.slowed)
    series = augment.mix(draws, series, config.mixed)
    series = augment.warp_time(draws, series, config.warped)
    series = augment.censor(draws, standardise(series), config.censored)
    series = augment.disturb(draws, series, config.disturbed)
    sign = torch.where(draws.chance(0.15, n, 1), -1.0, 1.0)
    return series * sign


def draw_windows(config: CorpusConfig, draws: Draws, n: int, context_length: int) -> Batch:
    """Draw windows of one context length, in units of each context's standard deviation.

    Args:
        config: What they are made of.
        draws: The stream they come from.
        n: How many.
        context_length: L.

    Returns:
        Contexts ``(n, L)`` and targets ``(n, H)``. Targets are cut off far from the context, so
        that a single runaway series does not outweigh a batch; the quantiles that are learnt do
        not reach that far.
    """
    series = draw_series(config, draws, n, context_length + config.horizon)
    contexts, targets = series[:, :context_length], series[:, context_length:]
    contexts = augment.lose(draws, contexts, config.incomplete)
    contexts = _shorten(draws, contexts, config.shortened)
    mean = contexts.nanmean(dim=1, keepdim=True)
    std = (contexts - mean).square().nanmean(dim=1, keepdim=True).sqrt()
    usable = (std > 1e-4)[:, 0]
    contexts, targets = (contexts - mean) / std, (targets - mean) / std
    targets = augment.lose(draws, targets.clamp(-_FAR, _FAR), config.incomplete / 4)
    return Batch(contexts[usable], targets[usable])


def stream_batches(
    config: CorpusConfig, seed: int, batch: int, *, first: int = 0, device: str = "cpu"
) -> Iterator[Batch]:
    """Yield batches without end.

    A chunk depends on the seed and its number alone: the stream can be taken up at any batch.

    Args:
        config: What the corpus is made of.
        seed: Which corpus.
        batch: Windows in a batch; ``config.chunk`` is a multiple of it.
        first: Number of the first batch.
        device: Where the batches are made.

    Yields:
        Batches; the last of a chunk is slightly smaller where contexts came out constant. Where
        none is left for it, the chunk's first windows come again, so that every chunk has as many
        batches and a batch's number tells its content.
    """
    each = config.chunk // batch
    lengths, shares = list(config.contexts), list(config.contexts.values())
    chunk = first // each
    skip = first % each
    while True:
        draws = Draws(chunk_seed(seed, chunk), device)
        length = lengths[int(draws.choice(shares, 1))]
        windows = draw_windows(config, draws, config.chunk, length)
        while not len(windows.contexts):
            windows = draw_windows(config, draws, config.chunk, length)
        for part in range(skip, each):
            begin = part * batch if part * batch < len(windows.contexts) else 0
            piece = slice(begin, begin + batch)
            yield Batch(windows.contexts[piece], windows.targets[piece])
        chunk, skip = chunk + 1, 0


def chunk_seed(seed: int, chunk: int) -> int:
    """Seed of one chunk, far from those of its neighbours (SplitMix64; Steele et al. 2014)."""
    mask = (1 << 64) - 1
    value = (seed * 0x9E3779B97F4A7C15 + (chunk + 1) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return (value ^ (value >> 31)) >> 1


def _shorten(draws: Draws, contexts: Tensor, share: float) -> Tensor:
    """Some contexts begin later: what came before is unknown. Shape ``(n, L)``."""
    n, length = contexts.shape
    shortest = math.log2(16 / length)
    keep = length * 2 ** draws.uniform(shortest, 0, n, 1)
    keep = torch.where(draws.chance(share, n, 1), keep, torch.full_like(keep, length))
    early = torch.arange(length, device=contexts.device) < length - keep
    return torch.where(early, torch.nan, contexts)
