"""Half the bits in products, and float32 everywhere else."""

import copy

import pytest
import torch
from torch import nn

from tsmemory.scaleout.precision import Precision

KINDS = ["float32", "bfloat16", "float16"]


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 4))


def batch(number, device="cpu"):
    x = torch.randn(64, 12, generator=torch.Generator().manual_seed(number)).to(device)
    return x, torch.sin(x[:, :4])


def train(kind, steps=80, device="cpu"):
    """Losses of a short training, and its model."""
    model, precision = network().to(device), Precision(kind, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for number in range(steps):
        x, y = batch(number, device)
        with precision.autocast():
            answer = model(x)
        loss = (answer.float() - y).square().mean()
        precision.backward(loss)
        precision.step([optimizer], model.parameters(), clip=1.0)
        losses.append(float(loss.detach()))
    return torch.tensor(losses), model, optimizer, answer


@pytest.mark.parametrize("kind", KINDS)
def test_weights_gradients_and_states_stay_float32(kind):
    _, model, optimizer, answer = train(kind, steps=2)
    assert answer.dtype == getattr(torch, kind)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    states = [state["exp_avg"].dtype for state in optimizer.state.values()]
    assert states == [torch.float32] * 4


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_loss_curve_is_that_of_float32(kind):
    plain, half = train("float32")[0], train(kind)[0]
    assert plain[-10:].mean() < plain[:10].mean() / 5
    torch.testing.assert_close(half, plain, rtol=0.05, atol=2e-3)
    assert not torch.equal(half, plain)


def test_float32_is_what_a_plain_loop_computes():
    model = network()
    expected = copy.deepcopy(model)
    precision = Precision("float32", "cpu")
    mine, plain = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, expected))
    for number in range(3):
        x, y = batch(number)
        with precision.autocast():
            precision.backward((model(x) - y).square().mean())
        precision.step([mine], model.parameters(), clip=0.05)
        plain.zero_grad()
        (expected(x) - y).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(expected.parameters(), 0.05)
        plain.step()
    for one, other in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other)


def test_clipping_sees_unscaled_gradients():
    """float16 scales losses by 65,536: a norm of 1 would be clipped to nothing."""
    weight = nn.Parameter(torch.zeros(2))
    precision = Precision("float16", "cpu")
    optimizer = torch.optim.SGD([weight], lr=1.0)
    precision.backward((weight * torch.tensor([3.0, 4.0])).sum())
    precision.step([optimizer], [weight], clip=1.0)
    torch.testing.assert_close(weight.detach(), torch.tensor([-0.6, -0.8]), rtol=1e-5, atol=1e-6)


def test_overflown_gradients_move_nothing_and_lower_the_scale():
    weight = nn.Parameter(torch.ones(1))
    precision = Precision("float16", "cpu")
    optimizer = torch.optim.SGD([weight], lr=1.0)
    before = precision.state_dict()["scale"]
    precision.backward(weight.sum() * torch.inf)
    precision.step([optimizer], [weight], clip=1.0)
    assert float(weight.detach()) == 1.0
    assert precision.state_dict()["scale"] == before / 2
    assert weight.grad is None
    again = Precision("float16", "cpu")
    again.load_state_dict(precision.state_dict())
    assert again.state_dict() == precision.state_dict()


@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
def test_a_step_that_one_optimizer_cannot_take_is_left_out_by_all(bad):
    one, other = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizers = [torch.optim.AdamW([w], lr=0.1, weight_decay=0.5) for w in (one, other)]
    precision = Precision("float16", "cpu")
    before = precision.state_dict()["scale"]
    precision.backward(bad * one.sum() + other.sum())
    precision.step(optimizers, [one, other], clip=1.0)
    assert (float(one.detach()), float(other.detach())) == (1.0, 1.0)
    assert precision.state_dict()["scale"] == before / 2
    assert (one.grad, other.grad) == (None, None)
    precision.backward(one.sum() + other.sum())
    precision.step(optimizers, [one, other], clip=1.0)
    assert float(one.detach()) == float(other.detach()) < 1


def test_several_optimizers_share_one_clipping():
    one, other = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizers = [torch.optim.SGD([weight], lr=1.0) for weight in (one, other)]
    precision = Precision("float32", "cpu")
    precision.backward(3 * one.sum() + 4 * other.sum())
    precision.step(optimizers, [one, other], clip=1.0)
    assert float(one.detach()) == pytest.approx(-0.6, rel=1e-4)
    assert float(other.detach()) == pytest.approx(-0.8, rel=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_has_the_cpu_s_loss_curve(kind):
    torch.testing.assert_close(
        train(kind, device="cuda")[0], train("float32")[0], rtol=0.05, atol=2e-3
    )
