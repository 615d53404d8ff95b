"""The teacher's quantiles, formed from stored neighbours when they are needed (METHOD 1.4)."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from tsmemory.retrieval.datastore import Datastore
from tsmemory.series.series_set import Float, Int, SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.alignment import Alignment, align_futures, scale_ratio, window_std
from tsmemory.teacher.calibration import SpreadCalibration
from tsmemory.teacher.neighbours import Neighbours
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
        alignment: ``shift`` to the query's level, or ``affine``, to its scale as well.
        calibration: Factors on the spread; ``None`` leaves it as retrieved.
        device: Torch device that sorts the futures.
    """

    datastore: Datastore
    series: SeriesSet
    levels: tuple[float, ...]
    shift_length: int
    method: QuantileMethod
    alignment: Alignment = "shift"
    calibration: SpreadCalibration | None = None
    device: str = "cpu"

    @property
    def median(self) -> int:
        """Index of the median level, or of the nearest to it."""
        return int(np.argmin(np.abs(np.array(self.levels) - 0.5)))

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
        weights = torch.from_numpy(np.asarray(neighbours.weight)).to(self.device)
        values = torch.from_numpy(futures).to(self.device)
        formed = weighted_quantiles(values, weights, self.levels, self.method)
        quantiles = np.asarray(formed.cpu().numpy(), dtype=np.float32)
        if self.calibration is None:
            return quantiles
        return self.calibration.apply(quantiles, windows.calendar(self.series), self.median)

    def aligned_futures(
        self, windows: Windows, neighbours: Neighbours, horizon: int, *, before: int = 0
    ) -> Float:
        """Futures of the neighbours, each brought to the query's level, and scale if asked for.

        Args:
            windows: The queries, B of them.
            neighbours: Their neighbours.
            horizon: H.
            before: Steps of the neighbours' contexts to bring along, at most the context's length.

        Returns:
            Array of shape ``(B, K, before + H)`` in z units.
        """
        count, k = neighbours.position.shape
        row, start = self.datastore.neighbour_windows(neighbours.position.astype(np.int64))
        end = start + windows.context_length
        m = self.shift_length
        reach = max(m, before)
        both = self.series.gather(row.ravel(), (end - reach).ravel(), reach + horizon)
        both = both.reshape(count, k, reach + horizon)
        query_tail = self.series.gather(windows.row, windows.origin - m, m)
        ratio = self._scale_ratio(windows, neighbours) if self.alignment == "affine" else None
        shown, tails = both[:, :, reach - before :], both[:, :, reach - m : reach]
        return align_futures(shown, tails, query_tail, ratio)

    def _scale_ratio(self, windows: Windows, neighbours: Neighbours) -> Float:
        """Scale of each query over that of its neighbours, by whole contexts. Shape ``(B, K)``."""
        stored, inverse = np.unique(neighbours.position, return_inverse=True)
        row, start = self.datastore.neighbour_windows(stored.astype(np.int64))
        spread = window_std(self.series.gather(row, start, windows.context_length))
        own = window_std(windows.contexts(self.series))
        return scale_ratio(own[:, None], spread[inverse.reshape(neighbours.position.shape)])


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
        self._memory_limit = memory_limit
        self.confidence = neighbours.confidence
        shape = (len(windows), len(teacher.levels), windows.horizon)
        fits = 4 * int(np.prod(shape)) <= memory_limit
        self._kept = np.empty(shape, np.float32) if fits else None
        self._known = np.zeros(len(windows), bool)

    def __reduce__(self) -> tuple[Any, ...]:
        """What another process forms them from anew: it needs no index of the datastore."""
        store = replace(self._teacher.datastore, indexes=())
        teacher = replace(self._teacher, datastore=store)
        limited = partial(TeacherTargets, memory_limit=self._memory_limit)
        return limited, (teacher, self._windows, self._neighbours)

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
