"""Keys: what windows are compared by (METHOD 1.2).

A key is a main part with optional features beside it, one part after another. Parts are made here,
by the same function for stored windows and for queries, and weighted by the scaler of the
datastore.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.series.grid import DAY, fixed_step
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows

Float = NDArray[np.float32]
KeyKind = Literal["embedding", "window", "tail"]

STATISTICS = 3  # mean, log std and slope
_SMALLEST_STD = 0.01  # of a tail in train z units; a constant one is as one that moves so little
_THURSDAY = 3  # of 1 January 1970, Monday being 0
_BLOCK = 1 << 14  # keys whose powers are summed at once, in float64


@dataclass(frozen=True)
class KeyConfig:
    """What windows are compared by.

    The squared distance between two keys is the mean of the squared distances between their parts,
    each in units of its own mean square, by weight; the main part has the weight 1.

    Attributes:
        kind: The main part: ``embedding`` (the backbone's), ``window`` (the instance-normalised
            context) or ``tail`` (the last points of that).
        tail_length: m, points of the tail, and of its statistics.
        phase_weight: Weight of sine and cosine of hour of day and day of week at the last context
            step, as far as the frequency has them; 0 leaves them out.
        statistics_weight: Weight of mean, log std and slope of the last m points; 0 leaves them
            out.
    """

    kind: KeyKind = "embedding"
    tail_length: int = 64
    phase_weight: float = 0.0
    statistics_weight: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether a key is the backbone's embedding and nothing else."""
        others = self.phase_weight > 0 or self.statistics_weight > 0
        return self.kind == "embedding" and not others

    @property
    def needs_tail(self) -> bool:
        """Whether ``tail_length`` has an effect."""
        return self.kind == "tail" or self.statistics_weight > 0


@dataclass(frozen=True)
class KeyPart:
    """Columns of a key that are scaled together.

    Attributes:
        width: Number of columns.
        weight: Weight of their squared distance.
    """

    width: int
    weight: float


def key_parts(config: KeyConfig, width: int, freq: str) -> tuple[KeyPart, ...]:
    """Parts of keys, in the order of their columns.

    Args:
        config: What windows are compared by.
        width: All columns of a key.
        freq: Step of the series, as pandas writes it.

    Returns:
        The parts. Hour and day share the weight of the phase, and the three statistics share
        theirs, since each is in a unit of its own.
    """
    extras: list[KeyPart] = []
    if config.phase_weight > 0:
        phases = sum(calendar_phases(freq))
        extras += [KeyPart(2, config.phase_weight / max(phases, 1))] * phases
    if config.statistics_weight > 0:
        extras += [KeyPart(1, config.statistics_weight / STATISTICS)] * STATISTICS
    return (KeyPart(width - sum(part.width for part in extras), 1.0), *extras)


def make_keys(
    config: KeyConfig, embeddings: Float | None, windows: Windows, series: SeriesSet
) -> Float:
    """Keys of windows, stored ones and queries alike.

    Args:
        config: What windows are compared by.
        embeddings: The backbone's embeddings, needed where they are the main part. ``(B, d)``.
        windows: The windows.
        series: The rows they lie on.

    Returns:
        Keys of shape ``(B, d')``, not yet scaled.

    Raises:
        ValueError: Embeddings are the main part, and there are none.
    """
    parts: list[Float] = []
    by_context = config.kind != "embedding" or config.statistics_weight > 0
    contexts = windows.contexts(series) if by_context else np.empty(0, np.float32)
    if config.kind != "embedding":
        normal = window_keys(contexts)
        parts.append(normal[:, -config.tail_length :] if config.kind == "tail" else normal)
    elif embeddings is None:
        raise ValueError("keys of the kind 'embedding' need the backbone's embeddings")
    else:
        parts.append(np.asarray(embeddings))
    if config.phase_weight > 0:
        parts.append(phase_features(windows, series))
    if config.statistics_weight > 0:
        parts.append(tail_statistics(contexts, config.tail_length))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def window_keys(contexts: Float) -> Float:
    """The instance-normalised contexts; missing steps count as the mean. Shape ``(B, L)``."""
    seen = ~np.isnan(contexts)
    count = np.maximum(seen.sum(axis=1, keepdims=True), 1)
    mean = np.where(seen, contexts, 0).sum(axis=1, keepdims=True) / count
    centred = np.where(seen, contexts - mean, 0)
    scale = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    return np.asarray(centred / np.where(scale > 0, scale, 1), dtype=np.float32)


def calendar_phases(freq: str) -> tuple[bool, bool]:
    """Whether steps of a frequency differ in the hour of the day, and in the day of the week."""
    step = fixed_step(freq)
    if not step:  # months, quarters, business days
        stamps = pd.date_range("2024-01-01", periods=16, freq=freq).as_unit("ns")
        step = int(np.diff(stamps.to_numpy().astype(np.int64)).min())
    return step < DAY, step < 7 * DAY


def phase_features(windows: Windows, series: SeriesSet) -> Float:
    """Sine and cosine of hour of day and day of week at the last context step.

    Returns:
        Array of shape ``(B, 4)``, or fewer columns where the frequency has no such phase.
    """
    stamps = series.timestamps(windows.row, windows.origin - 1)
    time = stamps.astype("datetime64[ns]").astype(np.int64)
    turns = (time % DAY / DAY, (time // DAY + _THURSDAY) % 7 / 7)
    columns = []
    for turn, known in zip(turns, calendar_phases(series.freq), strict=True):
        if known:
            columns += [np.sin(2 * np.pi * turn), np.cos(2 * np.pi * turn)]
    return np.array(columns, dtype=np.float32).reshape(len(columns), len(windows)).T


def tail_statistics(contexts: Float, length: int) -> Float:
    """Mean, log of the standard deviation, and least-squares slope a step of the last points.

    Args:
        contexts: Contexts in train z units, NaN where missing. Shape ``(B, L)``.
        length: m, points that are looked at.

    Returns:
        Array of shape ``(B, 3)``. Of a tail without an observed point nothing is known, so that the
        training mean and std, which are 0 and 1 in z units, stand in.
    """
    tail = contexts[:, -length:].astype(np.float64)
    seen = ~np.isnan(tail)
    count = np.maximum(seen.sum(axis=1, keepdims=True), 1)
    step = np.where(seen, np.arange(tail.shape[1]), 0)
    mean = np.where(seen, tail, 0).sum(axis=1, keepdims=True) / count
    centred = np.where(seen, tail - mean, 0)
    time = np.where(seen, step - step.sum(axis=1, keepdims=True) / count, 0)
    std = np.sqrt((centred**2).sum(axis=1) / count[:, 0])
    spread = (time**2).sum(axis=1)
    slope = (time * centred).sum(axis=1) / np.where(spread > 0, spread, 1)
    log_std = np.where(seen.any(axis=1), np.log(np.maximum(std, _SMALLEST_STD)), 0)
    return np.stack([mean[:, 0], log_std, slope], axis=1).astype(np.float32)


@dataclass(frozen=True)
class KeyScaler:
    """Centres keys and scales their parts, so that one temperature serves every kind.

    Each part is scaled to a mean square of its share of the weight, all together to 1. A part that
    is the same for all stored windows tells nothing, and its weight goes to the others.

    Attributes:
        mean: Mean key of the datastore. Shape ``(d,)``.
        scale: What each column is divided by. Shape ``(d,)``.
    """

    mean: Float
    scale: Float

    @classmethod
    def fit(cls, keys: Float, parts: tuple[KeyPart, ...]) -> "KeyScaler":
        """Fit on the keys of the datastore.

        Args:
            keys: Unscaled keys. Shape ``(n, d)``.
            parts: Widths and weights of their parts, which cover the ``d`` columns.

        Returns:
            The scaler.
        """
        blocks = [keys[first : first + _BLOCK] for first in range(0, len(keys), _BLOCK)]
        count = max(len(keys), 1)
        zero = np.zeros(keys.shape[1])
        mean = sum((block.sum(axis=0, dtype=np.float64) for block in blocks), zero) / count
        power = sum((((block - mean) ** 2).sum(axis=0) for block in blocks), zero) / count
        columns = list(_columns(parts))
        # What rounding leaves of a constant is not taken for a signal.
        power = np.where(power > 1e-12 * mean**2, power, 0)
        varying = [part.weight for part, where in columns if power[where].sum() > 0]
        scale = np.ones(keys.shape[1])
        for part, where in columns:
            if square := float(power[where].sum()):
                scale[where] = np.sqrt(square * sum(varying) / part.weight)
        return cls(mean=mean.astype(np.float32), scale=scale.astype(np.float32))

    def __call__(self, keys: Float) -> Float:
        """Scaled keys, shape ``(n, d)``."""
        return np.ascontiguousarray((keys - self.mean) / self.scale, dtype=np.float32)


@dataclass(frozen=True)
class ScaledKeys:
    """Keys of one group in its order, scaled when they are asked for, so that none is copied.

    Attributes:
        keys: Unscaled keys. Shape ``(n, d)``.
        order: Which of them belong to the group. Shape ``(m,)``.
        scaler: Their scaling.
    """

    keys: Float
    order: NDArray[np.int64]
    scaler: KeyScaler

    @property
    def shape(self) -> tuple[int, int]:
        """``(m, d)``."""
        return len(self.order), self.keys.shape[1]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, which: Any) -> Float:
        return self.scaler(self.keys[self.order[which]])


def _columns(parts: tuple[KeyPart, ...]) -> Iterator[tuple[KeyPart, slice]]:
    """Each part with its columns."""
    first = 0
    for part in parts:
        yield part, slice(first, first + part.width)
        first += part.width
