"""Rows that other pipelines make, in the table of the main way.

They are taken only where they were scored on what the table is about, to the last sum; else they
are left out, and the report says that they were not run.
"""

import logging
from dataclasses import replace

import numpy as np

from tsmemory.evaluation.leaderboard import REFERENCE
from tsmemory.evaluation.scores import MethodScores
from tsmemory.evaluation.trace_scores import TraceScores

# Rows of the TRACE table, by their names in the table of the main way.
FROM_TRACE = {"lora_all": "lora", "trace": "trace"}
TOGETHER = "trace_tsmemory"
logger = logging.getLogger(__name__)


def add_trace_rows(scores: MethodScores, trace: TraceScores | None) -> MethodScores:
    """Add LoRA and TRACE.

    Args:
        scores: Scores of the main way.
        trace: What the pipeline ``trace`` has scored; ``None`` where it was not run.

    Returns:
        All of them; those of the main way alone where windows, data or backbone differ.
    """
    if trace is None:
        return scores
    if not _same_windows(scores, trace.scores) or not _same_errors(scores, trace.scores):
        logger.warning(
            "The rows of the pipeline trace were scored on other windows, data or another "
            "backbone, so they are left out; `kedro run --pipelines trace` makes them anew"
        )
        return scores
    names = {theirs: ours for theirs, ours in FROM_TRACE.items() if theirs in trace.scores.methods}
    return _joined(scores, trace.scores, names)


def add_together_row(scores: MethodScores, together: MethodScores | None) -> MethodScores:
    """Add the memory that was distilled on the backbone that TRACE has adapted.

    Args:
        scores: Scores of the main way.
        together: Those of the main way on the adapted backbone; ``None`` where it was not run.

    Returns:
        All of them; those of the main way alone where windows or data differ.
    """
    if together is None or "tsmemory" not in together.methods:
        return scores
    if not _same_windows(scores, together):
        logger.warning(
            "The memory on the TRACE backbone was scored on other windows or data, so it is left "
            "out; run the main way with backbone.name set to the adapted backbone anew"
        )
        return scores
    return _joined(scores, together, {"tsmemory": TOGETHER})


def _joined(scores: MethodScores, others: MethodScores, names: dict[str, str]) -> MethodScores:
    """More rows, each under its new name."""
    return replace(
        scores,
        methods={**scores.methods, **{new: others.methods[old] for old, new in names.items()}},
        seeds={**scores.seeds, **{new: others.seeds[old] for old, new in names.items()}},
        below={**scores.below, **{new: others.below[old] for old, new in names.items()}},
    )


def _same_windows(one: MethodScores, other: MethodScores) -> bool:
    """Whether both are about the same targets at the same levels and horizons."""
    if one.levels != other.levels or one.horizons != other.horizons:
        return False
    if REFERENCE not in other.methods or not np.array_equal(one.row, other.row):
        return False
    ours, theirs = one.methods[REFERENCE], other.methods[REFERENCE]
    return np.array_equal(one.origin_time, other.origin_time) and np.allclose(
        ours.raw_absolute_target, theirs.raw_absolute_target
    )


def _same_errors(one: MethodScores, other: MethodScores) -> bool:
    """Whether the frozen backbone was the same: it made the same errors."""
    ours, theirs = one.methods[REFERENCE], other.methods[REFERENCE]
    return np.allclose(ours.pinball, theirs.pinball)
