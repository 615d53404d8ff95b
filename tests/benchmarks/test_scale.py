"""What a window costs with many of them; ``python -m tsmemory.teacher.bench_scale`` measures."""

import os
from functools import partial

import numpy as np
import pytest
import torch

from tsmemory.retrieval.matrix import search_on_device
from tsmemory.retrieval.nearest import make_index, search_admissible
from tsmemory.scaleout.config import ShardsConfig
from tsmemory.teacher.bench_scale import Scale, measure


@pytest.mark.skipif(
    not os.path.exists("/proc/self/smaps_rollup"), reason="memory is Linux's to tell"
)
@pytest.mark.parametrize("kind", ["auto", "ivf"])
def test_every_stage_is_measured(tmp_path, kind):
    scale = Scale(1000, context_length=64, horizon=8, k=5, index_kind=kind)
    found = measure(scale, tmp_path, ShardsConfig())
    assert list(found["stages"]) == ["panel", "embedding", "index", "neighbours", "quantiles"]
    assert found["cpu_ms_a_window"] > 0
    assert found["index"]["kind"] == ("flat" if kind == "auto" else "ivf")
    assert found["index"]["recall_of_neighbours"] >= 0.98


@pytest.mark.parametrize("device", ["faiss", "cpu", "cuda"])
def test_exact_search(benchmark, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(20_000, 256)).astype(np.float32)
    low, high = np.full(256, 5000), np.full(256, 6000)
    on_device = partial(search_on_device, device=device)
    search = search_admissible if device == "faiss" else on_device
    position, _ = benchmark(search, make_index(keys, "flat"), keys[:256], low, high, 20)
    np.testing.assert_array_equal(position[:, 0], np.arange(256))
