"""The teacher's advantage over the backbone, predicted out of fold (METHOD 1.6, gates).

The realised advantage of a training window looks at the window's own target, so the gate opens
where the teacher was lucky. Here a ridge regression on what is known at the origin (how sure the
teacher is, how wide both forecasts are, how far they are apart) says what to expect of it, fitted
on windows of other times only.

Two medians that are ``d`` apart in the mean cannot differ in error by more than ``d``, so what is
predicted is the advantage as a share of ``d``, which lies in [-1, 1] whatever the unit.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.instance_norm import instance_normalise
from tsmemory.memory.objective import Batch, median_errors
from tsmemory.memory.ridge import blocked_folds
from tsmemory.memory.split import BATCH, Split
from tsmemory.series.series_set import Float
from tsmemory.series.windows import Windows
from tsmemory.teacher.synthesis import TeacherTargets

_PENALTY = 0.01  # on standardised features, for each window: it only settles collinear ones
_LARGEST = 5.0  # standardised features are clipped here
_SMALLEST = 1e-6

Real = NDArray[np.float64]


def predict_advantage(train: Split, targets: TeacherTargets, *, folds: int) -> Float:
    """Expected ``err_b - err_t`` of each training window, from windows of other times.

    Args:
        train: Training windows, N of them, with the backbone's forecasts.
        targets: The teacher's targets of the same windows.
        folds: Stretches of training time that are left out in turn, each with the windows that
            overlap it.

    Returns:
        Advantage in z units. NaN without a teacher, and where so few windows of other times are
        left (less than a tenth of all) that nothing can be said. Shape ``(N,)``.
    """
    features, apart, share = _collect(train, targets)
    known = ~np.isnan(share)
    predicted = np.full(len(share), np.nan)
    calendar = train.windows.calendar(train.series)
    for members in blocked_folds(train.windows, train.series, folds):
        if len(members) == 0:
            continue
        rest = known & ~_overlapping(calendar, members, train.windows)
        if rest.sum() < len(share) / 10:
            continue
        told = _ridge(features[rest], share[rest], features[members])
        predicted[members] = told * apart[members]
    return predicted.astype(np.float32)


def _overlapping(
    calendar: NDArray[np.int64], members: NDArray[np.int64], windows: Windows
) -> NDArray[np.bool_]:
    """Whether each window shares a step with the stretch of some. Shape ``(N,)``."""
    span = windows.context_length + windows.horizon
    low, high = calendar[members].min() - span, calendar[members].max() + span
    return np.asarray((calendar > low) & (calendar < high))


def _collect(train: Split, targets: TeacherTargets) -> tuple[Real, Real, Real]:
    """Features ``(N, F)``, distance of the medians ``(N,)`` and the advantage's share ``(N,)``.

    All are NaN without a teacher; the share also where no target is known.
    """
    median = train.forecasts.levels.index(0.5)
    parts = []
    for first in range(0, len(train.windows), BATCH):
        chosen = np.arange(first, min(first + BATCH, len(train.windows)))
        contexts, target, quantiles, _ = train.take(chosen).tensors()
        teacher = torch.from_numpy(targets.quantiles(chosen))
        confidence = torch.from_numpy(targets.confidence[chosen])
        batch = Batch(target, quantiles, teacher, confidence)
        gap = (teacher[:, median] - quantiles[:, median]).abs()
        apart = gap.nanmean(dim=1)
        error_teacher, error_backbone, known = median_errors(batch, median)
        seen = torch.where(torch.isnan(target), torch.nan, gap).nanmean(dim=1)
        share = (error_backbone - error_teacher) / seen.clamp_min(_SMALLEST)
        share = torch.where(known, share.clamp(-1, 1), torch.nan)
        scale = instance_normalise(contexts).scale[:, 0]
        widths = [(q[:, -1] - q[:, 0]).nanmean(dim=1) for q in (teacher, quantiles)]
        sizes = [_log_ratio(size, scale) for size in (*widths, apart)]
        features = torch.stack([confidence, *sizes], dim=1)
        parts.append([part.double().numpy() for part in (features, apart, share)])
    whole = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return whole[0], whole[1], whole[2]


def _log_ratio(size: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Logarithm of a size in units of the context's scale. Shape ``(B,)``."""
    return torch.log(size.clamp_min(_SMALLEST) / scale.clamp_min(_SMALLEST))


def _ridge(features: Real, share: Real, asked: Real) -> Real:
    """Fit on some windows and predict others; NaN features give NaN. Shape ``(M,)``."""
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), _SMALLEST)
    x, q = (np.clip((part - mean) / spread, -_LARGEST, _LARGEST) for part in (features, asked))
    centre, level = x.mean(axis=0), share.mean()
    x = x - centre
    normal = x.T @ x + _PENALTY * len(x) * np.eye(x.shape[1])
    weight = np.linalg.solve(normal, x.T @ (share - level))
    return np.asarray(np.clip(level + (q - centre) @ weight, -1, 1))
