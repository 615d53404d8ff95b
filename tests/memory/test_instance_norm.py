import numpy as np
import pandas as pd
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tsmemory.memory.instance_norm import bridge_gaps, instance_normalise

gappy = arrays(
    np.float32, (3, 12), elements=st.integers(-9, 9).map(np.float32) | st.just(np.float32("nan"))
)


@settings(deadline=None)
@given(gappy)
def test_gaps_are_bridged_as_pandas_does(values):
    expected = pd.DataFrame(values.T).interpolate(limit_direction="forward").fillna(0).to_numpy().T
    np.testing.assert_allclose(bridge_gaps(torch.from_numpy(values)).numpy(), expected, atol=1e-5)


def test_without_gaps_nothing_is_copied():
    values = torch.randn(2, 5)
    assert bridge_gaps(values) is values


@settings(deadline=None)
@given(gappy)
def test_statistics_are_those_of_the_observed_steps(values):
    normal = instance_normalise(torch.from_numpy(values))
    for line, (z, loc, scale) in zip(
        values, zip(*(part.numpy() for part in normal), strict=True), strict=True
    ):
        seen = line[~np.isnan(line)].astype(np.float64)
        if not len(seen):
            assert (z == 0).all()
            assert loc == scale == 0
            continue
        np.testing.assert_allclose(loc, seen.mean(), atol=1e-5)
        np.testing.assert_allclose(scale, seen.std(), atol=1e-4)
        if scale > 0:
            known = ~np.isnan(line)
            np.testing.assert_allclose(z[known], (seen - seen.mean()) / seen.std(), atol=1e-3)
    assert torch.isfinite(normal.values).all()


def test_constant_contexts_are_zero_without_scale_at_any_level():
    for level in (0.0, 0.1, -3e5):
        contexts = torch.full((2, 9), level)
        contexts[1, 4] = torch.nan
        z, loc, scale = instance_normalise(contexts)
        assert (z == 0).all()
        assert (scale == 0).all()
        torch.testing.assert_close(loc, torch.full((2, 1), level))


def test_an_unobserved_context_is_all_zero():
    z, loc, scale = instance_normalise(torch.full((1, 6), torch.nan))
    assert not z.any()
    assert not loc.any()
    assert not scale.any()


def test_level_and_unit_drop_out():
    contexts = torch.randn(4, 20)
    z, loc, scale = instance_normalise(contexts)
    moved = instance_normalise(7 * contexts - 40)
    torch.testing.assert_close(moved.values, z, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(moved.scale, 7 * scale, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moved.loc, 7 * loc - 40, rtol=1e-4, atol=1e-4)
