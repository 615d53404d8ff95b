import math
from dataclasses import replace
from statistics import NormalDist

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import LEVELS
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.instance_norm import instance_normalise

L, H, KEY = 32, 10, 5
MEDIAN = LEVELS.index(0.5)
quick = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_it_starts_as_the_closed_form(fresh_adapter, ridge, adapter_inputs):
    contexts, quantiles, keys = adapter_inputs
    memory = fresh_adapter(contexts, quantiles, keys)
    line = torch.from_numpy(ridge.predict(contexts.numpy()))
    torch.testing.assert_close(memory[:, MEDIAN], line, atol=1e-5, rtol=1e-5)
    factor = torch.tensor([0.5] * 4 + [1.5] * 4 + [2.0] * 2)  # blocks of four steps
    torch.testing.assert_close(
        memory.diff(dim=1), quantiles.diff(dim=1) * factor, atol=1e-4, rtol=1e-4
    )


def test_dropout_does_not_touch_the_closed_form(fresh_adapter, adapter_inputs):
    expected = fresh_adapter(*adapter_inputs)
    fresh_adapter.train()
    torch.testing.assert_close(fresh_adapter(*adapter_inputs), expected)


@quick
@given(seed=st.integers(0, 10_000), size=st.floats(0.01, 30))
def test_quantiles_ascend_for_any_weights(fresh_adapter, adapter_inputs, shake, seed, size):
    memory = shake(fresh_adapter, seed, size)(*adapter_inputs)
    assert torch.isfinite(memory).all()
    assert (memory.diff(dim=1) >= 0).all()


@pytest.mark.parametrize("horizon", [1, 3, 4, 5, 9])
def test_a_shorter_horizon_is_a_slice(fresh_adapter, adapter_inputs, shake, horizon):
    contexts, quantiles, keys = adapter_inputs
    adapter = shake(fresh_adapter, size=0.3)
    longest = adapter(contexts, quantiles, keys)
    torch.testing.assert_close(
        adapter(contexts, quantiles[:, :, :horizon], keys), longest[:, :, :horizon]
    )


def test_it_follows_level_and_unit(fresh_adapter, adapter_inputs, shake):
    contexts, quantiles, keys = adapter_inputs
    adapter = shake(fresh_adapter, size=0.3)
    moved = adapter(5 * contexts - 30, 5 * quantiles - 30, keys)
    torch.testing.assert_close(
        moved, 5 * adapter(contexts, quantiles, keys) - 30, atol=2e-3, rtol=1e-3
    )


def test_another_ridge_may_speak_in_place_of_its_own(fresh_adapter, adapter_inputs, shake):
    contexts, quantiles, keys = adapter_inputs
    adapter = shake(fresh_adapter, size=0.3)
    normal = instance_normalise(contexts)
    own = adapter(contexts, quantiles, keys)
    said = normal.values @ adapter.weight + adapter.bias
    torch.testing.assert_close(adapter(contexts, quantiles, keys, normal, said), own)
    other = torch.randn(said.shape, generator=torch.Generator().manual_seed(1))
    found = adapter(contexts, quantiles, keys, normal, other)
    adapter.weight.zero_()
    adapter.bias.fill_(1e6)
    torch.testing.assert_close(adapter(contexts, quantiles, keys, normal, other), found)
    assert (found - own).abs().max() > 0.1


def test_the_batch_does_not_matter(fresh_adapter, adapter_inputs, shake):
    adapter = shake(fresh_adapter, size=0.3)
    whole = adapter(*adapter_inputs)
    for number in range(len(whole)):
        one = adapter(*(part[number : number + 1] for part in adapter_inputs))
        torch.testing.assert_close(one[0], whole[number], atol=1e-5, rtol=1e-5)
    mixed = torch.cat(
        [
            adapter(*(part[:4] for part in adapter_inputs)),
            adapter(*(part[4:] for part in adapter_inputs)),
        ]
    )
    torch.testing.assert_close(mixed, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 2.5, math.nan])
def test_a_constant_or_unobserved_context_gives_a_level_without_nan(
    fresh_adapter, adapter_inputs, shake, value
):
    contexts, quantiles, keys = adapter_inputs
    contexts = torch.full_like(contexts, value)
    level = 0.0 if math.isnan(value) else value
    start = fresh_adapter(contexts, quantiles, keys)
    torch.testing.assert_close(start[:, MEDIAN], torch.full((6, H), level))
    flat = torch.full_like(quantiles, level)  # what a backbone says of such a context
    for adapter in (fresh_adapter, shake(fresh_adapter, size=0.3)):
        torch.testing.assert_close(adapter(contexts, flat, keys), flat)
        assert torch.isfinite(adapter(contexts, quantiles, keys)).all()


def test_the_formula_of_the_median(fresh_adapter, adapter_inputs, shake):
    """``line + s (Qb - line) + scale u``, with s by block and u by step."""
    contexts, quantiles, keys = adapter_inputs
    adapter = shake(fresh_adapter, size=0.3)
    normal = instance_normalise(contexts)
    hidden = adapter.hidden(normal, keys)
    line = normal.loc + normal.scale * (normal.values @ adapter.weight + adapter.bias)
    trust = adapter.trust(hidden)[:, [0] * 4 + [1] * 4 + [2] * 2]
    expected = line + trust * (quantiles[:, MEDIAN] - line) + normal.scale * adapter.step(hidden)
    actual = adapter(contexts, quantiles, keys)[:, MEDIAN]
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_only_the_correction_is_trained(fresh_adapter, adapter_inputs, shake):
    adapter = shake(fresh_adapter, size=0.3)
    adapter(*adapter_inputs).square().sum().backward()
    gradients = {n: p.grad for n, p in adapter.named_parameters()}
    assert all(g is not None and g.abs().sum() > 0 for g in gradients.values())
    assert {name.split(".")[0] for name in gradients} == {
        "patch", "mix", "key", "step", "trust", "widen",
    }  # fmt: skip
    assert set(adapter.state_dict()) - set(gradients) == {"weight", "bias", "spread"}
    assert not any(buffer.requires_grad for buffer in adapter.buffers())


def test_at_the_start_only_the_heads_have_a_gradient(fresh_adapter, adapter_inputs):
    fresh_adapter(*adapter_inputs).square().sum().backward()
    moving = {n.split(".")[0] for n, p in fresh_adapter.named_parameters() if p.grad.any()}
    assert moving == {"step", "trust", "widen"}


def test_the_description_counts_parameters(fresh_adapter):
    text = fresh_adapter.describe()
    assert text["trained_parameters"] == sum(p.numel() for p in fresh_adapter.parameters())
    assert text["closed_form_parameters"] == L * H + H + 3
    assert text["block"] == 4


@pytest.mark.parametrize(("horizon", "block", "blocks"), [(10, 4, 3), (8, 4, 2), (3, 24, 1)])
def test_blocks(horizon, block, blocks):
    config = AdapterConfig(L, horizon, LEVELS, KEY, block=block)
    assert config.blocks == blocks
    assert MemoryAdapter(config).spread.shape == (blocks,)


def test_levels_need_not_be_nine():
    config = AdapterConfig(L, H, (0.05, 0.5, 0.8, 0.95), KEY)
    adapter = MemoryAdapter(config).eval()
    quantiles = torch.randn(2, 4, H).sort(dim=1).values
    memory = adapter(torch.randn(2, L), quantiles, torch.randn(2, KEY))
    assert memory.shape == (2, 4, H)
    torch.testing.assert_close(memory.diff(dim=1), quantiles.diff(dim=1), atol=1e-5, rtol=1e-4)


def without(fresh_adapter, ridge, base):
    """The adapter of another base, as it stands before training."""
    adapter = MemoryAdapter(replace(fresh_adapter.config, base=base))
    adapter.start_from(ridge, torch.tensor([0.5, 1.5, 2.0]))
    return adapter.eval()


def test_without_the_ridge_it_starts_as_the_backbone(fresh_adapter, ridge, adapter_inputs):
    _, quantiles, _ = adapter_inputs
    memory = without(fresh_adapter, ridge, "backbone")(*adapter_inputs)
    torch.testing.assert_close(memory[:, MEDIAN], quantiles[:, MEDIAN])
    factor = torch.tensor([0.5] * 4 + [1.5] * 4 + [2.0] * 2)
    torch.testing.assert_close(
        memory.diff(dim=1), quantiles.diff(dim=1) * factor, atol=1e-4, rtol=1e-4
    )


def test_without_the_backbone_it_starts_as_the_ridge_with_normal_widths(
    fresh_adapter, ridge, adapter_inputs
):
    contexts, _, _ = adapter_inputs
    memory = without(fresh_adapter, ridge, "ridge")(*adapter_inputs)
    line = torch.from_numpy(ridge.predict(contexts.numpy()))
    torch.testing.assert_close(memory[:, MEDIAN], line, atol=1e-5, rtol=1e-5)
    normal = torch.tensor([NormalDist().inv_cdf(level) for level in LEVELS])
    expected = instance_normalise(contexts).scale[:, :, None] * normal[:, None]
    torch.testing.assert_close(
        memory - memory[:, [MEDIAN]], expected.expand(-1, -1, H), atol=1e-4, rtol=1e-4
    )


def test_without_the_backbone_its_quantiles_do_not_matter(
    fresh_adapter, ridge, adapter_inputs, shake
):
    contexts, quantiles, keys = adapter_inputs
    adapter = shake(without(fresh_adapter, ridge, "ridge"), size=0.3)
    memory = adapter(contexts, quantiles, keys)
    torch.testing.assert_close(adapter(contexts, 3 * quantiles - 7, keys), memory)
    assert (memory.diff(dim=1) >= 0).all()


def test_without_the_ridge_it_does_not_matter(fresh_adapter, ridge, adapter_inputs, shake):
    adapter = shake(without(fresh_adapter, ridge, "backbone"), size=0.3)
    memory = adapter(*adapter_inputs)
    adapter.weight.zero_()
    torch.testing.assert_close(adapter(*adapter_inputs), memory)
    assert (memory.diff(dim=1) >= 0).all()
