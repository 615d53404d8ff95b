"""Quantile levels other than the native ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsmemory.backbones import BackboneError, load_backbone
from tsmemory.backbones.levels import AtLevels, at_levels

NATIVE = (0.05, 0.2, 0.5, 0.6, 0.99)


@settings(max_examples=50, deadline=None)
@given(
    wanted=st.lists(st.floats(0.001, 0.999), min_size=1, max_size=9),
    values=st.lists(st.floats(-100, 100, width=32), min_size=5, max_size=5),
)
def test_levels_are_interpolated_linearly_and_monotonically(wanted, values):
    quantiles = np.sort(np.array(values, np.float32))[None, :, None]
    found = at_levels(quantiles, NATIVE, tuple(wanted))[0, :, 0]
    expected = np.interp(wanted, NATIVE, quantiles[0, :, 0])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(found[order]) >= 0).all()


def test_native_levels_come_bit_for_bit():
    quantiles = np.sort(np.random.default_rng(0).normal(size=(3, 5, 4)), axis=1).astype(np.float32)
    found = at_levels(quantiles, NATIVE, (0.99, 0.2))
    np.testing.assert_array_equal(found, quantiles[:, [4, 1]])
    assert at_levels(quantiles, NATIVE, NATIVE) is quantiles


def test_a_backbone_answers_at_other_levels(tiny_chronos2):
    native = load_backbone(tiny_chronos2)
    wanted = (0.1, 0.33, 0.5, 0.9)
    other = load_backbone(tiny_chronos2, quantile_levels=list(wanted))
    contexts = np.random.default_rng(0).normal(size=(3, 32)).astype(np.float32)
    keys, quantiles = native.encode_and_predict(contexts, 20)
    found = other.encode_and_predict(contexts, 20)
    np.testing.assert_array_equal(found.keys, keys)
    expected = at_levels(quantiles, native.quantile_levels, wanted)
    np.testing.assert_array_equal(found.quantiles, expected)
    assert other.quantile_levels == wanted
    assert other.fingerprint != native.fingerprint
    assert (other.name, other.device) == (native.name, "cpu")


def test_its_own_levels_are_no_change(tiny_bolt):
    native = load_backbone(tiny_bolt)
    same = load_backbone(tiny_bolt, quantile_levels=list(native.quantile_levels))
    assert type(same) is type(native)
    assert same.fingerprint == native.fingerprint


def test_outermost_levels_are_held_with_a_warning(tiny_bolt, caplog):
    wide = load_backbone(tiny_bolt, quantile_levels=(0.01, 0.5, 0.9))
    quantiles = wide.predict_quantiles(np.zeros((1, 32), np.float32), 3)
    native = load_backbone(tiny_bolt).predict_quantiles(np.zeros((1, 32), np.float32), 3)
    np.testing.assert_array_equal(quantiles[:, 0], native[:, 0])
    assert "[0.01] lie outside" in caplog.text


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((0.5, 1.0), "must lie between 0 and 1"),
        ((0.1, 0.9), "hold 0.5"),
        ((0.5, 0.1), "must increase"),
        ((0.5, 0.5), "must increase"),
    ],
)
def test_impossible_levels_are_refused(levels, message):
    with pytest.raises(BackboneError, match=message):
        load_backbone("seasonal_naive", quantile_levels=levels)


def test_what_a_backbone_lacks_it_lacks_at_other_levels_too():
    backbone = AtLevels(load_backbone("seasonal_naive"), (0.5,))
    assert backbone.season == 24
    assert not hasattr(backbone, "device")
