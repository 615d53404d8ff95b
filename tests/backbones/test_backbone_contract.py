"""What every registered backbone keeps to; a new kind only adds a line to ``load``."""

import numpy as np
import pytest

from tsmemory.backbones import Backbone, backbone_kinds, load_backbone

NAMES = ("bundled", "tiny", "seasonal_naive")


@pytest.fixture(scope="module", params=NAMES)
def backbone(request, tiny_bolt):
    name = tiny_bolt if request.param == "tiny" else request.param
    return load_backbone(name, **({"season": 12} if request.param == "seasonal_naive" else {}))


@pytest.fixture(scope="module")
def length(backbone):
    return min(backbone.context_length, 96)


@pytest.fixture(scope="module")
def far(backbone):
    """A horizon beyond the native one, where there is such a thing."""
    return min(backbone.native_horizon * 2 + 3, 203)


@pytest.fixture
def contexts(length):
    rng = np.random.default_rng(0)
    step = np.arange(length)
    waves = np.sin(2 * np.pi * (step + rng.integers(0, 12, (9, 1))) / 12)
    return (rng.normal(0, 3, (9, 1)) + waves + rng.normal(0, 0.4, (9, length))).astype(np.float32)


@pytest.fixture
def gappy(contexts):
    contexts[0, :10] = np.nan
    contexts[1, 5:25] = np.nan
    contexts[2, -7:] = np.nan
    contexts[3, ::2] = np.nan
    return contexts


def test_every_registered_kind_is_under_contract(tiny_bolt):
    kinds = {"chronos_bolt" if n in ("bundled", "tiny") else n for n in NAMES}
    assert kinds == set(backbone_kinds())


def test_it_says_what_it_is(backbone):
    assert isinstance(backbone, Backbone)
    assert len(backbone.fingerprint) == 16
    assert 0.5 in backbone.quantile_levels
    assert list(backbone.quantile_levels) == sorted(backbone.quantile_levels)
    assert all([backbone.name, backbone.licence, backbone.pretraining_data])


def test_shapes_types_and_order(backbone, contexts, far):
    keys, quantiles = backbone.encode_and_predict(contexts, far)
    assert quantiles.shape == (len(contexts), len(backbone.quantile_levels), far)
    assert keys.ndim == 2
    assert len(keys) == len(contexts)
    assert keys.dtype == quantiles.dtype == np.float32
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert np.isfinite(keys).all()


def test_the_answer_does_not_depend_on_the_batch(backbone, gappy, far):
    whole = backbone.encode_and_predict(gappy, far)
    for size in (1, 7):
        parts = [
            backbone.encode_and_predict(gappy[first : first + size], far)
            for first in range(0, len(gappy), size)
        ]
        np.testing.assert_allclose(np.concatenate([p.keys for p in parts]), whole.keys, atol=1e-5)
        together = np.concatenate([p.quantiles for p in parts])
        np.testing.assert_allclose(together, whole.quantiles, atol=1e-5, rtol=1e-5)


def test_missing_values_and_hopeless_contexts_give_finite_answers(backbone, gappy, far):
    gappy[4] = np.nan
    gappy[5] = 2.5
    gappy[6, :-1] = np.nan
    keys, quantiles = backbone.encode_and_predict(gappy, far)
    assert np.isfinite(keys).all()
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    np.testing.assert_allclose(quantiles[5], 2.5, atol=0.05)


def test_missing_steps_on_the_left_are_no_history(backbone, contexts):
    short = contexts[:, -32:]
    padded = np.concatenate([np.full((len(short), contexts.shape[1] - 32), np.nan), short], axis=1)
    np.testing.assert_allclose(
        backbone.predict_quantiles(padded.astype(np.float32), 8),
        backbone.predict_quantiles(short, 8),
        atol=1e-4,
    )


def test_contexts_shorter_than_the_model_reads(backbone, contexts):
    for short in (contexts[:, -17:], contexts[:, -1:]):
        quantiles = backbone.predict_quantiles(short, 5)
        assert quantiles.shape == (len(contexts), len(backbone.quantile_levels), 5)
        assert np.isfinite(quantiles).all()


def test_one_pass_gives_the_same_as_two(backbone, gappy, far):
    keys, quantiles = backbone.encode_and_predict(gappy, far)
    np.testing.assert_array_equal(keys, backbone.embed(gappy))
    np.testing.assert_array_equal(quantiles, backbone.predict_quantiles(gappy, far))


def test_a_shorter_horizon_is_a_slice_of_a_longer_one(backbone, contexts, far):
    longest = backbone.predict_quantiles(contexts, far)
    for horizon in (1, 8, far - 2):
        shorter = backbone.predict_quantiles(contexts, horizon)
        np.testing.assert_allclose(shorter, longest[:, :, :horizon], atol=1e-5, rtol=1e-5)


def test_forecasts_follow_level_and_unit(backbone, contexts, far):
    """Equivariance to ``a x + b`` with a > 0."""
    plain = backbone.predict_quantiles(contexts, far)
    moved = backbone.predict_quantiles(4 * contexts - 30, far)
    np.testing.assert_allclose(moved, 4 * plain - 30, atol=2e-3, rtol=2e-4)


def test_contexts_are_left_as_they_were(backbone, gappy, far):
    before = gappy.copy()
    backbone.encode_and_predict(gappy, far)
    np.testing.assert_array_equal(gappy, before)
