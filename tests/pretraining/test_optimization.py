import pytest
import torch

from tsmemory.pretraining.config import OptimizerConfig
from tsmemory.pretraining.model import build_model
from tsmemory.pretraining.optimization import (
    WeightAverage,
    is_level,
    learning_rate,
    make_optimizers,
)

CONFIG = OptimizerConfig(learning_rate=2.0, warmup=4, decay=0.25)


def rates(steps, config=CONFIG):
    return [learning_rate(step, steps, config) for step in range(steps)]


def test_the_rate_rises_stays_and_falls():
    found = rates(40)
    assert found[:4] == [0.5, 1.0, 1.5, 2.0]
    assert found[4:31] == [2.0] * 27
    assert found[31:] == pytest.approx([2 * (40 - step) / 10 for step in range(31, 40)])
    assert found[-1] > 0


def test_without_warmup_and_decay_it_is_constant():
    assert rates(10, OptimizerConfig(learning_rate=1.0, warmup=0, decay=0.0)) == [1.0] * 10


@pytest.mark.parametrize("steps", [3, 8, 40, 41])
def test_level_steps_are_those_of_any_longer_run(steps):
    for step in range(steps + 1):
        alike = rates(steps)[:step] == rates(10_000)[:step]
        assert is_level(step, steps, CONFIG) == alike


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_every_weight_has_one_optimizer(kind, recipe):
    model = build_model(recipe.model)
    optimizers = make_optimizers(model, OptimizerConfig(kind=kind))
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    sorted_in = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(sorted_in) == sorted(id(weight) for weight in model.parameters())
    assert len(optimizers) == (2 if kind == "muon" else 1)


def test_muon_has_the_blocks_matrices_and_norms_do_not_decay(recipe):
    model = build_model(recipe.model)
    names = {id(weight): name for name, weight in model.named_parameters()}
    adamw, muon = make_optimizers(model, OptimizerConfig())
    blocks = {names[id(weight)] for weight in muon.param_groups[0]["params"]}
    assert all(".block." in name for name in blocks)
    assert any(".SelfAttention.q." in name for name in blocks)
    assert any(".DenseReluDense." in name for name in blocks)
    decaying, plain = (
        {names[id(weight)] for weight in group["params"]} for group in adamw.param_groups
    )
    assert adamw.param_groups[0]["weight_decay"] > 0 == adamw.param_groups[1]["weight_decay"]
    assert any(name.startswith("input_patch_embedding") for name in decaying)
    assert "shared.weight" in plain
    assert all("weight" in name and "norm" not in name for name in decaying)
    assert any("layer_norm" in name for name in plain)


def test_the_average_follows_and_can_be_exchanged():
    layer = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(layer, decay=0.9)
    expected = float(layer.weight.detach())
    for step in range(200):
        with torch.no_grad():
            layer.weight.fill_(step)
        average.update(layer, step)
        share = min(0.9, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * step
    assert float(average.weights["weight"]) == pytest.approx(expected, rel=1e-4)
    average.swap(layer)
    assert float(layer.weight.detach()) == pytest.approx(expected, rel=1e-4)
    assert float(average.weights["weight"]) == 199
    average.swap(layer)
    assert float(layer.weight.detach()) == 199
