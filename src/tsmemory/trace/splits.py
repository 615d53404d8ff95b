"""Two disjoint parts of validation: one scores sites, the other selects what is kept (METHOD 2.2).

Their windows share no step: the first part's targets end where the second part's contexts begin,
which for whole targets puts L + H steps between their origins.
"""

import logging
from dataclasses import dataclass, replace

import numpy as np

from tsmemory.series.series_set import Int, SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.trace.errors import TraceError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TraceWindows:
    """The windows that an adapted backbone is made from.

    Attributes:
        train: What weights are learnt from.
        scoring: Earlier part of validation: what sites are scored on.
        selection: Later part of validation: what decides when training stops, and what is kept.
    """

    train: Windows
    scoring: Windows
    selection: Windows

    @classmethod
    def split(
        cls, series: SeriesSet, train: Windows, validation: Windows, scoring_share: float
    ) -> "TraceWindows":
        """Cut validation in two along time.

        The border of each series lies so that ``scoring_share`` of the origins that are left beside
        the purge come before it. Scoring windows know no target at or after the border; selection
        windows begin there or later. Where no series is long enough for both (many short series),
        every other series scores and the others select.

        Args:
            series: The rows.
            train: Training windows.
            validation: Validation windows, whose targets end at ``limit``.
            scoring_share: Share of the origins that score.

        Returns:
            Training windows and both parts.

        Raises:
            TraceError: Validation is too short to be cut, and holds a single series.
        """
        border = _borders(validation, scoring_share)[validation.row]
        scoring = validation.origin + _shortest(validation) <= border
        selection = validation.start >= border
        if scoring.any() and selection.any():
            early = validation.take(np.flatnonzero(scoring))
            limit = np.minimum(early.limit, border[scoring])
            late = validation.take(np.flatnonzero(selection))
            return cls(train, replace(early, limit=limit), late)
        return cls(train, *_by_series(series, validation))


def _borders(windows: Windows, share: float) -> Int:
    """Border of each row, in steps. Shape ``(R,)``, R being one above the highest row."""
    count = int(windows.row.max()) + 1
    first = np.full(count, np.iinfo(np.int64).max)
    last = np.full(count, -1)
    np.minimum.at(first, windows.row, windows.origin)
    np.maximum.at(last, windows.row, windows.origin)
    known = np.zeros(count, dtype=np.int64)
    known[windows.row] = _shortest(windows)
    # Scoring origins end ``known`` before the border, selection origins begin L after it.
    free = last - first - windows.context_length - known
    border = first + known + np.floor(share * np.maximum(free, 0)).astype(np.int64)
    return np.where(free >= 0, border, -1)


def _shortest(windows: Windows) -> Int:
    """Steps of target that every window of its row knows, at most the horizon. Shape ``(N,)``."""
    known = np.minimum(windows.limit - windows.origin, windows.horizon)
    least = np.full(int(windows.row.max()) + 1, windows.horizon)
    np.minimum.at(least, windows.row, known)
    return np.asarray(least[windows.row])


def _by_series(series: SeriesSet, validation: Windows) -> tuple[Windows, Windows]:
    """Windows of every other series for each part."""
    names = series.item_id.astype(str)[validation.row]
    items, code = np.unique(names, return_inverse=True)
    if len(items) < 2:
        calm = validation.context_length + int(_shortest(validation).max())
        span = int(validation.origin.max() - validation.origin.min())
        raise TraceError(
            f"the validation split has origins over {span} steps, too few to score sites on one "
            f"part and select on another with {calm} steps of purge between them: give validation "
            "more steps (ingestion.borders or train_share / test_share), or shorten "
            "windowing.context_length or windowing.horizons"
        )
    logger.info("Validation is too short to be cut along time: every other series scores sites")
    parts = (validation.take(np.flatnonzero(code % 2 == parity)) for parity in (0, 1))
    scoring, selection = parts
    return scoring, selection
