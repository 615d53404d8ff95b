"""What an adapted backbone costs at inference, beside the frozen one."""

import statistics
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from tsmemory.evaluation.cost import paired_times
from tsmemory.series.series_set import Float

Forecast = Callable[[Float, int], Float]  # contexts (B, L) and a horizon -> quantiles (B, Q, H)


def measure_latency(
    frozen: Forecast,
    adapted: Forecast,
    contexts: Float,
    *,
    horizon: int,
    batches: Sequence[int],
) -> tuple[dict[str, float], dict[str, float]]:
    """Time two forecasters in turn in one process.

    Args:
        frozen: The frozen backbone.
        adapted: The adapted one, merged.
        contexts: Contexts to forecast, repeated as needed. Shape ``(N, L)``.
        horizon: Steps.
        batches: Windows in a call.

    Returns:
        Milliseconds per window of ``adapted``, and the median over pairs of calls of its time over
        that of ``frozen``, both by windows in a call as text, as JSON keeps them.
    """
    milliseconds, ratio = {}, {}
    for batch in batches:
        sample = np.resize(contexts, (batch, contexts.shape[1]))
        first, second = paired_times(
            partial(frozen, sample, horizon), partial(adapted, sample, horizon)
        )
        milliseconds[str(batch)] = 1e3 * statistics.median(second) / batch
        ratio[str(batch)] = statistics.median(b / a for a, b in zip(first, second, strict=True))
    return milliseconds, ratio
