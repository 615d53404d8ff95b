"""Layer-wise rates against their formulas, and which weights have them."""

import sys

import pytest
import torch
from torch import nn

from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.large_batch import (
    UpdateRule,
    Weights,
    build_optimizers,
    scaled_rate,
    set_rate,
    warming,
)

LAYERED = ["lars", "lamb"]


class Network(nn.Module):
    """A layer, one that starts at zero, a norm, and a weight that is not learnt."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = nn.Linear(6, 4)
            self.frozen = nn.Linear(4, 4, bias=False).requires_grad_(False)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 3)
        nn.init.zeros_(self.out.weight)

    def forward(self, x):
        return self.out(self.norm(self.frozen(self.layer(x))))


def names_of(model, weights):
    known = {id(weight): name for name, weight in model.named_parameters()}
    return {known[id(weight)] for weight in weights}


def names_in(model, optimizer):
    return [names_of(model, group["params"]) for group in optimizer.param_groups]


def grown(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_weights_are_sorted_by_what_they_are():
    model = Network()
    weights = Weights.of(model)
    assert names_of(model, weights.layers) == {"layer.weight"}
    assert names_of(model, weights.zeros) == {"out.weight"}
    assert names_of(model, weights.rest) == {"layer.bias", "norm.weight", "norm.bias", "out.bias"}
    spared = Weights.of(model, plain=[model.layer.weight])
    assert spared.layers == []
    assert "layer.weight" in names_of(model, spared.rest)


def test_adamw_has_all_weights_and_norms_do_not_decay():
    model = Network()
    (adamw,) = build_optimizers(model, UpdateRule(weight_decay=0.3))
    assert names_in(model, adamw)[0] == {"layer.weight", "out.weight"}
    assert [group["weight_decay"] for group in adamw.param_groups] == [0.3, 0.0]


@pytest.mark.parametrize("kind", LAYERED)
def test_what_has_no_scale_of_its_own_moves_by_adamw(kind):
    pytest.importorskip("pytorch_optimizer")
    model = Network()
    adamw, layered = build_optimizers(model, UpdateRule(kind, weight_decay=0.3))
    assert names_in(model, layered) == [{"layer.weight"}]
    assert names_in(model, adamw)[0] == {"out.weight"}
    assert "norm.weight" in names_in(model, adamw)[1]
    assert [group["weight_decay"] for group in adamw.param_groups] == [0.3, 0.0]


@pytest.mark.parametrize("kind", LAYERED)
def test_adamw_may_have_a_rate_of_its_own(kind):
    pytest.importorskip("pytorch_optimizer")
    config = UpdateRule(kind, learning_rate=0.1, adamw_rate=0.3)
    optimizers = build_optimizers(Network(), config)
    adamw, layered = optimizers
    for rate in (0.1, 0.05):  # the whole rate, as at first, and half of it
        assert [group["lr"] for group in adamw.param_groups] == pytest.approx([3 * rate] * 2)
        assert [group["lr"] for group in layered.param_groups] == [rate]
        set_rate(optimizers, 0.05)


@pytest.mark.parametrize("kind", LAYERED)
def test_models_of_layers_alone_or_without_any(kind):
    pytest.importorskip("pytorch_optimizer")
    assert len(build_optimizers(nn.Linear(3, 3, bias=False), UpdateRule(kind))) == 1
    (adamw,) = build_optimizers(nn.LayerNorm(3), UpdateRule(kind))
    assert isinstance(adamw, torch.optim.AdamW)


def test_lars_moves_a_layer_by_its_own_norm():
    """First step: momentum's share of the rate, times the norm of the weights."""
    pytest.importorskip("pytorch_optimizer")
    layer = nn.Linear(5, 3, bias=False)
    before, gradient = layer.weight.detach().clone(), grown((3, 5), 1)
    config = UpdateRule("lars", 0.1, weight_decay=0.2, betas=(0.9, 0.98))
    (lars,) = build_optimizers(layer, config)
    velocity = torch.zeros_like(before)
    weight = before.clone()
    for seed in (1, 2, 3):
        gradient = grown((3, 5), seed)
        layer.weight.grad = gradient.clone()
        lars.step()
        trust = weight.norm() / (gradient.norm() + 0.2 * weight.norm())
        velocity = 0.9 * velocity + 0.1 * trust * (gradient + 0.2 * weight)
        weight = weight - 0.1 * velocity
        torch.testing.assert_close(layer.weight.detach(), weight)


def test_lamb_moves_a_layer_by_its_own_norm():
    """Algorithm 2 of You et al. (2020), with the decay beside it; a bias correction cancels out."""
    pytest.importorskip("pytorch_optimizer")
    layer = nn.Linear(5, 3, bias=False)
    weight = layer.weight.detach().clone()
    config = UpdateRule("lamb", 0.1, weight_decay=0.2, betas=(0.9, 0.98))
    (lamb,) = build_optimizers(layer, config)
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    for step, seed in enumerate((1, 2, 3), 1):
        gradient = grown((3, 5), seed)
        layer.weight.grad = gradient.clone()
        lamb.step()
        first, second = 0.9 * first + 0.1 * gradient, 0.98 * second + 0.02 * gradient**2
        ratio = (first / (1 - 0.9**step)) / (second / (1 - 0.98**step)).sqrt()
        weight = weight * (1 - 0.1 * 0.2)
        weight = weight - 0.1 * weight.norm() / ratio.norm() * ratio
        torch.testing.assert_close(layer.weight.detach(), weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", LAYERED)
def test_the_size_of_gradients_does_not_matter_to_a_layer(kind):
    """The first step is the same for gradients 1,000 times larger."""
    pytest.importorskip("pytorch_optimizer")
    found = []
    for size in (1.0, 1000.0):
        model = nn.Linear(8, 8, bias=False)
        nn.init.eye_(model.weight)
        (optimizer,) = build_optimizers(model, UpdateRule(kind, 0.1))
        model.weight.grad = size * grown((8, 8), 0)
        optimizer.step()
        found.append(model.weight.detach())
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", LAYERED)
def test_layer_wise_rates_need_float32(kind):
    with pytest.raises(
        ScaleoutError, match=r"computed in float32, and weights are torch\.bfloat16"
    ):
        build_optimizers(nn.Linear(3, 3).bfloat16(), UpdateRule(kind))


@pytest.mark.parametrize("kind", LAYERED)
def test_a_missing_library_is_named(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(ScaleoutError, match=rf"{kind} needs pytorch_optimizer.*\[distributed\]"):
        build_optimizers(nn.Linear(3, 3), UpdateRule(kind))
    assert len(build_optimizers(nn.Linear(3, 3), UpdateRule())) == 1


def test_rates_scale_with_the_batch_and_rise():
    assert scaled_rate(0.1, 64, None) == 0.1
    assert scaled_rate(0.1, 64, 16) == pytest.approx(0.4)
    assert [warming(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert warming(0, 0) == 1.0


def test_one_rate_for_all_groups():
    model = Network()
    optimizers = [
        *build_optimizers(model.layer, UpdateRule()),
        *build_optimizers(model.out, UpdateRule()),
    ]
    set_rate(optimizers, 0.25)
    assert {group["lr"] for o in optimizers for group in o.param_groups} == {0.25}
