"""Windows per second of backbones, in one pass and in two, as a Markdown table.

    pytest tests/benchmarks/test_throughput.py --benchmark-enable

Weights of the published sizes are random: the speed does not depend on them. Without that option a
tiny model takes their place, so that the benchmark itself does not rot.
"""

import os

import numpy as np
import pytest
import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from transformers import T5Config
from transformers.utils import logging

from builders import LEVELS, save_tiny_bolt
from tsmemory import load_backbone

L, H = 512, 96
BATCHES = (1, 32, 256)
ROUNDS = {1: 50, 32: 10, 256: 3}
# Published sizes of Chronos-Bolt (Ansari et al., 2024); encoder and decoder have as many layers.
BOLT = {
    "bolt-tiny": {"d_model": 256, "num_layers": 4, "num_heads": 4, "d_ff": 1024},
    "bolt-small": {"d_model": 512, "num_layers": 6, "num_heads": 8, "d_ff": 2048},
    "bolt-base": {"d_model": 768, "num_layers": 12, "num_heads": 12, "d_ff": 3072},
}


def save_bolt(folder, sizes):
    """Save a Chronos-Bolt model of a published size with random weights."""
    logging.disable_progress_bar()
    config = T5Config(
        **sizes,
        num_decoder_layers=sizes["num_layers"],
        d_kv=64,
        vocab_size=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        initializer_factor=0.05,
        chronos_pipeline_class="ChronosBoltPipeline",
        chronos_config={
            "context_length": 2048,
            "prediction_length": 64,
            "input_patch_size": 16,
            "input_patch_stride": 16,
            "quantiles": list(LEVELS),
            "use_reg_token": True,
        },
    )
    torch.manual_seed(0)
    ChronosBoltModelForForecasting(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def measured(request):
    """Whether anything is timed: only then are large models made."""
    return request.config.getoption("benchmark_enable")


@pytest.fixture(scope="module", autouse=True)
def all_cores(measured):
    """Tests run on one thread; here every core counts."""
    before = torch.get_num_threads()
    torch.set_num_threads((os.cpu_count() or 1) if measured else before)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["bundled", *BOLT])
def backbone(request, measured, tmp_path_factory):
    if request.param == "bundled" and measured:
        return request.param, load_backbone("bundled", batch_size=max(BATCHES))
    folder = tmp_path_factory.mktemp(request.param)
    made = save_bolt(folder, BOLT[request.param]) if measured else save_tiny_bolt(folder)
    return request.param, load_backbone(made, batch_size=max(BATCHES))


@pytest.fixture(scope="module")
def table(request):
    """Rows ``(backbone, batch, way) -> windows per second``, shown at the end."""
    speed = {}
    yield speed
    if not speed:
        return
    names = list(dict.fromkeys(name for name, _, _ in speed))
    lines = [
        f"windows per second, {L} -> {H}, {torch.get_num_threads()} threads",
        "",
        "| backbone | batch | keys and quantiles in one pass | embed, then predict | ratio |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in names:
        for batch in BATCHES:
            one, two = (speed.get((name, batch, way), np.nan) for way in ("one", "two"))
            lines.append(f"| {name} | {batch} | {one:.1f} | {two:.1f} | {one / two:.2f} |")
    plugins = request.config.pluginmanager
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        plugins.get_plugin("terminalreporter").write("\n".join(["", "", *lines, ""]))


@pytest.mark.parametrize("way", ["one", "two"])
@pytest.mark.parametrize("batch", BATCHES)
def test_keys_and_quantiles(benchmark, backbone, table, measured, batch, way):
    name, model = backbone
    count = batch if measured else min(batch, 2)
    contexts = np.random.default_rng(0).normal(size=(count, L)).astype(np.float32)

    def one():
        return model.encode_and_predict(contexts, H)

    def two():
        return model.embed(contexts), model.predict_quantiles(contexts, H)

    keys, quantiles = benchmark.pedantic(
        one if way == "one" else two, rounds=ROUNDS[batch], warmup_rounds=1
    )
    assert len(keys) == count
    assert quantiles.shape == (count, len(LEVELS), H)
    if measured:
        table[name, batch, way] = batch / benchmark.stats.stats.median
