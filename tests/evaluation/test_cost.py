from functools import partial

import numpy as np
import pytest
import torch
from torch.backends import mha

from builders import LEVELS, save_tiny_bolt
from domains import H, L
from tsmemory import MemoryForecaster, load_backbone
from tsmemory.evaluation import cost
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.paper_adapter import PaperAdapter, PaperConfig

OPEN = Fusion(4, (0.7, 0.2, 0.0), (1.0, 0.5, 0.0), (1.3, 0.8, 1.0))


@pytest.fixture(scope="module")
def forecaster(domain, adapters):
    return MemoryForecaster(
        domain.backbone,
        adapters[3],
        OPEN,
        KnownSeries.from_training(domain.series, domain.train_windows),
        backbone_source="seasonal_naive",
        domain="made up",
        backbone_options={"season": 8},
    )


@pytest.fixture(scope="module")
def table(domain, forecaster):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "_BUDGET_SECONDS", 0.0)
        return cost.measure_cost(
            forecaster,
            domain.backbone,
            domain.validation_windows.take(slice(0, 3)).contexts(domain.series),
            horizons=(4, H),
            batches=(1, 5),
            datastore=domain.store,
        )


def value_of(table, metric):
    return table.loc[table["metric"] == metric, "value"].item()


def test_one_line_for_each_combination(table):
    assert list(table) == ["method", "horizon", "batch", "metric", "value"]
    latency = table[table["metric"] == "latency_ms_per_window"]
    keys = list(zip(latency["method"], latency["horizon"], latency["batch"], strict=True))
    expected = {(x, h, b) for x in ("frozen", "tsmemory") for h in (4, H) for b in (1, 5)}
    assert len(keys) == len(expected)
    assert set(keys) == expected
    ratio = table[table["metric"] == "latency_ratio"]
    assert set(ratio["method"]) == {"tsmemory"}
    pairs = list(zip(ratio["horizon"], ratio["batch"], strict=True))
    assert sorted(pairs) == [(4, 1), (4, 5), (H, 1), (H, 5)]
    # A seasonal naive backbone multiplies nothing, so only the adapter has its work counted.
    assert table.loc[table["metric"].str.contains("flops"), "horizon"].tolist() == [4, H]
    assert len(table) == 8 + 4 + 2 + 3 + 2


def test_values_are_positive(table):
    assert (table["value"] > 0).all()
    assert np.isfinite(table["value"]).all()


def test_artefact_bytes_are_those_of_the_file_that_is_shipped(table, forecaster, tmp_path):
    forecaster.save_pretrained(tmp_path)
    assert value_of(table, "artefact_bytes") == (tmp_path / "model.safetensors").stat().st_size


def test_parameters_are_those_of_the_adapter(table, forecaster):
    adapter = forecaster.adapter
    trained = sum(parameter.numel() for parameter in adapter.parameters())
    whole = sum(tensor.numel() for tensor in adapter.state_dict().values())
    assert value_of(table, "trained_parameters") == trained
    assert value_of(table, "closed_form_parameters") <= whole - trained
    assert value_of(table, "closed_form_parameters") >= L * H + H


def test_the_datastore_is_what_retrieval_has_to_hold(table, domain):
    windows = len(domain.train_windows)
    keys = windows * L * 4
    places = windows * (domain.store.row.itemsize + domain.store.start.itemsize)
    places += windows * domain.store.calendar.itemsize
    assert value_of(table, "datastore_windows") == windows
    assert value_of(table, "datastore_bytes_at_inference") == keys + places


def test_the_work_of_the_adapter_is_that_of_its_products(table, domain, forecaster):
    config = forecaster.adapter.config
    patches, keys = -(-L // config.patch_length), domain.train.forecasts.keys.shape[1]
    width, blocks = config.width, config.blocks
    for horizon in (4, H):
        products = patches * config.patch_length * config.patch_width
        products += (patches * config.patch_width + keys) * width
        products += L * horizon + width * (horizon + blocks + 8 * blocks)
        counted = table[
            (table["metric"] == "adapter_flops_per_window") & (table["horizon"] == horizon)
        ]
        assert counted["value"].item() == 2 * products


def test_attention_is_counted_whatever_kernel_computes_it():
    config = PaperConfig(16, 6, LEVELS, 4, width=8, heads=2, feedforward=5, encoder_layers=1)
    adapter = PaperAdapter(config).eval().requires_grad_(False)
    inputs = torch.randn(1, 16), torch.zeros(1, 9, 6), torch.zeros(1, 3)
    P, S, D, F, layers = 4, 6, 8, 5, config.decoder_layers
    encoder = 4 * P * D * D + 2 * P * P * D + 2 * P * D * F
    own = 4 * S * D * D + 2 * S * S * D
    across = 2 * S * D * D + 2 * P * D * D + 2 * S * P * D
    products = 4 * P * D + encoder + layers * (own + across + 2 * S * D * F) + S * D * 9
    assert cost.count_flops(lambda: adapter(*inputs)) == 2 * products
    assert mha.get_fastpath_enabled()


def test_a_real_backbone_is_counted(tmp_path, domain):
    backbone = load_backbone(save_tiny_bolt(tmp_path, context_length=L, horizon=8))
    adapter = MemoryAdapter(AdapterConfig(L, H, backbone.quantile_levels, 16, block=4))
    known = KnownSeries.from_training(domain.series, domain.train_windows)
    forecaster = MemoryForecaster(
        backbone, adapter, OPEN, known, backbone_source="tiny", domain=None
    )
    contexts = domain.validation_windows.take(slice(0, 1)).contexts(domain.series)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "_BUDGET_SECONDS", 0.0)
        table = cost.measure_cost(
            forecaster, backbone, contexts, horizons=(8, H), batches=(), datastore=domain.store
        )
    frozen = table[table["method"] == "frozen"].set_index(["metric", "horizon"])["value"]
    assert frozen["parameters", ""] == backbone.parameter_count > 1000
    # One pass reaches 8 steps; the second pass to 10 costs as much again.
    assert frozen["flops_per_window", H] == 2 * frozen["flops_per_window", 8] > 0


class Clock:
    """A clock that moves by what calls are said to take."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Timed:
    """Forecasts nothing and takes its time."""

    quantile_levels = (0.5,)
    needs_origins = False

    def __init__(self, clock, seconds, inner=None):
        self.clock, self.seconds, self.calls, self.inner = clock, list(seconds), [], inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def predict_quantiles(self, contexts, horizon, levels=None):
        self.clock.now += self.seconds[min(len(self.calls), len(self.seconds) - 1)]
        self.calls.append((contexts, horizon, levels))


def test_latency_is_the_median_by_window_and_the_ratio_that_of_pairs(
    monkeypatch, domain, forecaster
):
    clock = Clock()
    monkeypatch.setattr(cost, "time", clock)
    monkeypatch.setattr(cost, "_BUDGET_SECONDS", 0.0)
    frozen = Timed(clock, [100.0, 1.0, 2.0, 10.0])  # the first warms up
    fused = Timed(clock, [100.0, 3.0, 5.0, 11.0], forecaster)
    contexts = np.arange(2.0 * L, dtype=np.float32).reshape(2, L)
    table = cost.measure_cost(
        fused, frozen, contexts, horizons=(4,), batches=(5,), datastore=domain.store
    )
    latency = table[table["metric"] == "latency_ms_per_window"].set_index("method")["value"]
    assert latency.to_dict() == {"frozen": 400.0, "tsmemory": 1000.0}
    assert value_of(table, "latency_ratio") == 2.5  # of 3, 2.5 and 1.1
    assert len(frozen.calls) == len(fused.calls) == 4
    sample, horizon, levels = fused.calls[0]
    assert (sample.shape, horizon, levels) == ((5, L), 4, [0.5])
    np.testing.assert_array_equal(sample, contexts[[0, 1, 0, 1, 0]])


def test_forecasts_that_are_looked_up_have_no_latency(domain, forecaster):
    looked_up = Timed(Clock(), [1.0])
    looked_up.needs_origins = True
    contexts = np.zeros((2, L), dtype=np.float32)
    table = cost.measure_cost(
        forecaster, looked_up, contexts, horizons=(4,), batches=(5,), datastore=domain.store
    )
    assert looked_up.calls == []
    assert value_of(table, "artefact_bytes") > 0
    assert not table["metric"].str.startswith("latency").any()


def test_calls_are_repeated_while_time_is_left(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(cost, "time", clock)
    monkeypatch.setattr(cost, "_BUDGET_SECONDS", 2.0)
    for seconds, pairs in ((0.25, 4), (5.0, 3), (0.001, 40)):
        first, second = (Timed(clock, [seconds]) for _ in range(2))
        calls = (partial(timed.predict_quantiles, None, 1) for timed in (first, second))
        times = cost.paired_times(*calls)
        assert [len(part) for part in times] == [pairs, pairs]
