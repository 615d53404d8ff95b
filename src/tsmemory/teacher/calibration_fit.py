"""Finding the teacher's spread factors on training queries (METHOD 1.4, step 6)."""

import logging
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tsmemory.series.series_set import Float, Int
from tsmemory.series.windows import Windows
from tsmemory.teacher.calibration import SpreadCalibration, best_factors, pinball_loss
from tsmemory.teacher.neighbours import Neighbours, query_batches
from tsmemory.teacher.synthesis import Teacher

_BATCH = 256
_LEAST_SHARE = 0.1  # of the queries, that a fold has to leave for its factors
_LEAST_GAIN = 1e-4  # relative; less is rounding

logger = logging.getLogger(__name__)


def fit_calibration(
    teacher: Teacher,
    windows: Windows,
    neighbours: Neighbours,
    *,
    block: int,
    folds: int,
    queries: int,
    rng: np.random.Generator,
) -> SpreadCalibration:
    """Find one factor per horizon block: for each fold from the other folds, and from all of them.

    Folds are stretches of the calendar. Those queries that share a step with any window of a fold
    are left out of its factors; a fold that leaves too few keeps its spread. The factors are only
    used if those of the folds lower the pinball loss of the folds' own queries: neighbours of many
    like seasons need no correction, and factors that differ from season to season would harm.

    Args:
        teacher: Forms quantiles; a calibration that it has is not looked at.
        windows: Training queries.
        neighbours: Their embargoed neighbours; queries with fewer than ``k_min`` do not count.
        block: Steps in a horizon block.
        folds: Number of folds.
        queries: At most this many, drawn at random, are looked at.
        rng: Draws them.

    Returns:
        The calibration, for horizons up to that of the windows; :meth:`SpreadCalibration.none`
        where it does not help.
    """
    taught = np.flatnonzero((neighbours.position >= 0).sum(axis=1) >= neighbours.k_min)
    if not len(taught):
        return SpreadCalibration.none(windows.horizon, block)
    calendar = windows.calendar(teacher.series)
    edges = _fold_edges(calendar, folds)
    chosen = np.sort(rng.permutation(taught)[:queries])
    span = windows.context_length + windows.horizon
    keep = _queries_of_choices(calendar[chosen], edges, span)
    sample = windows.take(chosen)
    target = sample.targets(teacher.series)
    quantiles = _retrieved(teacher, sample, neighbours.take(chosen))
    factors = np.stack(
        [
            best_factors(
                target[:, first : first + block],
                quantiles[:, :, first : first + block],
                keep,
                levels=teacher.levels,
                median=teacher.median,
            )
            for first in range(0, windows.horizon, block)
        ],
        axis=1,
    )
    lines = [tuple(round(float(f), 6) for f in line) for line in factors]
    found = SpreadCalibration(block, lines[-1], tuple(edges.tolist()), tuple(lines[:-1]))
    moved = found.apply(quantiles, calendar[chosen], teacher.median)
    before, after = (
        float(np.nanmean(pinball_loss(target, q, teacher.levels), dtype=np.float64))
        for q in (quantiles, moved)
    )
    helps = after < (1 - _LEAST_GAIN) * before
    logger.info(
        "Spread of the teacher: a factor of %.2f takes the loss out of fold from %.4f to %.4f; %s",
        np.mean(found.factor),
        before,
        after,
        "used" if helps else "not used",
    )
    return found if helps else SpreadCalibration.none(windows.horizon, block)


def _retrieved(teacher: Teacher, windows: Windows, neighbours: Neighbours) -> Float:
    """Quantiles as retrieved, batch by batch. Shape ``(N, Q, H)``."""
    plain = replace(teacher, calibration=None)
    parts = query_batches(len(windows), _BATCH)
    return np.concatenate(
        [plain.quantiles(windows.take(p), neighbours.take(p), windows.horizon) for p in parts]
    )


def _fold_edges(calendar: Int, folds: int) -> Int:
    """First start of each fold, with as many windows in each, and the one after the last."""
    edges = np.quantile(calendar, np.linspace(0, 1, folds + 1)).astype(np.int64)
    edges[-1] = calendar.max() + 1
    return np.unique(edges)


def _queries_of_choices(calendar: Int, edges: Int, span: int) -> NDArray[np.bool_]:
    """Queries from which the factors of each fold, and at last those of all, are found.

    Args:
        calendar: Starts of the queries. Shape ``(N,)``.
        edges: Edges of the folds. Shape ``(F + 1,)``.
        span: Steps of a window, context and target.

    Returns:
        Shape ``(F + 1, N)``; no query for a fold that would leave too few.
    """
    lines = []
    for low, high in pairwise(edges):
        away = (calendar <= low - span) | (calendar >= high - 1 + span)
        lines.append(away & (away.mean() >= _LEAST_SHARE))
    return np.stack([*lines, np.ones(len(calendar), bool)])
