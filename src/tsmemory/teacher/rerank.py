"""Re-ranking a larger pool of neighbours by their contexts themselves (METHOD 1.4, step 2)."""

from dataclasses import dataclass

import numpy as np

from tsmemory.retrieval.datastore import Datastore
from tsmemory.series.series_set import Float, Int, SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.alignment import Alignment, align_futures, scale_ratio, window_std

_VALUES = 1 << 22  # of contexts that are compared at once


@dataclass(frozen=True)
class Rerank:
    """Of the nearest by key, keeps those whose aligned contexts differ least from the query's.

    Attributes:
        pool: K0, neighbours by key that are looked at.
        shift_length: m, the last points that contexts are shifted to agree on.
        alignment: ``shift`` to the query's level, or ``affine``, to its scale as well.
    """

    pool: int
    shift_length: int
    alignment: Alignment = "shift"

    def select(
        self,
        datastore: Datastore,
        windows: Windows,
        series: SeriesSet,
        position: Int,
        distance: Float,
        k: int,
    ) -> tuple[Int, Float]:
        """Keep ``k`` neighbours of each query's pool.

        Args:
            datastore: Where positions point.
            windows: The queries.
            series: The rows they lie on.
            position: Pools, nearest first, ``-1`` where fewer are admissible. Shape ``(B, K0)``.
            distance: Distances between keys, ``inf`` there. Shape ``(B, K0)``.
            k: Neighbours to keep, at most K0.

        Returns:
            Positions and distances between keys of those that are kept, nearest by key first. Both
            of shape ``(B, k)``.
        """
        count, pool = position.shape
        size = max(1, _VALUES // (pool * windows.context_length))
        kept = np.empty((count, k), np.int64)
        for first in range(0, count, size):
            part = slice(first, first + size)
            differing = self._difference(datastore, windows.take(part), series, position[part])
            best = np.argsort(differing, axis=1, kind="stable")[:, :k]
            kept[part] = np.sort(best, axis=1)
        return np.take_along_axis(position, kept, 1), np.take_along_axis(distance, kept, 1)

    def _difference(
        self, datastore: Datastore, windows: Windows, series: SeriesSet, position: Int
    ) -> Float:
        """Mean absolute difference of aligned contexts over the steps that both have.

        Returns:
            Shape ``(B, K0)``; ``inf`` where no neighbour is or no step is common, and absent
            neighbours after all others.
        """
        own = windows.contexts(series)
        row, start = datastore.neighbour_windows(position)
        stored = series.gather(row.ravel(), start.ravel(), windows.context_length)
        ratio = None
        if self.alignment == "affine":
            spread = window_std(stored).reshape(position.shape)
            ratio = scale_ratio(window_std(own)[:, None], spread)
        stored = stored.reshape(*position.shape, windows.context_length)
        m = self.shift_length
        apart = np.abs(align_futures(stored, stored[:, :, -m:], own[:, -m:], ratio) - own[:, None])
        common = ~np.isnan(apart)
        count = common.sum(axis=2)
        total = np.where(common, apart, 0).sum(axis=2, dtype=np.float64)
        differing = np.where(count > 0, total / np.maximum(count, 1), np.inf)
        return np.where(position >= 0, differing, np.inf).astype(np.float32)
