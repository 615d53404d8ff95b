"""Distillation in half the bits, with other optimizers, and on a GPU."""

from dataclasses import replace

import learning_jobs as jobs
import numpy as np
import pytest
import torch

from tsmemory.memory import learner
from tsmemory.memory.instance_norm import instance_normalise
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.groups import Ranks

HALVES = ("bfloat16", "float16")


@pytest.fixture(scope="module")
def gappy():
    return jobs.gappy_domain()


@pytest.fixture(scope="module")
def closed_form(gappy):
    return jobs.closed_form_of(gappy)


@pytest.fixture
def curve(gappy, closed_form):
    """Validation losses after each pass."""

    def run(sizes=jobs.DEFAULT, **changes):
        training = replace(jobs.TRAINING, epochs=4, patience=9, **changes)
        adapters, lines = jobs.distil(gappy, closed_form, training, sizes=sizes)
        return adapters.shipped, np.array([line["validation"] for line in lines])

    return run


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("sizes", [jobs.DEFAULT, jobs.PAPER])
def test_half_the_bits_learn_as_much(curve, precision, sizes):
    _, exact = curve(sizes)
    model, losses = curve(sizes, precision=precision)
    assert losses[0] == exact[0]  # what is judged is never rounded
    assert (losses[1:] != exact[1:]).any()
    np.testing.assert_allclose(losses, exact, rtol=5e-3)
    assert {weight.dtype for weight in model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("precision", HALVES)
def test_the_ridge_is_never_rounded(fresh_adapter, adapter_inputs, precision):
    contexts, quantiles, keys = adapter_inputs
    exact = fresh_adapter.train(False)(contexts, quantiles, keys)
    normal = instance_normalise(contexts)
    ahead = normal.values @ fresh_adapter.weight + fresh_adapter.bias
    with torch.autocast("cpu", getattr(torch, precision)):
        assert (normal.values @ fresh_adapter.weight).dtype == getattr(torch, precision)
        found = fresh_adapter(contexts, quantiles, keys)
        given = fresh_adapter(contexts, quantiles, keys, normal, ahead)
    torch.testing.assert_close(given[:, 4], found[:, 4], rtol=1e-3, atol=1e-3)
    assert found.dtype == torch.float32
    assert exact.shape == found.shape


@pytest.mark.parametrize("kind", ["lars", "lamb"])
def test_layer_wise_rates_learn(gappy, closed_form, kind):
    pytest.importorskip("pytorch_optimizer")
    training = replace(
        jobs.TRAINING,
        batch_size=50,
        base_batch=100,
        learning_rate=5e-2,
        warmup=1.0,
        optimizer=kind,
    )
    course = jobs.course_of(gappy, closed_form, Ranks(), training=training)
    totals = [jobs.learn(course, passes=passes)[1][0] for passes in (1, 6)]
    assert totals[1] < 0.9 * totals[0]


def test_without_the_library_it_says_what_to_install(curve, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pytorch_optimizer", None)
    with pytest.raises(ScaleoutError, match=r"tsmemory\[distributed\]"):
        curve(optimizer="lamb")


def test_the_rate_rises_and_follows_the_batch(gappy, closed_form, monkeypatch):
    rates = []
    monkeypatch.setattr(learner, "set_rate", lambda _, rate: rates.append(rate))
    steps = -(-len(gappy.train.windows) // 50)
    training = replace(jobs.TRAINING, batch_size=50, learning_rate=1e-3, base_batch=25, warmup=1.5)
    course = jobs.course_of(gappy, closed_form, Ranks(), training=training)
    jobs.learn(course, passes=2)
    warmup = round(1.5 * steps)
    expected = [2e-3 * min(1.0, (number + 1) / warmup) for number in range(2 * steps)]
    assert rates == pytest.approx(expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("sizes", [jobs.DEFAULT, jobs.PAPER])
def test_a_gpu_learns_what_a_cpu_learns(gappy, curve, sizes):
    here, exact = curve(sizes, rehearse=True)
    there, losses = curve(sizes, rehearse=True, device="cuda")
    assert there.device.type == "cpu"
    np.testing.assert_allclose(losses, exact, rtol=1e-3)
    np.testing.assert_allclose(jobs.flat(there), jobs.flat(here), atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", HALVES)
def test_a_gpu_learns_in_half_the_bits(curve, precision):
    _, exact = curve()
    _, losses = curve(device="cuda", precision=precision)
    np.testing.assert_allclose(losses, exact, rtol=5e-3)
