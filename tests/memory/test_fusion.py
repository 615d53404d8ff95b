import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import LEVELS
from tsmemory.memory.fusion import Fusion, closed_form_location

MEDIAN, BLOCK = LEVELS.index(0.5), 4
weights = st.tuples(*[st.floats(0, 1) | st.sampled_from([1.0, 1 - 1e-7])] * 3)
factors = st.tuples(*[st.floats(0.1, 9)] * 3)


def fusion_of(location, spread=None, factor=(1.0, 1.0, 1.0)):
    return Fusion(BLOCK, location, location if spread is None else spread, factor)


def test_idle_is_the_backbone_bit_for_bit(ascending):
    backbone, memory = ascending(0), ascending(1)
    memory[0] = torch.nan
    idle = fusion_of((0.0, 0.0, 0.0), factor=(3.0, 0.3, 1.0))
    assert idle.is_idle
    assert torch.equal(idle.apply(backbone, memory, MEDIAN), backbone)


def test_an_idle_block_is_the_backbone_bit_for_bit(ascending):
    backbone, memory = ascending(0), ascending(1)
    fused = fusion_of((0.7, 0.0, 0.2)).apply(backbone, memory, MEDIAN)
    assert torch.equal(fused[:, :, 4:8], backbone[:, :, 4:8])
    assert not torch.isclose(fused[:, :, :4], backbone[:, :, :4]).all()
    assert not fusion_of((0.7, 0.0, 0.2)).is_idle


@pytest.mark.parametrize("a", [0.05, 0.5, 1.0])
def test_the_published_form(ascending, a):
    """``Qb + a (Qm - Qb)`` when spread follows location (TS-Memory, section 4.4)."""
    backbone, memory = ascending(0), ascending(1)
    fused = fusion_of((a,) * 3).apply(backbone, memory, MEDIAN)
    torch.testing.assert_close(fused, backbone + a * (memory - backbone), atol=1e-5, rtol=1e-5)


def test_location_and_spread_are_apart(ascending):
    backbone, memory = ascending(0), ascending(1)
    moved = fusion_of((1.0,) * 3, (0.0,) * 3).apply(backbone, memory, MEDIAN)
    torch.testing.assert_close(moved[:, MEDIAN], memory[:, MEDIAN])
    torch.testing.assert_close(moved.diff(dim=1), backbone.diff(dim=1), atol=1e-5, rtol=1e-4)
    widened = fusion_of((0.0,) * 3, (1.0,) * 3, (2.0,) * 3).apply(backbone, memory, MEDIAN)
    torch.testing.assert_close(widened[:, MEDIAN], backbone[:, MEDIAN])
    torch.testing.assert_close(widened.diff(dim=1), 2 * memory.diff(dim=1), atol=1e-5, rtol=1e-4)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    location=weights,
    spread=weights,
    factor=factors,
    seed=st.integers(0, 999),
    spreads=st.tuples(*[st.sampled_from([0.0, 1e-7, 1e-6, 1.0])] * 2),
)
def test_fused_quantiles_never_cross(ascending, location, spread, factor, seed, spreads):
    """Not by a rounding error either: the crossing rate has to be 0."""
    backbone = ascending(seed, spread=spreads[0])
    memory = ascending(seed + 1, spread=spreads[1])
    fused = fusion_of(location, spread, factor).apply(backbone, memory, MEDIAN)
    assert (fused.diff(dim=1) >= 0).all()


@pytest.mark.parametrize("s", [0.3, 1.0])
def test_levels_that_coincide_in_the_memory_do_not_cross(ascending, s):
    backbone = ascending(0)
    backbone = backbone - backbone[:, [MEDIAN]]
    memory = torch.tensor([-0.3] * 4 + [0.0] + [0.3] * 4)[None, :, None].expand_as(backbone)
    fused = fusion_of((0.0,) * 3, (s,) * 3).apply(backbone, memory, MEDIAN)
    assert (fused.diff(dim=1) >= 0).all()


def test_a_shorter_horizon_is_a_slice(ascending):
    backbone, memory = ascending(0), ascending(1)
    fusion = fusion_of((0.3, 0.8, 1.0), (0.2, 0.0, 1.0), (1.2, 0.7, 2.0))
    longest = fusion.apply(backbone, memory, MEDIAN)
    for horizon in (1, 4, 7):
        part = fusion.apply(backbone[:, :, :horizon], memory[:, :, :horizon], MEDIAN)
        assert torch.equal(part, longest[:, :, :horizon])


def test_it_survives_json():
    fusion = Fusion(24, (0.1, 1.0), (0.0, 1.0), (0.9, 1.3), {"chosen_on": "validation"})
    assert Fusion.from_json(json.loads(json.dumps(fusion.to_json()))) == fusion


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("name", ["location", "spread"])
def test_weights_outside_the_unit_interval_are_refused(name, bad):
    good = {"location": (0.5, 0.5), "spread": (0.5, 0.5), "factor": (1.0, 1.0)}
    with pytest.raises(ValueError, match=rf"{name} must lie in \[0, 1\]"):
        Fusion(24, **{**good, name: (0.5, bad)})


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_factors_that_are_not_positive_are_refused(bad):
    with pytest.raises(ValueError, match="must be positive"):
        Fusion(24, (0.5,), (0.5,), (bad,))


def test_closed_form_location_against_a_fine_grid():
    rng = np.random.default_rng(0)
    memory, target = rng.normal(size=(2, 500, 3))  # the backbone is 0
    target += np.array([0.3, -0.5, 2.0]) * memory
    numerator, denominator = (target * memory).sum(axis=0), (memory**2).sum(axis=0)
    grid = np.linspace(0, 1, 1001)
    errors = ((target[None] - grid[:, None, None] * memory[None]) ** 2).sum(axis=1)
    own = closed_form_location(numerator, denominator, 0.0)
    np.testing.assert_allclose(own, grid[errors.argmin(axis=0)], atol=1e-3)
    shared = closed_form_location(numerator, denominator, 1.0)
    np.testing.assert_allclose(shared, grid[errors.sum(axis=1).argmin()], atol=1e-3)


def test_a_block_that_says_nothing_takes_the_global_weight():
    found = closed_form_location(np.array([3.0, 0.0]), np.array([10.0, 0.0]), 0.25)
    assert found == pytest.approx((0.3, 0.3))
    assert closed_form_location(np.zeros(2), np.zeros(2), 0.5) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("location", "spread", "said"),
    [
        ((0.5, 0.0, 1.0), (0.0, 0.2, 1.0), "the memory is used at all steps"),
        ((0.5, 0.0, 0.0), (0.0, 0.0, 1.0), "the frozen backbone alone at steps 5-8"),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), "the frozen backbone alone at all steps"),
    ],
)
def test_it_says_in_words_where_the_memory_is_used(location, spread, said):
    assert fusion_of(location, spread).describe().startswith(said)
