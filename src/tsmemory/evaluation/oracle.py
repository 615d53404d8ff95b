"""The oracle gap: weights of the fused median that the test split would have chosen (METHOD 1.7).

They are reported beside the chosen ones, to tell how much of what could be gained by weighting was
gained, and are used for nothing. (The published code picks its weight like that.)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import CANDIDATES, Fusion
from tsmemory.memory.location_fit import MixtureSums
from tsmemory.memory.profiles import Adapter
from tsmemory.memory.split import Split, evenly, memory_parts

_WINDOWS = 4096  # at most, evenly spread: neighbouring windows tell much the same


def measure_oracle_gap(
    test: Split, adapter: Adapter, fusion: Fusion, *, season: int, config: FusionConfig
) -> pd.DataFrame:
    """Compare the chosen weights with those that are best on the test split.

    Args:
        test: Test windows.
        adapter: The shipped adapter.
        fusion: The shipped fusion.
        season: Steps in a season.
        config: Horizon blocks and candidates.

    Returns:
        Table ``quantity, first_step, last_step, chosen, oracle, gap``: for each block the weight of
        each candidate (of channels without weights of their own) and the mean squared error of the
        fused median, in z units, and at last that of all steps. The gap of a weight is what the
        oracle has more; that of the error is the share of it that the oracle would not have made.
    """
    sample = test.take(evenly(len(test.windows), _WINDOWS))
    sums = MixtureSums.collect(
        memory_parts(sample, adapter),
        median=sample.forecasts.levels.index(0.5),
        season=season,
        config=config,
    )
    oracle = sums.best()
    best = _squared_errors(sums, dict.fromkeys(sums.channels, oracle))
    chosen = {name: _weights_of(fusion, name) for name in sums.channels}
    ours = _squared_errors(sums, chosen)
    shared = _weights_of(fusion, None)
    count, horizon, block = sums.count.sum(axis=0), sample.windows.horizon, config.block
    lines: list[dict[str, Any]] = []
    for number in range(len(count)):
        ends = {"first_step": number * block + 1, "last_step": min((number + 1) * block, horizon)}
        for row, name in enumerate(CANDIDATES):
            pair = float(shared[row, number]), float(oracle[row, number])
            lines.append(_line(f"weight_{name}", ends, *pair, pair[1] - pair[0]))
        lines.append(_error_line(ends, ours[number], best[number], count[number]))
    whole = {"first_step": 1, "last_step": horizon}
    lines.append(_error_line(whole, ours.sum(), best.sum(), count.sum()))
    return pd.DataFrame(lines)


def _weights_of(fusion: Fusion, channel: str | None) -> NDArray[np.float64]:
    """Weights of the candidates for the median. Shape ``(K, blocks)``."""
    own = None if channel is None else fusion.channels.get(channel)
    if own is not None:
        return np.array([own.location, own.last_value, own.seasonal, own.long_run])
    naive = fusion.naive
    if naive is None:
        none = (0.0,) * len(fusion.location)
        return np.array([fusion.location, none, none, none])
    return np.array([fusion.location, naive.last_value, naive.seasonal, naive.long_run])


def _squared_errors(
    sums: MixtureSums, weights: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Sum of squared errors of a mixture in each block, with weights by channel. ``(blocks,)``."""
    total = np.zeros(sums.square.shape[1])
    for number, name in enumerate(sums.channels):
        w = weights[name]
        total += sums.square[number] - 2 * (w * sums.moment[number]).sum(axis=0)
        total += np.einsum("kb,klb,lb->b", w, sums.gram[number], w)
    return total.clip(min=0.0)


def _error_line(ends: dict[str, int], ours: float, best: float, count: float) -> dict[str, Any]:
    if count == 0:
        return _line("mse", ends, np.nan, np.nan, np.nan)
    gap = 1 - best / ours if ours > 0 else 0.0
    return _line("mse", ends, ours / count, best / count, gap)


def _line(
    quantity: str, ends: dict[str, int], chosen: float, oracle: float, gap: float
) -> dict[str, Any]:
    return {"quantity": quantity, **ends, "chosen": chosen, "oracle": oracle, "gap": gap}
