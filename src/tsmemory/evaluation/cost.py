"""What the memory costs: latency beside the frozen backbone, work, bytes (METHOD 1.8)."""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save
from torch.backends import mha
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

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
        pairs of calls of the fused time over the frozen time, ``flops_per_window`` counts the
        operations of the frozen forecast, ``adapter_flops_per_window`` what the adapter adds. Of a
        backbone that looks forecasts up there is no latency and no count: finding them tells
        nothing of what they cost where they were made.
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
            frozen, fused = paired_times(
                partial(backbone.predict_quantiles, sample, horizon),
                partial(forecaster.predict_quantiles, sample, horizon, levels),
            )
            ratio = statistics.median(b / a for a, b in zip(frozen, fused, strict=True))
            for method, times in (("frozen", frozen), ("tsmemory", fused)):
                milliseconds = 1e3 * statistics.median(times) / batch
                add(method, "latency_ms_per_window", milliseconds, horizon, batch)
            add("tsmemory", "latency_ratio", ratio, horizon, batch)
    for horizon in horizons:
        frozen_flops, adapter_flops = _flops(forecaster, contexts[:1], horizon)
        if frozen_flops:
            add("frozen", "flops_per_window", float(frozen_flops), horizon)
        add("tsmemory", "adapter_flops_per_window", float(adapter_flops), horizon)
    if parameters := getattr(forecaster.backbone, "parameter_count", 0):
        add("frozen", "parameters", float(parameters))
    sizes = forecaster.adapter.describe()
    weights = save(forecaster.adapter.state_dict(), metadata={"format": "pt"})  # as it is shipped
    add("tsmemory", "artefact_bytes", float(len(weights)))
    for name in ("trained_parameters", "closed_form_parameters"):
        add("tsmemory", name, float(sizes[name]))
    add("online_knn", "datastore_windows", float(len(datastore)))
    add("online_knn", "datastore_bytes_at_inference", float(datastore.nbytes))
    return pd.DataFrame(lines)


def _flops(forecaster: MemoryForecaster, context: Float, horizon: int) -> tuple[int, int]:
    """Operations for one window: of the frozen backbone, 0 where unknown, and of the adapter."""
    adapter, backbone = forecaster.adapter, forecaster.backbone
    steps = min(horizon, adapter.config.horizon)
    inputs = (
        torch.from_numpy(context),
        torch.zeros(1, len(backbone.quantile_levels), steps),
        torch.from_numpy(backbone.embed(context)),
    )
    added = count_flops(lambda: adapter(*(values.to(adapter.device) for values in inputs)))
    if backbone.needs_origins:
        return 0, added
    return count_flops(lambda: backbone.predict_quantiles(context, horizon)), added


@torch.inference_mode()
def count_flops(call: Callable[[], object]) -> int:
    """Floating-point operations of matrix products and convolutions in a call, as torch counts.

    Fused kernels, of which the counter knows nothing, are taken apart for the count.
    """
    fused = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            call()
    finally:
        mha.set_fastpath_enabled(fused)
    return int(counter.get_total_flops())


def paired_times(
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
