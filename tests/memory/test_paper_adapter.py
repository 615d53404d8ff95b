import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import LEVELS
from tsmemory.memory import paper_adapter
from tsmemory.memory.paper_adapter import PaperAdapter, PaperConfig

L, H = 32, 10
SIZES = {
    "patch_length": 5,
    "width": 8,
    "heads": 2,
    "feedforward": 12,
    "encoder_layers": 2,
    "decoder_layers": 2,
}


@pytest.fixture
def paper():
    """A small adapter of the paper profile with random weights."""
    torch.manual_seed(0)
    return PaperAdapter(PaperConfig(L, H, LEVELS, **SIZES)).eval()


@pytest.mark.parametrize("horizon", [96, 720])
def test_the_published_size(horizon):
    adapter = PaperAdapter(PaperConfig(512, horizon, LEVELS))
    count = adapter.describe()["trained_parameters"]
    assert count == sum(parameter.numel() for parameter in adapter.parameters())
    assert count == pytest.approx(5.3e6, rel=0.04)
    D, F = 256, 1024
    attention, forward, norm = 4 * (D * D + D), 2 * D * F + F + D, 2 * D
    encoder = 4 * (attention + forward + 2 * norm)
    decoder = 2 * (2 * attention + forward + 3 * norm)
    ends = (16 * D + D) + 32 * D + horizon * D + (D * 9 + 9)
    assert count == encoder + decoder + ends


def test_it_is_the_published_architecture():
    adapter = PaperAdapter(PaperConfig(512, 96, LEVELS))
    assert (len(adapter.encoder), len(adapter.decoder), adapter.config.patches) == (4, 2, 32)
    for layer in (*adapter.encoder, *adapter.decoder):
        assert layer.norm_first
        assert layer.self_attn.num_heads == 8
        assert layer.linear1.out_features == 1024
        assert layer.activation is torch.nn.functional.gelu
        assert layer.dropout.p == 0.1
    first, second = adapter.encoder[:2]
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10_000), size=st.floats(0.01, 10))
def test_quantiles_ascend_for_any_weights(paper, adapter_inputs, shake, seed, size):
    memory = shake(paper, seed, size)(*adapter_inputs)
    assert torch.isfinite(memory).all()
    assert (memory.diff(dim=1) >= 0).all()


def test_in_training_they_may_cross_and_are_the_same_values(paper, adapter_inputs):
    expected = paper(*adapter_inputs)
    for module in paper.modules():
        module.training = not isinstance(module, torch.nn.Dropout | torch.nn.MultiheadAttention)
    memory = paper(*adapter_inputs)
    assert (memory.diff(dim=1) < 0).any()
    torch.testing.assert_close(memory.sort(dim=1).values, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("horizon", [1, 3, 9])
def test_a_shorter_horizon_is_a_slice(paper, adapter_inputs, horizon):
    contexts, quantiles, keys = adapter_inputs
    longest = paper(contexts, quantiles, keys)
    shorter = paper(contexts, quantiles[:, :, :horizon], keys)
    torch.testing.assert_close(shorter, longest[:, :, :horizon])


def test_every_step_has_a_query_of_its_own(paper, adapter_inputs):
    memory = paper(*adapter_inputs)
    assert (memory.std(dim=2) > 1e-4).all()
    before = memory.clone()
    with torch.no_grad():
        paper.query[3] += 1
    changed = (paper(*adapter_inputs) - before).abs().amax(dim=(0, 1))
    assert changed.argmax() == 3


def test_the_order_of_patches_matters(paper, adapter_inputs):
    _, quantiles, keys = adapter_inputs
    contexts = torch.randn(6, 30)
    turned = contexts.reshape(6, 6, 5).flip(1).reshape(6, 30)
    assert not torch.allclose(
        _at(paper, 30)(contexts, quantiles, keys), _at(paper, 30)(turned, quantiles, keys)
    )


def _at(paper, context_length):
    """The same weights for contexts of whole patches."""
    other = PaperAdapter(PaperConfig(context_length, H, LEVELS, **SIZES)).eval()
    state = paper.state_dict()
    state["position"] = state["position"][: other.config.patches]
    other.load_state_dict(state)
    return other


def test_it_follows_level_and_unit(paper, adapter_inputs):
    contexts, quantiles, keys = adapter_inputs
    moved = paper(5 * contexts - 30, quantiles, keys)
    torch.testing.assert_close(
        moved, 5 * paper(contexts, quantiles, keys) - 30, atol=2e-3, rtol=1e-3
    )


def test_it_forecasts_from_the_context_alone(paper, adapter_inputs):
    contexts, quantiles, keys = adapter_inputs
    other = paper(contexts, torch.zeros_like(quantiles), keys[:, :1])
    assert torch.equal(other, paper(contexts, quantiles, keys))


def test_the_batch_does_not_matter(paper, adapter_inputs, monkeypatch):
    whole = paper(*adapter_inputs)
    for number in range(len(whole)):
        one = paper(*(part[number : number + 1] for part in adapter_inputs))
        torch.testing.assert_close(one[0], whole[number], atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(paper_adapter, "_STEPS_AT_A_TIME", 4 * H)  # four windows, then two
    torch.testing.assert_close(paper(*adapter_inputs), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 2.5, math.nan])
def test_a_constant_or_unobserved_context_gives_its_level(paper, adapter_inputs, value):
    contexts, quantiles, keys = adapter_inputs
    level = 0.0 if math.isnan(value) else value
    memory = paper(torch.full_like(contexts, value), quantiles, keys)
    torch.testing.assert_close(memory, torch.full((6, 9, H), level))


def test_everything_is_trained(paper, adapter_inputs):
    paper.train()
    paper(*adapter_inputs).square().sum().backward()
    still = [name for name, p in paper.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
    assert set(dict(paper.named_parameters())) == set(paper.state_dict())


def test_levels_need_not_be_nine():
    adapter = PaperAdapter(PaperConfig(L, H, (0.05, 0.5, 0.8, 0.95), **SIZES)).eval()
    memory = adapter(torch.randn(2, L), torch.zeros(2, 4, 3), torch.zeros(2, 1))
    assert memory.shape == (2, 4, 3)
    assert adapter.config.median == 1


def test_the_description_names_the_profile(paper):
    text = paper.describe()
    assert text["profile"] == "paper"
    assert text["closed_form_parameters"] == 0
    assert text["width"] == 8
