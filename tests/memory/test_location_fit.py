import numpy as np
import pytest
import torch

from builders import LEVELS
from tsmemory.memory.config import FusionConfig, GateConfig
from tsmemory.memory.fusion_windows import Part
from tsmemory.memory.location_fit import MixtureSums, candidate_steps, independent_stretches
from tsmemory.metrics import seasonal_naive

BLOCK, H, N, SEASON, MEDIAN = 4, 10, 90, 5, 4


@pytest.fixture
def part():
    rng = np.random.default_rng(0)
    contexts = rng.normal(size=(N, 20)).astype(np.float32)
    backbone = np.sort(rng.normal(size=(N, len(LEVELS), H)), axis=1).astype(np.float32)
    memory = np.sort(rng.normal(size=(N, len(LEVELS), H)), axis=1).astype(np.float32)
    season = seasonal_naive(contexts, H, SEASON)
    target = 0.4 * memory[:, MEDIAN] + 0.2 * season + 0.3 * contexts[:, -1:]
    target += 0.1 * backbone[:, MEDIAN] + 0.1 * rng.normal(size=(N, H))
    target[::7, 8:] = np.nan
    channels = np.where(np.arange(N) % 3 == 0, "a", "b")
    tensors = (torch.from_numpy(v.astype(np.float32)) for v in (target, backbone, memory, contexts))
    return Part(*tensors, channels)


def collect(part, **settings):
    config = FusionConfig(block=BLOCK, **settings)

    def parts():
        for first in range(0, N, 32):
            yield Part(*(values[first : first + 32] for values in part))

    return MixtureSums.collect(parts, median=MEDIAN, season=SEASON, config=config)


def test_weights_are_least_squares_over_all_candidates(part):
    found = collect(part).mixed(0.0)
    expected = np.array([[0.4], [0.3], [0.2], [0.0]]) + np.zeros(3)
    np.testing.assert_allclose(found, expected, atol=0.05)
    alone = collect(part).alone(0.0)
    assert (alone[0] > 0.3).all()
    assert not alone[1:].any()


def test_the_way_to_the_long_run_level_is_a_candidate(part):
    contexts = 3 * part.contexts + 1
    config = FusionConfig(block=BLOCK)
    steps = candidate_steps(part._replace(contexts=contexts), MEDIAN, SEASON, config)
    home = -contexts.mean(dim=1, keepdim=True).clamp(-3, 3)
    torch.testing.assert_close(steps[3], home.expand(-1, H))
    unwanted = candidate_steps(part, MEDIAN, SEASON, FusionConfig(block=BLOCK, long_run=False))
    assert not unwanted[3].any()


def test_channels_are_summed_apart(part):
    sums = collect(part)
    assert sums.channels == ("a", "b")
    only = Part(*(values[part.channels == "a"] for values in part))
    config = FusionConfig(block=BLOCK)
    alone = MixtureSums.collect(lambda: [only], median=MEDIAN, season=SEASON, config=config)
    np.testing.assert_allclose(sums.mixed(0.0, 0), alone.mixed(0.0), rtol=1e-6)
    known = ~torch.isnan(part.target)
    assert sums.count.sum() == int(known.sum())
    error = (part.target - part.backbone[:, MEDIAN])[known].double()
    assert sums.square.sum() == pytest.approx(float(error.square().sum()), rel=1e-5)
    assert sums.known.shape == (N, 3)
    assert not sums.known[0, 2]


@pytest.mark.parametrize(("name", "row"), [("last_value", 1), ("seasonal_naive", 2)])
def test_a_candidate_that_is_not_wanted_has_no_weight(part, name, row):
    found = collect(part, **{name: False}).mixed(0.0)
    assert (found[row] == 0).all()
    told = found[:3]  # of what the targets are made of
    assert (np.delete(told, row, axis=0) > 0).all()


def test_without_contexts_there_is_the_memory_alone(part):
    bare = part._replace(contexts=None, channels=None)
    steps = candidate_steps(bare, MEDIAN, SEASON, FusionConfig(block=BLOCK))
    assert steps[0].any()
    assert not steps[1:].any()


def test_where_the_gate_is_shut_there_is_no_step(part):
    config = FusionConfig(block=BLOCK, gate=GateConfig(max_disagreement=0.3))
    steps = candidate_steps(part, MEDIAN, SEASON, config)
    free = candidate_steps(part, MEDIAN, SEASON, FusionConfig(block=BLOCK))
    shut = (steps == 0).all(dim=0)
    assert 0.1 < shut.float().mean() < 0.9
    assert torch.equal(steps[:, ~shut], free[:, ~shut])


def test_stretches_are_as_long_as_they_look_ahead():
    known = np.ones((60, 3), dtype=bool)
    known[40:, 2] = False
    time = np.repeat(np.arange(30) * 2, 2)
    found = independent_stretches(known, time, block=4, stride=2)
    np.testing.assert_allclose(found, [60 / 4, 60 / 8, 40 / 12])
