"""Successive halving: a few settings are distilled in full, and one of them is chosen, or none.

The best of many settings looks better than it is: with a hundred tries on a few blocks of
validation some win by luck. So a few are distilled, the default always among them, and the best of
them is taken only if it beats the default on most blocks and in a one-sided test over paired
forecast origins. Else the default stays.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tsmemory.metrics import block_length, one_sided_improvement, typical_step
from tsmemory.tuning.gates.sample import spacing
from tsmemory.tuning.gates.scores import BlockScores

DEFAULT = 0  # number of the trial of the default setting


@dataclass(frozen=True)
class Choice:
    """What is taken of the settings that were distilled.

    Attributes:
        number: Trial of the setting that is taken; 0 is the default.
        best: Trial of the setting that looks best on validation.
        value: Metric of the best.
        default_value: Metric of the default.
        skill: ``1 - value / default_value``.
        p_value: Of the one-sided test that the best is better than the default.
        blocks_won: Blocks of validation on which it is better.
        blocks: How many there are.
        reason: Why it is taken or not, in words.
    """

    number: int
    best: int
    value: float
    default_value: float
    skill: float
    p_value: float
    blocks_won: int
    blocks: int
    reason: str

    @property
    def is_tuned(self) -> bool:
        """Whether anything but the default is taken."""
        return self.number != DEFAULT

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "is_tuned": self.is_tuned}


def promote(values: Mapping[int, float], count: int) -> list[int]:
    """Trials to distil: the default, and the best others by their cheap score.

    Args:
        values: Cheap score of each complete trial by its number.
        count: How many others.

    Returns:
        Numbers, the default first; of equal scores one is enough, since settings that differ only
        where nothing depends on it score the same.
    """
    found = [DEFAULT]
    seen = {values[DEFAULT]} if DEFAULT in values else set()
    for number, value in sorted(values.items(), key=lambda item: (item[1], item[0])):
        if number == DEFAULT or value in seen or math.isnan(value):
            continue
        if len(found) > count:
            break
        found.append(number)
        seen.add(value)
    return found


def choose(
    scores: Mapping[int, BlockScores],
    *,
    horizon: int,
    alpha: float = 0.1,
    samples: int = 1000,
    seed: int = 0,
) -> Choice:
    """Take the best of the distilled settings if it is better than the default beyond noise.

    Args:
        scores: Scores of each distilled setting, the default's among them, on the same origins.
        horizon: The longest horizon; a bootstrap block spans it where validation is long enough.
        alpha: Level of the one-sided test.
        samples: Bootstrap samples.
        seed: Of the bootstrap.

    Returns:
        The choice.
    """
    default = scores[DEFAULT]
    best = min(scores, key=lambda number: (scores[number].value, number))
    found = scores[best]
    won = [a < b for a, b in zip(found.by_block(), default.by_block(), strict=True)]
    p = 1.0 if best == DEFAULT else _p_value(found, default, horizon, samples, seed)
    skill = 1 - found.value / default.value if default.value > 0 else 0.0
    blocks = len(won)
    if best == DEFAULT:
        reason = "the default is the best of the settings that were distilled"
    elif 2 * sum(won) <= blocks:
        reason = f"better than the default on only {sum(won)} of {blocks} blocks of validation"
    elif p > alpha:
        reason = f"not better than the default beyond noise (p = {p:.2f} > {alpha:g})"
    else:
        reason = f"better than the default on {sum(won)} of {blocks} blocks (p = {p:.2f})"
    passed = best != DEFAULT and 2 * sum(won) > blocks and p <= alpha
    return Choice(
        number=best if passed else DEFAULT,
        best=best,
        value=found.value,
        default_value=default.value,
        skill=skill,
        p_value=p,
        blocks_won=sum(won),
        blocks=blocks,
        reason=reason,
    )


def _p_value(
    found: BlockScores, default: BlockScores, horizon: int, samples: int, seed: int
) -> float:
    """One-sided test over paired origins, by a moving-block bootstrap.

    Blocks span the longest horizon; where not even two of them fit there is no evidence.
    """
    origins = len(default.origin_time)
    step = typical_step(default.origin_time, spacing(default.origin_time))
    ahead = math.ceil(horizon / step)
    length = block_length(origins, ahead) or ahead
    rng = np.random.default_rng(seed)
    return one_sided_improvement(found.per_origin(), default.per_origin(), length, samples, rng)
