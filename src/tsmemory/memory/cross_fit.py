"""Training windows as they look from outside: by ridges and long-run levels that do not know them.

What is fitted on a window forecasts it too well, and a series' mean over a stretch of time that
holds the window tells where the window is going. Weights, widths and corrections that are learnt
from such forecasts trust them too much. So training time is cut into stretches, and each window is
seen through a ridge and through means that come from the other stretches.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.instance_norm import Normalised, instance_normalise
from tsmemory.memory.ridge import Ridge, out_of_fold_ridges, overlapping
from tsmemory.memory.split import Split
from tsmemory.series.series_set import Float, Int, SeriesSet
from tsmemory.series.windows import Windows

_NAMES = ("fold", "weight", "bias", "level", "has_past")


@dataclass(frozen=True)
class CrossFit:
    """A ridge and long-run levels for each stretch of training time, made without it.

    Attributes:
        fold: Stretch of each of the N training windows; -1 where nothing was left to fit on.
            Shape ``(N,)``.
        weight: Ridge weights of each stretch. Shape ``(F, L, H)``.
        bias: Ridge biases. Shape ``(F, H)``.
        level: Mean of each row before the stretch, as it will be known when forecasting, in train z
            units; after it where nothing lies before. Shape ``(F, R)``.
        has_past: Whether anything lies before the stretch. Shape ``(F,)``.
    """

    fold: Int
    weight: torch.Tensor
    bias: torch.Tensor
    level: Float
    has_past: NDArray[np.bool_]

    @classmethod
    def fit(
        cls, fit: Windows, queries: Windows, series: SeriesSet, *, penalty: float, folds: int
    ) -> "CrossFit | None":
        """Solve a ridge for each stretch.

        Args:
            fit: Windows to fit on.
            queries: The N training windows.
            series: The rows.
            penalty: Ridge penalty.
            folds: Number of stretches.

        Returns:
            The ridges and levels; ``None`` where the training split is too short to leave any
            stretch out.
        """
        fold = np.full(len(queries), -1, dtype=np.int64)
        ridges: list[Ridge] = []
        levels: list[Float] = []
        has_past: list[bool] = []
        for members, ridge in out_of_fold_ridges(
            fit, queries, series, penalty=penalty, folds=folds
        ):
            fold[members] = len(ridges)
            stretch = queries.take(members)
            others = ~overlapping(fit, stretch, series)
            before = others & (fit.calendar(series) < stretch.calendar(series).min())
            ridges.append(ridge)
            has_past.append(bool(before.any()))
            chosen = np.flatnonzero(before if before.any() else others)
            levels.append(row_means(fit.take(chosen), series))
        if not ridges:
            return None
        weight, bias = (
            torch.stack([getattr(ridge, name) for ridge in ridges]) for name in ("weight", "bias")
        )
        return cls(fold, weight, bias, np.stack(levels), np.array(has_past))

    def members(self, most: int | None = None) -> list[Int]:
        """Positions of the windows of each stretch.

        Args:
            most: Only every so-and-so-many-th, so that at most about so many are left.
        """
        every = 1 if most is None else max(1, -(-int((self.fold >= 0).sum()) // max(most, 1)))
        return [np.flatnonzero(self.fold == number)[::every] for number in range(len(self.weight))]

    def take(self, which: Int) -> "CrossFit":
        """The same for some of the windows."""
        return replace(self, fold=self.fold[which])

    def levels(self, which: Int, rows: Int) -> torch.Tensor:
        """Long-run levels of windows, 0 where they have none of their own.

        Args:
            which: Positions of windows. Shape ``(B,)``.
            rows: Their rows. Shape ``(B,)``.

        Returns:
            Shape ``(B, 1)``.
        """
        fold = self.fold[which]
        found = np.where(fold >= 0, self.level[fold.clip(0), rows], 0.0)
        return torch.from_numpy(found.astype(np.float32))[:, None]

    def ahead(self, which: Int, normal: Normalised, own: Ridge) -> torch.Tensor:
        """What the ridges say, in the instance-normalised unit.

        Args:
            which: Positions of windows. Shape ``(B,)``.
            normal: Their contexts.
            own: The ridge for windows that have none.

        Returns:
            Shape ``(B, H)``.
        """
        fold = self.fold[which]
        found = torch.empty(len(which), self.bias.shape[1])
        for number in np.unique(fold):
            mine = torch.from_numpy(np.flatnonzero(fold == number))
            weight, bias = own.weight, own.bias
            if number >= 0:
                weight, bias = self.weight[number], self.bias[number]
            found[mine] = torch.addmm(bias, normal.values[mine], weight)
        return found

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything, to be saved; :meth:`from_tensors` reads it."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _NAMES}
        return {f"cross_fit.{name}": torch.as_tensor(a) for name, a in arrays.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> "CrossFit | None":
        """Read what :meth:`tensors` gave; ``None`` if there is nothing."""
        if "cross_fit.fold" not in tensors:
            return None
        fold, weight, bias, level, past = (tensors[f"cross_fit.{name}"] for name in _NAMES)
        return cls(fold.numpy(), weight, bias, level.numpy(), past.numpy())


class Outside(NamedTuple):
    """Windows as they look from outside, levels counted from the long-run ones.

    Attributes:
        contexts: NaN where missing. Shape ``(B, L)``.
        target: NaN where unknown. Shape ``(B, H)``.
        quantiles: The backbone's. Shape ``(B, Q, H)``.
        keys: The backbone's embeddings. Shape ``(B, d)``.
        level: What was taken off. Shape ``(B, 1)``.
        normal: The contexts' instance norm.
        ahead: What the ridges say, in the instance-normalised unit. Shape ``(B, H)``.
        channels: Channel of each window. Shape ``(B,)``.
    """

    contexts: torch.Tensor
    target: torch.Tensor
    quantiles: torch.Tensor
    keys: torch.Tensor
    level: torch.Tensor
    normal: Normalised
    ahead: torch.Tensor
    channels: NDArray[np.str_]


def look_from_outside(split: Split, which: Int, cross_fit: CrossFit, own: Ridge) -> Outside:
    """Take training windows and look at them through what does not know them.

    Args:
        split: Training windows.
        which: Positions of the B windows wanted.
        cross_fit: Ridges and levels.
        own: The ridge of windows that have none.
    """
    part = split.take(which)
    contexts, target, quantiles, keys = part.tensors()
    level = cross_fit.levels(which, part.windows.row)
    contexts, target, quantiles = contexts - level, target - level, quantiles - level[:, None]
    normal = instance_normalise(contexts)
    ahead = cross_fit.ahead(which, normal, own)[:, : target.shape[1]]
    return Outside(contexts, target, quantiles, keys, level, normal, ahead, part.channels())


def row_means(windows: Windows, series: SeriesSet) -> Float:
    """Mean of the steps that windows of each row lie on, 0 for rows without any.

    Args:
        windows: Windows; a step counts as often as they touch it with their first target step.
        series: The R rows.

    Returns:
        Shape ``(R,)``.
    """
    rows = len(series.length)
    first = series.flat[series.offset[windows.row] + windows.origin]
    known = ~np.isnan(first)
    total = np.bincount(windows.row[known], weights=first[known], minlength=rows)
    count = np.bincount(windows.row[known], minlength=rows)
    return np.asarray(total / np.maximum(count, 1), dtype=np.float32)
