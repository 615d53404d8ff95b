"""What the memory costs: latency beside the frozen backbone, and bytes (METHOD 1.8)."""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from safetensors.torch import save

from tsmemory.backbones import Backbone
from tsmemory.memory.forecaster import MemoryForecaster
from tsmemory.retrieval.datastore import Datastore
from tsmemory.series.series_set import Float

_BUDGET_SECONDS = 2.0
_LEAST_PAIRS, _MOST_PAIRS = 3, 40


def measure_cost(
    forecaster: MemoryForecaster,
    backbone: Backbone,
    contexts: Float,
    *,
    horizons: Sequence[int],
    batches: Sequence[int],
    datastore: Datastore,
) -> pd.DataFrame:
    """Latency of the frozen and the fused forecast, taken in turn, and sizes.

    Args:
        forecaster: What is shipped.
        backbone: The frozen backbone inside it.
        contexts: Contexts to forecast, repeated as needed. Shape ``(N, L)``.
        horizons: Horizons in steps.
        batches: Windows in a call.
        datastore: What the online kNN row has to hold at inference, and the memory does not.

    Returns:
        Table ``method, horizon, batch, metric, value``; ``latency_ratio`` is the median over
        pairs of calls of the fused time over the frozen time. Of a backbone that looks forecasts up
        there is no latency: finding them tells nothing of what they cost where they were made.
    """
    lines = []

    def add(
        method: str, metric: str, value: float, horizon: object = "", batch: object = ""
    ) -> None:
        lines.append(
            {"method": method, "horizon": horizon, "batch": batch, "metric": metric, "value": value}
        )

    levels = list(backbone.quantile_levels)
    for batch in () if backbone.needs_origins else batches:
        sample = np.resize(contexts, (batch, contexts.shape[1]))
        for horizon in horizons:
            frozen, fused = _paired_times(
                partial(backbone.predict_quantiles, sample, horizon),
                partial(forecaster.predict_quantiles, sample, horizon, levels),
            )
            ratio = statistics.median(b / a for a, b in zip(frozen, fused, strict=True))
            for method, times in (("frozen", frozen), ("tsmemory", fused)):
                milliseconds = 1e3 * statistics.median(times) / batch
                add(method, "latency_ms_per_window", milliseconds, horizon, batch)
            add("tsmemory", "latency_ratio", ratio, horizon, batch)
    sizes = forecaster.adapter.describe()
    weights = save(forecaster.adapter.state_dict(), metadata={"format": "pt"})  # as it is shipped
    add("tsmemory", "artefact_bytes", float(len(weights)))
    for name in ("trained_parameters", "closed_form_parameters"):
        add("tsmemory", name, float(sizes[name]))
    add("online_knn", "datastore_windows", float(len(datastore)))
    add("online_knn", "datastore_bytes_at_inference", float(datastore.nbytes))
    return pd.DataFrame(lines)


def _paired_times(
    first: Callable[[], object], second: Callable[[], object]
) -> tuple[list[float], list[float]]:
    """Seconds of two calls taken in turn, after one call of each to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    calls = (first, second)
    for call in calls:
        call()
    begin = time.perf_counter()
    while len(times[0]) < _LEAST_PAIRS or (
        len(times[0]) < _MOST_PAIRS and time.perf_counter() - begin < _BUDGET_SECONDS
    ):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return times
