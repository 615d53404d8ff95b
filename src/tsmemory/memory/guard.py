"""The guard: no correction is shipped that validation does not show to help (METHOD 1.7)."""

import math

import numpy as np
from numpy.typing import NDArray

from tsmemory.memory.config import GuardConfig
from tsmemory.metrics import block_length, one_sided_improvement, per_origin, typical_step
from tsmemory.series.series_set import Int


def guard_blocks(
    loss: NDArray[np.float64],
    reference: NDArray[np.float64],
    origin_time: Int,
    *,
    block: int,
    stride: int,
    config: GuardConfig,
    rng: np.random.Generator,
) -> tuple[tuple[bool, ...], list[dict[str, object]]]:
    """Test each horizon block for an improvement.

    Windows that share an origin count as one observation. Errors h steps ahead of neighbouring
    origins overlap, so a bootstrap block spans twice the steps ahead where validation is long
    enough for ``min_blocks`` of them, once where it is not. Horizon blocks too far ahead even for
    that are pooled and tested together; see :func:`pooled_gain`.

    Args:
        loss: Loss of the candidate, NaN where unknown. Shape ``(N, blocks)``.
        reference: Loss of the reference. Shape ``(N, blocks)``.
        origin_time: Origin of each window. Shape ``(N,)``.
        block: Steps in a horizon block.
        stride: Steps between consecutive origins of one row.
        config: The test.
        rng: Draws the bootstrap.

    Returns:
        Whether each block passes, and a line for each in words and figures.
    """
    verdicts: list[dict[str, object]] = []
    pooled: list[int] = []
    step = typical_step(origin_time, stride)
    for number in range(loss.shape[1]):
        gain, origins = _origin_losses(loss[:, [number]], reference[:, [number]], origin_time)
        ahead = math.ceil((number + 1) * block / step)
        length = block_length(origins, ahead, config.min_blocks)
        if length is None:
            pooled.append(number)
            verdicts.append({})
        else:
            p = one_sided_improvement(*gain, length, config.samples, rng)
            verdicts.append(_line(number, gain, p, length, config, pooled=False))
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

    Returns:
        The verdict in words and figures.
    """
    gain, origins = _origin_losses(loss, reference, origin_time)
    ahead = math.ceil(steps_ahead / typical_step(origin_time, stride))
    length = max(origins // config.min_blocks, ahead)
    p = one_sided_improvement(*gain, length, config.samples, rng)
    return _line(-1, gain, p, length, config, pooled=True)


Gain = tuple[NDArray[np.float64], NDArray[np.float64]]


def _origin_losses(
    loss: NDArray[np.float64], reference: NDArray[np.float64], origin_time: Int
) -> tuple[Gain, int]:
    """Mean losses by origin, over the windows and blocks that are known to both."""
    known = ~np.isnan(loss) & ~np.isnan(reference)
    sums = np.stack(
        [np.where(known, loss, 0), np.where(known, reference, 0), known.astype(float)], axis=2
    ).sum(axis=1)
    _, totals = per_origin(sums, origin_time)
    totals = totals[totals[:, 2] > 0]
    return (totals[:, 0] / totals[:, 2], totals[:, 1] / totals[:, 2]), len(totals)


def _line(
    number: int, gain: Gain, p: float, length: int, config: GuardConfig, *, pooled: bool
) -> dict[str, object]:
    ours, theirs = (float(values.mean()) if len(values) else float("nan") for values in gain)
    return {
        "block": number,
        "skill": 1 - ours / theirs if theirs > 0 else 0.0,
        "p_value": float(p),
        "bootstrap_block": int(length),
        "pooled": pooled,
        "open": bool(not config.enabled or p <= config.alpha),
    }
