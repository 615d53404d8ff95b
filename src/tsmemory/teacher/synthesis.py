"""The teacher's quantiles, formed from stored neighbours when they are needed (METHOD 1.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tsmemory.retrieval.datastore import Datastore
from tsmemory.series.series_set import Float, Int, SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.neighbours import Neighbours, query_batches
from tsmemory.teacher.quantiles import QuantileMethod, weighted_quantiles


@dataclass(frozen=True)
class Teacher:
    """Turns neighbours into quantile targets, batch by batch and for any horizon.

    Attributes:
        datastore: Where the neighbours' positions point.
        series: The rows that windows lie on.
        levels: Quantile levels.
        shift_length: m, the last points that a neighbour is shifted to agree on.
        method: Definition of the weighted quantile.
    """

    datastore: Datastore
    series: SeriesSet
    levels: tuple[float, ...]
    shift_length: int
    method: QuantileMethod

    def quantiles(self, windows: Windows, neighbours: Neighbours, horizon: int) -> Float:
        """Teacher quantiles of queries.

        Args:
            windows: The queries, B of them.
            neighbours: Their neighbours.
            horizon: H.

        Returns:
            Quantiles in z units, NaN where no neighbour is admissible. Shape ``(B, Q, H)``.
        """
        futures = self.aligned_futures(windows, neighbours, horizon)
        weights = torch.from_numpy(np.asarray(neighbours.weight))
        quantiles = weighted_quantiles(torch.from_numpy(futures), weights, self.levels, self.method)
        return np.asarray(quantiles.numpy(), dtype=np.float32)

    def aligned_futures(self, windows: Windows, neighbours: Neighbours, horizon: int) -> Float:
        """Futures of the neighbours, each shifted to the query's level on the last ``m`` points.

        Returns:
            Array of shape ``(B, K, H)`` in z units.
        """
        count, k = neighbours.position.shape
        row, start = self.datastore.neighbour_windows(neighbours.position.astype(np.int64))
        end = start + windows.context_length
        m = self.shift_length
        both = self.series.gather(row.ravel(), (end - m).ravel(), m + horizon)
        both = both.reshape(count, k, m + horizon)
        query_tail = self.series.gather(windows.row, windows.origin - m, m)
        # Without an observed point on either side there is nothing to agree on, hence no shift.
        shift = np.nan_to_num(_mean(query_tail)[:, None] - _mean(both[:, :, :m]))
        return np.asarray(both[:, :, m:] + shift[:, :, None], dtype=np.float32)


class TeacherTargets:
    """The teacher's quantiles of a set of queries, formed when first asked for.

    They are kept in memory while they fit, so that later epochs and seeds do not form them again;
    nothing is written to disk.
    """

    def __init__(
        self,
        teacher: Teacher,
        windows: Windows,
        neighbours: Neighbours,
        *,
        memory_limit: int = 1 << 30,
    ) -> None:
        """Prepare for queries.

        Args:
            teacher: Forms the quantiles.
            windows: The queries, N of them.
            neighbours: Their neighbours.
            memory_limit: Bytes that may be kept; above it quantiles are formed each time.
        """
        self._teacher, self._windows, self._neighbours = teacher, windows, neighbours
        self.confidence = neighbours.confidence
        shape = (len(windows), len(teacher.levels), windows.horizon)
        fits = 4 * int(np.prod(shape)) <= memory_limit
        self._kept = np.empty(shape, np.float32) if fits else None
        self._known = np.zeros(len(windows), bool)

    def quantiles(self, which: Int) -> Float:
        """Teacher quantiles of the chosen queries, in z units. Shape ``(B, Q, H)``."""
        if self._kept is None:
            return self._form(which)
        missing = which[~self._known[which]]
        if len(missing):
            self._kept[missing] = self._form(missing)
            self._known[missing] = True
        return np.asarray(self._kept[which])

    def _form(self, which: Int) -> Float:
        queries = self._windows.take(which)
        return self._teacher.quantiles(queries, self._neighbours.take(which), self._windows.horizon)


def describe_teacher(
    teacher: Teacher,
    windows: Windows,
    neighbours: Neighbours,
    *,
    horizons: Sequence[int],
    sample: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Error and coverage of the teacher on (a sample of) its queries.

    Args:
        teacher: The teacher.
        windows: The queries.
        neighbours: Their neighbours.
        horizons: Horizons to report.
        sample: At most this many queries are looked at.
        rng: Draws the sample.

    Returns:
        Mean absolute error (z units) and coverage of the outermost band, by horizon, with the
        neighbours' own summary.
    """
    chosen = np.sort(rng.permutation(len(windows))[:sample])
    error, inside, count = (np.zeros(max(horizons)) for _ in range(3))
    median = int(np.argmin(np.abs(np.array(teacher.levels) - 0.5)))
    for part in query_batches(len(chosen), 512):
        queries = windows.take(chosen[part])
        forecast = teacher.quantiles(queries, neighbours.take(chosen[part]), max(horizons))
        target = queries.targets(teacher.series, max(horizons))
        known = ~np.isnan(target) & ~np.isnan(forecast[:, median])
        error += np.where(known, np.abs(target - forecast[:, median]), 0).sum(axis=0)
        band = (target >= forecast[:, 0]) & (target <= forecast[:, -1])
        inside += (known & band).sum(axis=0)
        count += known.sum(axis=0)
    band_name = f"coverage_{teacher.levels[0]:g}_{teacher.levels[-1]:g}"
    return {
        **neighbours.summary(),
        "queries_looked_at": len(chosen),
        "by_horizon": {
            str(h): {
                "mae": float(error[:h].sum() / max(count[:h].sum(), 1)),
                band_name: float(inside[:h].sum() / max(count[:h].sum(), 1)),
            }
            for h in horizons
        },
    }


def _mean(values: Float) -> Float:
    """Mean over the last axis of the observed values, NaN where none is."""
    seen = ~np.isnan(values)
    total, count = np.where(seen, values, 0).sum(axis=-1, dtype=np.float64), seen.sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
