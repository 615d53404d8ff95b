import numpy as np
import pytest
import torch
from adapted import small_bolt

from tiny_models import save_tiny_chronos2
from tsmemory.trace.anomaly.reconstruction import HiddenPatches, Reconstructor
from tsmemory.trace.base import load_base
from tsmemory.trace.encoder import PatchEncoder
from tsmemory.trace.errors import TraceError


@pytest.fixture(scope="module")
def encoder():
    return PatchEncoder(small_bolt(), 32)  # four patches of eight steps


def _wave(length=400, seed=0):
    noise = np.random.default_rng(seed).normal(0, 0.05, length)
    return (np.sin(2 * np.pi * np.arange(length) / 16) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def reconstructor(encoder):
    return Reconstructor.fit(encoder, [_wave(), _wave(300, 1) * 100 + 7], HiddenPatches())


def test_hidden_patches_are_told_from_their_neighbours(reconstructor):
    errors = reconstructor.errors
    assert list(errors) == ["0.01", "0.1", "1", "10", "100"]
    assert errors[f"{reconstructor.penalty:g}"] == min(errors.values())
    assert min(errors.values()) < 0.3  # 1 is the error of the mean


def test_an_event_stands_out(reconstructor):
    values = _wave(seed=2)
    values[200:216] = 2.0
    score = reconstructor.score(values, first=100)
    assert score.dtype == np.float32
    assert np.nanmean(score[200:216]) > 3 * np.nanmean(score[300:])


def test_chronos2_reconstructs_as_well(tmp_path):
    model = load_base(save_tiny_chronos2(tmp_path / "tiny2")).read()
    reconstructor = Reconstructor.fit(PatchEncoder(model, 32), [_wave()], HiddenPatches())
    score = reconstructor.score(_wave(seed=2), first=100)
    assert not np.isnan(score[100:]).any()


@pytest.mark.parametrize("first", [0, 1, 100, 399])
def test_every_observed_step_is_scored(reconstructor, first):
    values = _wave()
    values[250:280] = np.nan
    score = reconstructor.score(values, first=first)
    expected = ~np.isnan(values)
    expected[:first] = False
    np.testing.assert_array_equal(~np.isnan(score), expected)


def test_the_head_sees_nothing_of_what_is_hidden(encoder):
    """Where nothing but the hidden patch varies, telling it is hopeless."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=2000).astype(np.float32)
    reconstructor = Reconstructor.fit(encoder, [values], HiddenPatches())
    assert min(reconstructor.errors.values()) > 0.9


def test_the_unit_of_the_values_does_not_matter(reconstructor):
    plain, moved = (reconstructor.score(x, first=100) for x in (_wave(), _wave() * 64 + 256))
    np.testing.assert_allclose(moved[100:], plain[100:], rtol=1e-2, atol=1e-3)


def test_the_encoder_is_left_alone(encoder):
    before = [weight.clone() for weight in encoder.parameters()]
    Reconstructor.fit(encoder, [_wave()], HiddenPatches()).score(_wave(), first=50)
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))


def test_too_little_to_fit_on_is_refused(encoder):
    with pytest.raises(TraceError, match="8 steps in a row"):
        Reconstructor.fit(encoder, [np.ones(7, dtype=np.float32)], HiddenPatches())
    with pytest.raises(TraceError, match="8 steps in a row"):
        Reconstructor.fit(encoder, [np.full(50, np.nan, dtype=np.float32)], HiddenPatches())


@pytest.mark.parametrize("length", [16, 30])
def test_contexts_that_hold_no_whole_patches_are_refused(length):
    with pytest.raises(TraceError, match="a multiple of 8 from 24 on"):
        Reconstructor.fit(PatchEncoder(small_bolt(), length), [_wave()], HiddenPatches())


@pytest.mark.parametrize(
    "wrong", [{"every": 1}, {"shift": 0}, {"held_out": 1.0}, {"penalties": ()}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(TraceError, match="hidden patches"):
        HiddenPatches(**wrong)
