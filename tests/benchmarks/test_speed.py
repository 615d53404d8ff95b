"""Speed of what takes the time; `pytest tests/benchmarks --benchmark-enable` measures it.

Without that option every piece runs once, so that the benchmarks themselves do not rot.
"""

import numpy as np
import pandas as pd
import pytest
import torch

from tsmemory import MemoryForecaster, load_backbone
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.ridge import RidgeSums
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.keys import KeyConfig
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.quantiles import weighted_quantiles

L, H, K, D = 512, 96, 20, 256  # D: of the bundled backbone
LEVELS = tuple(round(level / 10, 1) for level in range(1, 10))


@pytest.fixture(scope="module")
def series():
    values = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    return SeriesSet(
        flat=values,
        offset=np.array([0]),
        length=np.array([len(values)]),
        item_id=np.array(["a"], dtype=object),
        channel=np.array(["x"], dtype=object),
        calendar=np.array([0]),
        mean=np.zeros(1),
        std=np.ones(1),
        begin=np.array(["2024-01-01"], dtype="datetime64[ns]"),
        freq="h",
    )


@pytest.fixture(scope="module")
def windows(series):
    start = np.arange(len(series.flat) - L - H + 1)
    return Windows(
        row=np.zeros_like(start),
        start=start,
        limit=np.full_like(start, len(series.flat)),
        context_length=L,
        horizon=H,
    )


@pytest.fixture(scope="module")
def forecaster(series, windows):
    backbone = load_backbone("bundled")
    adapter = MemoryAdapter(AdapterConfig(L, H, LEVELS, D))
    fusion = Fusion(24, (0.5,) * 4, (1.0,) * 4, (1.0,) * 4)
    known = KnownSeries.from_training(series, windows)
    return MemoryForecaster(
        backbone, adapter, fusion, known, backbone_source="bundled", domain="benchmark"
    )


def test_gathering_contexts(benchmark, series, windows):
    assert benchmark(windows.contexts, series).shape == (len(windows), L)


def test_ridge_sums(benchmark, series, windows):
    assert benchmark(RidgeSums.collect, windows, series).xx.shape == (L, L)


def test_embargoed_search(benchmark, series, windows):
    keys = np.random.default_rng(1).normal(size=(len(windows), D)).astype(np.float32)
    datastore = Datastore.build(
        keys, windows, series, key=KeyConfig("embedding"), index_kind="flat", same_channel=True
    )
    found, _ = benchmark(datastore.search, keys, windows, series, k=K, embargo="overlap")
    assert (found >= 0).all()


def test_weighted_quantiles(benchmark):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(256, K, H, generator=generator)
    weights = torch.rand(256, K, generator=generator)
    result = benchmark(weighted_quantiles, values, weights / weights.sum(1, keepdim=True), LEVELS)
    assert result.shape == (256, len(LEVELS), H)


@pytest.mark.parametrize("batch", [1, 256])
@pytest.mark.parametrize("what", ["frozen", "fused"])
def test_forecasting(benchmark, forecaster, what, batch):
    contexts = np.random.default_rng(2).normal(size=(batch, L)).astype(np.float32)
    if what == "frozen":
        quantiles = benchmark(forecaster.backbone.predict_quantiles, contexts, H)
        assert quantiles.shape == (batch, len(LEVELS), H)
    else:
        quantiles, _ = benchmark(forecaster.predict_quantiles, contexts, H, LEVELS)
        assert quantiles.shape == (batch, H, len(LEVELS))


def test_forecasting_a_table(benchmark, forecaster):
    series, steps = 200, 600
    table = pd.DataFrame(
        {
            "item_id": np.repeat([f"s{i}" for i in range(series)], steps),
            "timestamp": np.tile(pd.date_range("2024-01-01", periods=steps, freq="h"), series),
            "target": np.random.default_rng(3).normal(size=series * steps),
        }
    )
    assert len(benchmark(forecaster.predict_df, table, prediction_length=H)) == series * H
