"""The linear skip: a closed-form ridge from the instance-normalised context to every step ahead.

One map serves all rows and all horizons (METHOD 1.5). Each window counts with its squared scale, so
that what is minimised is the squared error in train z units and not in the unit of the window: a
nearly constant window with one jump would otherwise outweigh all others. It is solved from sums
that add up over windows, so folds are left out by subtraction and memory does not grow with the
windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.instance_norm import bridge_gaps, instance_normalise
from tsmemory.series.series_set import Float, SeriesSet
from tsmemory.series.windows import Windows

_BATCH = 4096


@dataclass(frozen=True)
class Ridge:
    """``y = loc + scale * (z W + b)``.

    Attributes:
        weight: W, shape ``(L, H)``.
        bias: b, shape ``(H,)``.
        penalty: The ridge penalty it was solved with.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    penalty: float

    def predict(self, contexts: Float) -> Float:
        """Point forecasts in the unit of the contexts. Shape ``(B, H)``."""
        z, loc, scale = instance_normalise(torch.from_numpy(contexts))
        return np.asarray((loc + scale * (z @ self.weight + self.bias)).numpy())


@dataclass(frozen=True)
class RidgeSums:
    """Sufficient statistics of a weighted ridge regression; they add up over windows.

    Attributes:
        count: Sum of the windows' weights.
        x: Sum of contexts, shape ``(L,)``.
        y: Sum of targets, shape ``(H,)``.
        xx: Sum of context products, shape ``(L, L)``.
        xy: Sum of context-target products, shape ``(L, H)``.
    """

    count: float
    x: torch.Tensor
    y: torch.Tensor
    xx: torch.Tensor
    xy: torch.Tensor

    @classmethod
    def collect(cls, windows: Windows, series: SeriesSet) -> "RidgeSums":
        """Sum over windows, in the instance-normalised unit.

        Missing target steps are bridged, since a window with one missing step still informs the
        others; windows with a constant context are left out.
        """
        L, H = windows.context_length, windows.horizon
        total = cls.zero(L, H)
        for batch in windows.batches(_BATCH):
            z, loc, scale = instance_normalise(torch.from_numpy(batch.contexts(series)))
            alive = scale[:, 0] > 0
            target = torch.from_numpy(batch.targets(series))[alive]
            z, scale = z[alive], scale[alive]
            y = bridge_gaps(torch.cat([z, (target - loc[alive]) / scale], dim=1))[:, L:]
            weight = scale**2
            weighted = weight * z
            total += cls(
                count=float(weight.sum()),
                x=weighted.sum(dim=0).double(),
                y=(weight * y).sum(dim=0).double(),
                xx=(weighted.T @ z).double(),
                xy=(weighted.T @ y).double(),
            )
        return total

    @classmethod
    def zero(cls, context_length: int, horizon: int) -> "RidgeSums":
        """Sums over no window."""
        L, H = context_length, horizon
        shapes = ((L,), (H,), (L, L), (L, H))
        return cls(0.0, *(torch.zeros(shape, dtype=torch.float64) for shape in shapes))

    def __add__(self, other: "RidgeSums") -> "RidgeSums":
        return RidgeSums(
            self.count + other.count,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.xy + other.xy,
        )

    def __sub__(self, other: "RidgeSums") -> "RidgeSums":
        return RidgeSums(
            self.count - other.count,
            self.x - other.x,
            self.y - other.y,
            self.xx - other.xx,
            self.xy - other.xy,
        )

    def solve(self, penalties: Sequence[float]) -> list[Ridge]:
        """Solve for each penalty from one eigendecomposition; the bias is not penalised."""
        n = max(self.count, 1e-12)
        mean_x, mean_y = self.x / n, self.y / n
        covariance = self.xx - n * torch.outer(mean_x, mean_x)
        cross = self.xy - n * torch.outer(mean_x, mean_y)
        values, vectors = torch.linalg.eigh(covariance)
        rotated = vectors.T @ cross
        solved = []
        for penalty in penalties:
            weight = vectors @ (rotated / (values.clamp_min(0) + penalty)[:, None])
            bias = mean_y - mean_x @ weight
            solved.append(Ridge(weight.float(), bias.float(), float(penalty)))
        return solved


def fit_ridge(
    train: Windows, validation: Windows, series: SeriesSet, penalties: Sequence[float]
) -> tuple[Ridge, dict[str, float]]:
    """Fit on training windows; the penalty is the one with the least validation MSE.

    Args:
        train: Windows wholly inside the training split.
        validation: Windows whose targets lie in the validation split.
        series: The rows they lie on.
        penalties: Penalties to try.

    Returns:
        The chosen ridge, and the validation MSE (z units) of every penalty.
    """
    candidates = RidgeSums.collect(train, series).solve(penalties)
    errors = validation_errors(candidates, validation, series)
    best = int(np.argmin(errors))
    table = {f"{c.penalty:g}": float(e) for c, e in zip(candidates, errors, strict=True)}
    return candidates[best], table


def validation_errors(
    candidates: Sequence[Ridge], windows: Windows, series: SeriesSet
) -> np.ndarray:
    """Mean squared error of each candidate over the known target steps, in z units."""
    total, count = np.zeros(len(candidates)), 0
    for batch in windows.batches(_BATCH):
        contexts, target = batch.contexts(series), batch.targets(series)
        known = ~np.isnan(target)
        count += int(known.sum())
        for number, candidate in enumerate(candidates):
            error = np.where(known, candidate.predict(contexts) - target, 0)
            total[number] += float(np.square(error, dtype=np.float64).sum())
    return total / max(count, 1)


def blocked_folds(windows: Windows, series: SeriesSet, folds: int) -> list[np.ndarray]:
    """Split windows into consecutive stretches of the calendar.

    Returns:
        For each fold, the positions of its windows, in calendar order.
    """
    calendar = windows.calendar(series)
    edges = np.quantile(calendar, np.linspace(0, 1, folds + 1))
    fold = np.clip(np.searchsorted(edges, calendar, side="right") - 1, 0, folds - 1)
    return [np.flatnonzero(fold == number) for number in range(folds)]


def out_of_fold_ridges(
    fit: Windows, queries: Windows, series: SeriesSet, *, penalty: float, folds: int
) -> list[tuple[np.ndarray, Ridge]]:
    """One ridge for each stretch of queries, solved without the windows that overlap it.

    Args:
        fit: Windows to fit on.
        queries: Windows to be predicted by a ridge that has not seen their steps.
        series: The rows.
        penalty: Ridge penalty.
        folds: Number of stretches.

    Returns:
        For each fold the positions of its queries and their ridge. A fold that would leave fewer
        windows than a tenth is omitted.
    """
    total = RidgeSums.collect(fit, series)
    result = []
    for members in blocked_folds(queries, series, folds):
        if len(members) == 0:
            continue
        known = overlapping(fit, queries.take(members), series)
        if (~known).sum() < len(fit) / 10:
            continue
        rest = total - RidgeSums.collect(fit.take(np.flatnonzero(known)), series)
        result.append((members, rest.solve([penalty])[0]))
    return result


def overlapping(fit: Windows, stretch: Windows, series: SeriesSet) -> NDArray[np.bool_]:
    """Which windows share a step of the calendar with a stretch of others, or lie among them.

    Args:
        fit: N windows.
        stretch: Windows of one stretch of time.
        series: The rows.

    Returns:
        Shape ``(N,)``.
    """
    span = fit.context_length + fit.horizon
    calendar, taken = fit.calendar(series), stretch.calendar(series)
    inside = (calendar > taken.min() - span) & (calendar < taken.max() + span)
    return np.asarray(inside)
