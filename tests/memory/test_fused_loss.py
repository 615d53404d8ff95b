import pytest
import torch

from builders import LEVELS
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.fused_loss import WEIGHTS, best_scalar_fusion, fused_loss
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.objective import pinball


class Given(torch.nn.Module):
    """Says a share of the backbone's forecast whatever the weights."""

    device = torch.device("cpu")

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, contexts, quantiles, keys):
        return self.share * quantiles


def test_it_is_the_mean_over_known_steps(domain):
    config = AdapterConfig(32, 10, LEVELS, domain.train.forecasts.keys.shape[1], block=4)
    model = MemoryAdapter(config).eval()
    fusion = Fusion(4, (0.5,) * 3, (1.0,) * 3, (1.0,) * 3)
    contexts, target, quantiles, keys = domain.validation.tensors()
    with torch.inference_mode():
        fused = fusion.apply(quantiles, model(contexts, quantiles, keys), 4)
    known = ~torch.isnan(target)
    expected = pinball(target, fused, torch.tensor(LEVELS))[known].mean().item()
    assert fused_loss(model, domain.validation, fusion) == pytest.approx(expected, rel=1e-5)


def test_the_published_fusion_is_the_best_of_a_grid(domain):
    model = Given(0.7)
    fusion, loss = best_scalar_fusion(model, domain.validation)
    _, target, quantiles, _ = domain.validation.tensors()
    losses = [
        pinball(target, quantiles + a * (0.7 * quantiles - quantiles), torch.tensor(LEVELS))
        .sum()
        .item()
        / int((~torch.isnan(target)).sum())
        for a in WEIGHTS
    ]
    assert len(WEIGHTS) == 21
    assert loss == pytest.approx(min(losses), rel=1e-5)
    assert fusion.location == fusion.spread == (WEIGHTS[losses.index(min(losses))],)
    assert 0 < fusion.location[0] < 1
    assert fused_loss(model, domain.validation, fusion) == pytest.approx(loss)


def test_a_broken_adapter_leaves_the_backbone_alone(domain):
    fusion, loss = best_scalar_fusion(Given(float("nan")), domain.validation)
    assert fusion.is_idle
    assert loss == pytest.approx(fused_loss(Given(1.0), domain.validation, fusion))
