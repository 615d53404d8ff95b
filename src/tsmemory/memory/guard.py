"""The guard: no correction is shipped that validation does not show to help (METHOD 1.7)."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsmemory.memory.config import GuardConfig
from tsmemory.metrics import block_length, one_sided_improvement, per_origin, typical_step
from tsmemory.series.series_set import Int

_FOLLOWING = 0.25  # level of the test where validation is silent and the block before is open
_SURE = 1e-6  # p-values are kept this far from 0 and 1 where two of them are joined


class Evidence(NamedTuple):
    """Losses on windows other than the ones that are judged: out-of-fold training windows.

    Attributes:
        loss: Loss of the candidate. Shape ``(M, blocks)``.
        reference: Loss of the reference. Shape ``(M, blocks)``.
        origin_time: Origin of each window. Shape ``(M,)``.
        weight: What one of their bootstrap blocks counts beside one of validation.
    """

    loss: NDArray[np.float64]
    reference: NDArray[np.float64]
    origin_time: Int
    weight: float


def guard_blocks(
    loss: NDArray[np.float64],
    reference: NDArray[np.float64],
    origin_time: Int,
    *,
    block: int,
    stride: int,
    config: GuardConfig,
    rng: np.random.Generator,
    training: Evidence | None = None,
) -> tuple[tuple[bool, ...], list[dict[str, object]]]:
    """Test each horizon block for an improvement.

    Windows that share an origin count as one observation. Errors h steps ahead of neighbouring
    origins overlap, so a bootstrap block spans twice the steps ahead where validation is long
    enough for ``min_blocks`` of them, once where it is not. Horizon blocks too far ahead even for
    that are pooled and tested together; see :func:`pooled_gain`.

    With out-of-fold training windows there is no need to pool: what they say is joined to what
    validation says by Stouffer's method, each weighing as many bootstrap blocks as it holds. Where
    validation has enough blocks of its own, its mean must not speak against the candidate; where
    it has none, a block that follows an open one passes at a milder level: what helps up to there
    hardly does harm a day later.

    Args:
        loss: Loss of the candidate, NaN where unknown. Shape ``(N, blocks)``.
        reference: Loss of the reference. Shape ``(N, blocks)``.
        origin_time: Origin of each window. Shape ``(N,)``.
        block: Steps in a horizon block.
        stride: Steps between consecutive origins of one row.
        config: The test.
        rng: Draws the bootstrap.
        training: The same comparison on out-of-fold training windows.

    Returns:
        Whether each block passes, and a line for each in words and figures.
    """
    verdicts: list[dict[str, object]] = []
    pooled: list[int] = []
    for number in range(loss.shape[1]):
        ahead = (number + 1) * block
        one = [number]
        test = _Test.run(loss[:, one], reference[:, one], origin_time, ahead, stride, config, rng)
        if test.blocks < config.min_blocks and training is None:
            pooled.append(number)
            verdicts.append({})
            continue
        line = test.line(number, config, pooled=False)
        if training is not None:
            p, judged_on = _joined(test, _column(training, number), ahead, config, rng)
            against = test.blocks >= config.min_blocks and test.p_value > 0.5
            follows = test.blocks < 2 and number > 0 and bool(verdicts[-1]["open"])
            level = max(config.alpha, _FOLLOWING) if follows else config.alpha
            passed = not config.enabled or (p <= level and not against)
            line |= {"p_value": p, "p_validation": test.p_value}
            line |= {"judged_on": judged_on, "open": passed}
        verdicts.append(line)
    if pooled:
        verdict = pooled_gain(
            loss[:, pooled],
            reference[:, pooled],
            origin_time,
            steps_ahead=(pooled[-1] + 1) * block,
            stride=stride,
            config=config,
            rng=rng,
        )
        for number in pooled:
            verdicts[number] = {**verdict, "block": number}
    return tuple(bool(verdict["open"]) for verdict in verdicts), verdicts


def pooled_gain(
    loss: NDArray[np.float64],
    reference: NDArray[np.float64],
    origin_time: Int,
    *,
    steps_ahead: int,
    stride: int,
    config: GuardConfig,
    rng: np.random.Generator,
    training: Evidence | None = None,
) -> dict[str, object]:
    """Test several horizon blocks together, with few long bootstrap blocks.

    A bootstrap block spans at least the farthest step ahead: with shorter ones a nominal 5 % test
    opens for a third of all equal forecasts. Where not even two of them fit there is no evidence,
    and the guard stays shut.

    Args:
        loss: Loss of the candidate, NaN where unknown. Shape ``(N, blocks)``.
        reference: Loss of the reference. Shape ``(N, blocks)``.
        origin_time: Origin of each window. Shape ``(N,)``.
        steps_ahead: The farthest step ahead of any block.
        stride: Steps between consecutive origins of one row.
        config: The test.
        rng: Draws the bootstrap.
        training: The same comparison on out-of-fold training windows; see :func:`guard_blocks`.

    Returns:
        The verdict in words and figures.
    """
    test = _Test.run(loss, reference, origin_time, steps_ahead, stride, config, rng)
    line = test.line(-1, config, pooled=True)
    if training is None:
        return line
    p, judged_on = _joined(test, training, steps_ahead, config, rng)
    line |= {"p_value": p, "p_validation": test.p_value, "judged_on": judged_on}
    return {**line, "open": not config.enabled or p <= config.alpha}


class _Test(NamedTuple):
    """A comparison of two forecasts on some windows.

    Attributes:
        skill: 1 - loss / reference loss.
        p_value: Of the one-sided test; 1 without evidence.
        length: Origins in a bootstrap block.
        blocks: How many bootstrap blocks the origins hold.
    """

    skill: float
    p_value: float
    length: int
    blocks: float

    @classmethod
    def run(
        cls,
        loss: NDArray[np.float64],
        reference: NDArray[np.float64],
        origin_time: Int,
        steps_ahead: int,
        stride: float,
        config: GuardConfig,
        rng: np.random.Generator,
    ) -> "_Test":
        """Compare on the windows and blocks that are known to both, origin by origin."""
        known = ~np.isnan(loss) & ~np.isnan(reference)
        sums = np.stack(
            [np.where(known, loss, 0), np.where(known, reference, 0), known.astype(float)], axis=2
        ).sum(axis=1)
        _, totals = per_origin(sums, origin_time)
        totals = totals[totals[:, 2] > 0]
        ours, theirs = totals[:, 0] / totals[:, 2], totals[:, 1] / totals[:, 2]
        ahead = math.ceil(steps_ahead / typical_step(origin_time, math.ceil(stride)))
        length = block_length(len(totals), ahead, config.min_blocks)
        if length is None:
            length = max(len(totals) // config.min_blocks, ahead)
        p = one_sided_improvement(ours, theirs, length, config.samples, rng)
        mean = float(theirs.mean()) if len(totals) else 0.0
        skill = 1 - float(ours.mean()) / mean if mean > 0 else 0.0
        return cls(skill, p, length, len(totals) / length)

    def line(self, number: int, config: GuardConfig, *, pooled: bool) -> dict[str, object]:
        """The verdict in words and figures."""
        return {
            "block": number,
            "skill": self.skill,
            "p_value": self.p_value,
            "bootstrap_block": self.length,
            "pooled": pooled,
            "open": not config.enabled or self.p_value <= config.alpha,
        }


def _joined(
    validation: _Test,
    training: Evidence,
    steps_ahead: int,
    config: GuardConfig,
    rng: np.random.Generator,
) -> tuple[float, str]:
    """Join the evidence of validation and training; the p-value and what it rests on."""
    gaps = np.diff(np.unique(training.origin_time))
    stride = 2 * float(np.median(gaps)) if len(gaps) else 1.0  # longer gaps lie between folds
    test = _Test.run(
        training.loss, training.reference, training.origin_time, steps_ahead, stride, config, rng
    )
    weights, values, names = [], [], []
    if validation.blocks >= 2:
        weights.append(validation.blocks)
        values.append(validation.p_value)
        names.append("validation")
    if test.blocks >= 2:
        weights.append(test.blocks * training.weight)
        values.append(test.p_value)
        names.append("training")
    if not names:
        return 1.0, "nothing"
    normal = NormalDist()
    scores = [normal.inv_cdf(min(max(value, _SURE), 1 - _SURE)) for value in values]
    total = sum(math.sqrt(w) * z for w, z in zip(weights, scores, strict=True))
    return normal.cdf(total / math.sqrt(sum(weights))), " and ".join(names)


def _column(training: Evidence, block: int) -> Evidence:
    """What is said of one horizon block."""
    return training._replace(
        loss=training.loss[:, [block]], reference=training.reference[:, [block]]
    )
