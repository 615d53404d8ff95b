"""What a table costs beside the model: 2,000 series of 512 steps on a Chronos-Bolt of small size.

`pytest tests/benchmarks/test_predict_df_overhead.py --benchmark-enable` measures; without that
option every piece runs once on a few series and a tiny model. The share of the time that is spent
outside the model is in the benchmark's extra information, to be read with `--benchmark-json`.
"""

import time

import numpy as np
import pandas as pd
import pytest

from builders import save_tiny_bolt
from tsmemory import MemoryForecaster, load_backbone
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_parts import Naive, Residuals
from tsmemory.memory.known_series import KnownSeries

L, H, BLOCK = 512, 64, 24
_BLOCKS = -(-H // BLOCK)
_BAND = tuple((0.1 * level, 0.2 * level, 0.3 * level) for level in range(-4, 5))
FUSION = Fusion(
    BLOCK,
    (0.5,) * _BLOCKS,
    (0.5,) * _BLOCKS,
    (1.1,) * _BLOCKS,
    naive=Naive((0.1,) * _BLOCKS, (0.1,) * _BLOCKS, (0.1,) * _BLOCKS, 24),
    residuals=Residuals((0.3,) * _BLOCKS, (1.0,) * _BLOCKS, (0, 10, H - 1), _BAND),
)


class Timed:
    """A backbone that counts the seconds spent in it."""

    def __init__(self, inner):
        self.inner, self.seconds = inner, 0.0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def encode_and_predict(self, contexts, horizon, **more):
        begin = time.perf_counter()
        output = self.inner.encode_and_predict(contexts, horizon, **more)
        self.seconds += time.perf_counter() - begin
        return output


def save_bolt_small(folder):
    """Save a model of the size of chronos-bolt-small with random weights."""
    import torch
    from chronos.chronos_bolt import ChronosBoltModelForForecasting
    from transformers import T5Config

    config = T5Config(
        d_model=512,
        d_kv=64,
        d_ff=2048,
        num_layers=6,
        num_decoder_layers=6,
        num_heads=8,
        dropout_rate=0.0,
        vocab_size=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        chronos_pipeline_class="ChronosBoltPipeline",
        chronos_config={
            "context_length": 2048,
            "prediction_length": 64,
            "input_patch_size": 16,
            "input_patch_stride": 16,
            "quantiles": [round(level / 10, 1) for level in range(1, 10)],
            "use_reg_token": True,
        },
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ChronosBoltModelForForecasting(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def is_measured(request):
    return bool(request.config.getoption("benchmark_enable"))


@pytest.fixture(scope="module")
def count(is_measured):
    return 2000 if is_measured else 20


@pytest.fixture(scope="module")
def backbone(tmp_path_factory, is_measured):
    folder = tmp_path_factory.mktemp("bolt")
    save = save_bolt_small if is_measured else save_tiny_bolt
    return load_backbone(save(folder))


@pytest.fixture(scope="module")
def forecaster(backbone, count):
    key = backbone.embed(np.zeros((1, L), np.float32)).shape[1]
    adapter = MemoryAdapter(AdapterConfig(L, H, backbone.quantile_levels, key, BLOCK))
    adapter.step.bias.data.fill_(0.1)  # as if something had been learnt: then all of it runs
    items = tuple(f"series {number}" for number in range(count))
    known = KnownSeries(items, ("target",) * count, np.zeros(count), np.ones(count), 0.8)
    return MemoryForecaster(
        Timed(backbone), adapter, FUSION, known, backbone_source="random", domain=None
    )


@pytest.fixture(scope="module")
def table(count):
    return pd.DataFrame(
        {
            "item_id": np.repeat([f"series {number}" for number in range(count)], L),
            "timestamp": np.tile(pd.date_range("2024-01-01", periods=L, freq="h"), count),
            "target": np.random.default_rng(0).normal(size=count * L),
        }
    )


@pytest.mark.parametrize("layout", ["sorted", "shuffled", "gaps"])
def test_forecasting_a_large_table(benchmark, forecaster, table, count, layout):
    if layout == "shuffled":
        table = table.sample(frac=1, random_state=0)
    elif layout == "gaps":
        table = table.drop(index=table.index[5::97])
    few = table[table["item_id"].isin(table["item_id"].unique()[:4])]
    forecaster.predict_df(few, prediction_length=H)  # first use costs more
    forecaster.backbone.seconds, begin = 0.0, time.perf_counter()
    answer = benchmark.pedantic(
        forecaster.predict_df, args=(table,), kwargs={"prediction_length": H}, rounds=1
    )
    whole, model = time.perf_counter() - begin, forecaster.backbone.seconds
    benchmark.extra_info["seconds_outside_the_model"] = whole - model
    benchmark.extra_info["share_outside_the_model"] = 1 - model / whole
    assert len(answer) == count * H
    assert np.isfinite(answer["predictions"]).all()
    assert 0 < model < whole
