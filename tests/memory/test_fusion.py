import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import LEVELS
from tsmemory.memory.config import GateConfig
from tsmemory.memory.fusion import Fusion, closed_form_location
from tsmemory.memory.fusion_parts import Channel, Naive, Residuals, between_knots, spread_knots
from tsmemory.metrics import seasonal_naive

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


SEASON, HORIZON = 3, 10
KNOTS = (0, 2, 9)
OWN = ((0.8, 0.0, 0.3), (0.0, 0.5, 0.1), (0.1, 0.0, 0.0), (0.1, 0.3, 0.0))  # of a channel
OFFSETS = tuple((0.1 * j, 0.2 * j, 0.5 * j) for j in range(-4, 5))


def mixed_fusion(**changes):
    parts = {
        "location": (0.5, 0.2, 0.0),
        "spread": (0.3, 0.0, 1.0),
        "factor": (1.2, 1.0, 0.7),
        "naive": Naive((0.1, 0.7, 0.0), (0.3, 0.0, 0.6), (0.1, 0.1, 0.3), SEASON),
        "residuals": Residuals((0.5, 1.0, 0.0), (0.9, 2.0, 1.0), KNOTS, OFFSETS),
    }
    return Fusion(BLOCK, **{**parts, **changes})


def some_contexts(seed=0, batch=6, length=12):
    values = np.random.default_rng(seed).normal(3, 2, (batch, length)).astype(np.float32)
    return torch.from_numpy(values)


def test_all_that_is_mixed_against_a_loop(ascending):
    backbone, memory, contexts = ascending(0), ascending(1), some_contexts()
    fusion = mixed_fusion()
    fused = fusion.apply(backbone, memory, MEDIAN, contexts).numpy()
    x = contexts.numpy()
    season = seasonal_naive(x, HORIZON, SEASON)
    residuals = between_knots(KNOTS, OFFSETS, HORIZON)
    for row in range(len(x)):
        for step in range(HORIZON):
            block = step // BLOCK
            b, m = backbone[row, :, step].numpy(), memory[row, :, step].numpy()
            a, n, p, h = (w[block] for w in (fusion.location, *_naive(fusion)))
            s, r = fusion.spread[block], fusion.residuals.weight[block]
            middle = b[MEDIAN] * (1 - a - n - p) + a * m[MEDIAN]
            middle += n * x[row, -1] + p * season[row, step]
            middle -= h * x[row].mean().clip(-3, 3)
            widths = (1 - s - r) * (b - b[MEDIAN]) + s * fusion.factor[block] * (m - m[MEDIAN])
            unit = np.sqrt(x[row].std())
            widths += r * fusion.residuals.factor[block] * unit * residuals[:, step]
            np.testing.assert_allclose(fused[row, :, step], middle + widths, atol=2e-5)
    assert (np.diff(fused, axis=1) >= 0).all()


def _naive(fusion):
    return fusion.naive.last_value, fusion.naive.seasonal, fusion.naive.long_run


def test_offsets_between_knots_are_linear_and_hold_beyond_the_last():
    offsets = between_knots((0, 2, 5), ((0.0, 1.0, 4.0), (1.0, 1.0, 4.0)), 8)
    np.testing.assert_allclose(offsets[0], [0, 0.5, 1, 2, 3, 4, 4, 4])
    assert (np.diff(offsets, axis=0) >= 0).all()


@pytest.mark.parametrize("horizon", [1, 2, 24, 96, 720])
def test_knots_reach_from_the_first_to_the_last_step(horizon):
    knots = spread_knots(horizon)
    assert knots[0] == 0
    assert knots[-1] == horizon - 1
    assert (np.diff(knots) >= 1).all()
    assert len(knots) <= 40


@pytest.mark.parametrize("channels", [None, ["b", "new", "a"]])
def test_mixing_is_independent_of_the_batch_and_of_the_horizon(ascending, channels):
    own = Channel(*OWN, (2.0, 0.5, 1.0))
    other = Channel(*[(0.0,) * 3] * 4, (1.0,) * 3)
    fusion = mixed_fusion(channels={"a": own, "b": other}, gate=GateConfig(max_disagreement=1.0))
    backbone, memory, contexts = ascending(0, 3), ascending(1, 3), some_contexts(batch=3)
    contexts[1, 2:5] = torch.nan
    contexts[2, -4:] = torch.nan
    whole = fusion.apply(backbone, memory, MEDIAN, contexts, channels)
    for row in range(3):
        at = slice(row, row + 1)
        names = None if channels is None else channels[at]
        part = fusion.apply(backbone[at, :, :7], memory[at, :, :7], MEDIAN, contexts[at], names)
        torch.testing.assert_close(part, whole[at, :, :7], rtol=1e-5, atol=1e-5)


def test_channels_have_weights_and_residuals_of_their_own(ascending):
    own = Channel(*OWN, (2.0, 0.5, 1.0))
    fusion = mixed_fusion(channels={"a": own})
    backbone, memory, contexts = ascending(0), ascending(1), some_contexts()
    fused = fusion.apply(backbone, memory, MEDIAN, contexts, ["a"] * 3 + ["z"] * 3)
    alone = mixed_fusion(
        location=own.location,
        naive=Naive(own.last_value, own.seasonal, own.long_run, SEASON),
        residuals=Residuals((0.5, 1.0, 0.0), (1.8, 1.0, 1.0), KNOTS, OFFSETS),
    )
    torch.testing.assert_close(
        fused[:3], alone.apply(backbone[:3], memory[:3], MEDIAN, contexts[:3])
    )
    shared = mixed_fusion().apply(backbone[3:], memory[3:], MEDIAN, contexts[3:])
    torch.testing.assert_close(fused[3:], shared)


def test_a_channel_that_is_idle_is_the_backbone_bit_for_bit(ascending):
    idle = Channel(*[(0.0,) * 3] * 4, (1.0,) * 3)
    fusion = Fusion(
        BLOCK,
        (0.5,) * 3,
        (0.0,) * 3,
        (1.0,) * 3,
        naive=Naive(*[(0.0,) * 3] * 3, SEASON),
        channels={"a": idle},
    )
    backbone, memory = ascending(0), ascending(1)
    fused = fusion.apply(backbone, memory, MEDIAN, some_contexts(), ["a", "b"] * 3)
    assert torch.equal(fused[::2], backbone[::2])
    assert not torch.isclose(fused[1::2], backbone[1::2]).all()


def test_where_the_gate_is_shut_the_backbone_stands_bit_for_bit(ascending):
    backbone, memory, contexts = ascending(0), ascending(1), some_contexts()
    gap = (memory[:, MEDIAN] - backbone[:, MEDIAN]).abs() / (backbone[:, -1] - backbone[:, 0])
    limit = float(gap.median())
    gated = mixed_fusion(gate=GateConfig(max_disagreement=limit))
    fused = gated.apply(backbone, memory, MEDIAN, contexts).transpose(1, 2)
    shut = gap > limit
    assert 0.2 < shut.float().mean() < 0.8
    assert torch.equal(fused[shut], backbone.transpose(1, 2)[shut])
    free = mixed_fusion().apply(backbone, memory, MEDIAN, contexts).transpose(1, 2)
    assert torch.equal(fused[~shut], free[~shut])


def test_contexts_have_to_be_given_where_they_are_needed(ascending):
    backbone, memory = ascending(0), ascending(1)
    assert not fusion_of((0.5,) * 3).needs_contexts
    with pytest.raises(ValueError, match="needs the contexts"):
        mixed_fusion().apply(backbone, memory, MEDIAN)


def test_everything_survives_json():
    own = Channel(*OWN, (2.0, 0.5, 1.0))
    fusion = mixed_fusion(
        channels={"a": own}, gate=GateConfig(min_spread=0.2), report={"chosen_on": "validation"}
    )
    assert Fusion.from_json(json.loads(json.dumps(fusion.to_json()))) == fusion


def test_weights_from_before_there_was_more_to_mix_are_read():
    old = {"block": 24, "location": [0.5], "spread": [1.0], "factor": [1.2], "report": {}}
    assert Fusion.from_json(old) == Fusion(24, (0.5,), (1.0,), (1.2,))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"location": (0.6, 0.2, 0.0)}, "location must sum to at most 1"),
        ({"spread": (0.6, 0.0, 1.0)}, "spread must sum to at most 1"),
        ({"naive": None, "channels": {"a": None}}, "need those of the naive forecasts"),
    ],
)
def test_mixtures_that_are_none_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        mixed_fusion(**changes)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Naive((1.2,), (0.0,), (0.0,), 24), "must lie in"),
        (lambda: Naive((0.0,), (0.0,), (-0.1,), 24), "must lie in"),
        (lambda: Naive((0.2,), (0.0,), (0.0,), 0), "season"),
        (lambda: Residuals((0.2,), (0.0,), (0,), ((1.0,),)), "must be positive"),
        (lambda: Residuals((0.2,), (1.0,), (0, 1), ((1.0,),)), "one offset for each"),
        (lambda: Channel((0.7,), (0.4,), (0.0,), (0.0,), (1.0,)), "sum to at most 1"),
        (lambda: Channel((0.7,), (0.1,), (0.0,), (0.3,), (1.0,)), "sum to at most 1"),
        (lambda: Channel((0.7,), (0.1,), (0.0,), (0.0,), (0.0,)), "must be positive"),
    ],
)
def test_parts_that_are_impossible_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_shares_are_told_for_people():
    first, second, _ = mixed_fusion().explain()
    assert (first["first_step"], first["last_step"]) == (1, 4)
    assert first["backbone"] == pytest.approx(0.0)
    assert first["width_backbone"] == pytest.approx(0.2)
    assert (second["last_value"], second["width_residuals"]) == (0.7, 1.0)
    assert (first["long_run"], second["long_run"]) == (0.1, 0.1)


def test_a_fusion_that_is_mostly_naive_says_so():
    naive = Naive((0.9,) * 3, *[(0.0,) * 3] * 2, SEASON)
    fusion = Fusion(BLOCK, (0.1,) * 3, (0.0,) * 3, (1.0,) * 3, naive=naive)
    assert fusion.describe() == "the last value forecast is the most of it at all steps"
    assert not fusion.is_idle
