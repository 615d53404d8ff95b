"""The unit that a memory works in: train z units of the series it was made from.

A backbone sees a context and no more. A memory also knows where contexts of a series usually lie,
so what it is given has to be in the unit that it learnt in. Series that it does not know, and those
that have since moved to where they never were, are taken as an average context at its series' mean.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.contexts import Real
from tsmemory.memory.instance_norm import context_scale
from tsmemory.series.series_set import Float, SeriesSet
from tsmemory.series.windows import Windows

logger = logging.getLogger(__name__)

_MOVED = 10.0  # training standard deviations: farther away, or wilder, a series is another one
_WINDOWS = 4096  # that tell the typical scale

Numbers = NDArray[np.float64]


class Unit(NamedTuple):
    """Contexts are ``level + scale * z``. Shapes ``(B,)``."""

    level: Numbers
    scale: Numbers

    def take(self, which: slice) -> "Unit":
        """Those of some contexts."""
        return Unit(self.level[which], self.scale[which])

    def reduce(self, values: Real) -> Float:
        """Contexts, or forecasts of them, in this unit. Shape ``(B, ...)``."""
        level, scale = self._like(values)
        return np.asarray((values.astype(np.float64) - level) / scale, dtype=np.float32)

    def restore(self, values: Float) -> Float:
        """What is in this unit in that of the contexts. Shape ``(B, ...)``."""
        level, scale = self._like(values)
        return np.asarray(values * scale + level, dtype=np.float32)

    def _like(self, values: Real) -> tuple[Numbers, Numbers]:
        shape = (-1, *[1] * (values.ndim - 1))
        return self.level.reshape(shape), self.scale.reshape(shape)


@dataclass(frozen=True)
class KnownSeries:
    """Training means and standard deviations of the series that a memory was made from.

    Attributes:
        item_id: Series of each of the R rows.
        channel: Channel of each row.
        mean: Training means, raw units. Shape ``(R,)``.
        std: Training standard deviations, raw units. Shape ``(R,)``.
        typical_scale: Standard deviation of a typical context, in that of its series.
        freq: Their step, if that is known.
    """

    item_id: tuple[str, ...]
    channel: tuple[str, ...]
    mean: Numbers
    std: Numbers
    typical_scale: float
    freq: str | None = None

    @classmethod
    def from_training(cls, series: SeriesSet, windows: Windows) -> "KnownSeries":
        """Take them from the rows, and the typical scale from some training windows."""
        chosen = windows.take(slice(None, None, max(1, len(windows) // _WINDOWS)))
        scale = context_scale(torch.from_numpy(chosen.contexts(series))).numpy()
        alive = scale[scale > 0]
        return cls(
            item_id=tuple(map(str, series.item_id)),
            channel=tuple(map(str, series.channel)),
            mean=series.mean,
            std=series.std,
            typical_scale=float(np.median(alive)) if len(alive) else 1.0,
            freq=series.freq,
        )

    def unit(
        self,
        contexts: Real,
        items: Sequence[Any] | NDArray[Any] | None = None,
        channels: Sequence[Any] | NDArray[Any] | None = None,
    ) -> Unit:
        """The unit that contexts are to be forecast in.

        Args:
            contexts: NaN where missing, at least one value in each row. Shape ``(B, L)``.
            items: Series of each context. Without them a memory of a single series takes contexts
                of known channels as that one's. Shape ``(B,)``.
            channels: Channel of each context. Without them no series is known. Shape ``(B,)``.

        Returns:
            Level and scale of each context.
        """
        mean, std = _moments(contexts)
        tiny = np.maximum(np.abs(mean), 1.0) * 1e-12
        unit = Unit(mean, np.where(std > tiny, std / self.typical_scale, 1.0))
        row = self._rows(items, channels, len(contexts))
        found = row >= 0
        if not found.any():
            return unit
        moved = self._moved(row, mean, std)
        if count := int((found & moved).sum()):
            logger.warning(
                "%d of %d contexts lie more than %g training standard deviations from where their "
                "series was in training; they are forecast as new series",
                count,
                len(contexts),
                _MOVED,
            )
        usual = found & ~moved
        level, scale = self.mean[row], self.std[row]
        return Unit(np.where(usual, level, unit.level), np.where(usual, scale, unit.scale))

    def knows(
        self,
        contexts: Real,
        items: Sequence[Any] | NDArray[Any] | None = None,
        channels: Sequence[Any] | NDArray[Any] | None = None,
    ) -> NDArray[np.bool_]:
        """Which contexts are of series that are known and are still where they were. ``(B,)``.

        The arguments are those of :meth:`unit`.
        """
        row = self._rows(items, channels, len(contexts))
        return np.asarray((row >= 0) & ~self._moved(row, *_moments(contexts)))

    def to_json(self) -> dict[str, Any]:
        """Plain values; :meth:`from_json` reads them."""
        return {
            "item_id": list(self.item_id),
            "channel": list(self.channel),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "typical_scale": self.typical_scale,
            "freq": self.freq,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "KnownSeries":
        """Read what :meth:`to_json` wrote."""
        mean, std = (np.array(value[name], dtype=np.float64) for name in ("mean", "std"))
        item_id, channel = (tuple(value[name]) for name in ("item_id", "channel"))
        scale = float(value["typical_scale"])
        return cls(item_id, channel, mean, std, scale, value.get("freq"))

    def _moved(self, row: NDArray[np.int64], mean: Numbers, std: Numbers) -> NDArray[np.bool_]:
        """Which contexts lie far from where their series was in training. Shape ``(B,)``."""
        level, scale = self.mean[row], self.std[row]
        return np.asarray((np.abs(mean - level) > _MOVED * scale) | (std > _MOVED * scale))

    def _rows(
        self,
        items: Sequence[Any] | NDArray[Any] | None,
        channels: Sequence[Any] | NDArray[Any] | None,
        count: int,
    ) -> NDArray[np.int64]:
        """Row of each context, -1 where it is not known. Shape ``(B,)``."""
        only = self.item_id[0] if len(set(self.item_id)) == 1 else None
        if channels is None or (items is None and only is None):
            return np.full(count, -1, dtype=np.int64)
        names = [only] * count if items is None else map(str, items)
        pairs = zip(names, map(str, channels), strict=True)
        return np.array([self._row_of.get(pair, -1) for pair in pairs], dtype=np.int64)

    @cached_property
    def _row_of(self) -> dict[tuple[str | None, str], int]:
        return {pair: row for row, pair in enumerate(zip(self.item_id, self.channel, strict=True))}


def _moments(contexts: Real) -> tuple[Numbers, Numbers]:
    """Mean and standard deviation of what was observed of each context. Shapes ``(B,)``."""
    gaps = bool(np.isnan(contexts).any())
    mean, std = (
        np.asarray(statistic(contexts, axis=1, dtype=np.float64))
        for statistic in ((np.nanmean, np.nanstd) if gaps else (np.mean, np.std))
    )
    return mean, std
