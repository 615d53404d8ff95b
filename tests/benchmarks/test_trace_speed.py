"""Cost of scoring LoRA sites; `pytest tests/benchmarks --benchmark-enable` measures it."""

import numpy as np
import pytest
import torch

from tsmemory.trace.config import MaskConfig
from tsmemory.trace.dsic import score_sites
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.sites import lora_sites

L, ROWS, PASSES = 512, 256, 8


@pytest.fixture(scope="module")
def gated():
    from chronos.chronos_bolt import ChronosBoltModelForForecasting

    from tsmemory.backbones.registry import BUNDLED

    model = ChronosBoltModelForForecasting.from_pretrained(BUNDLED).eval()
    found = GatedLora.attach(model, lora_sites(model), seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name in found.names:
            second = found.pair(name)[1]
            second.copy_(0.01 * torch.randn(second.shape, generator=generator))
    return found


@pytest.mark.parametrize("estimator", ["serial", "per_row"])
def test_scoring_sites(benchmark, gated, estimator):
    contexts = torch.randn(ROWS, L, generator=torch.Generator().manual_seed(1)).cumsum(dim=1)

    def loss_of_rows(batch):
        return gated.model(context=batch).quantile_preds.square().mean(dim=(1, 2))

    def score():
        return score_sites(
            gated,
            loss_of_rows,
            [contexts],
            estimator=estimator,
            passes=PASSES,
            score="abs_mean",
            masks=MaskConfig(),
            generator=np.random.default_rng(0),
        )

    found = benchmark(score)

    assert (found.score > 0).all()
    assert found.passes == (PASSES if estimator == "serial" else 1)
