import logging

import numpy as np
import pytest
import torch
from forecasters import make_contexts, make_forecaster
from hypothesis import given, settings
from hypothesis import strategies as st

from tsmemory.memory.errors import ForecasterError

LEVELS = st.lists(st.floats(0.001, 0.999), min_size=2, max_size=12)


@pytest.fixture(scope="module")
def forecaster():
    return make_forecaster()


@pytest.fixture(scope="module")
def contexts():
    return make_contexts()


@settings(max_examples=25, deadline=None)
@given(levels=LEVELS)
def test_quantiles_rise_with_their_level(forecaster, contexts, levels):
    quantiles, _ = forecaster.predict_quantiles(contexts[:2], 6, sorted(levels))
    assert (quantiles.diff(dim=2) >= 0).all()


@settings(max_examples=25, deadline=None)
@given(levels=LEVELS)
def test_levels_are_interpolated_linearly_between_native_ones(forecaster, contexts, levels):
    native, _ = forecaster.predict_quantiles(contexts[:2], 6)
    quantiles, _ = forecaster.predict_quantiles(contexts[:2], 6, levels)
    grid = np.array(forecaster.backbone.quantile_levels)
    for values, row in zip(native.reshape(-1, 9), quantiles.reshape(-1, len(levels)), strict=True):
        np.testing.assert_allclose(row, np.interp(levels, grid, values), rtol=1e-5)


def test_native_levels_come_as_they_are_in_the_order_asked_for(forecaster, contexts):
    native, _ = forecaster.predict_quantiles(contexts)
    quantiles, _ = forecaster.predict_quantiles(contexts, quantile_levels=[0.9, 0.1, 0.5])
    assert torch.equal(quantiles, native[:, :, [8, 0, 4]])


def test_levels_beyond_the_outermost_are_held_there_with_one_warning(forecaster, contexts, caplog):
    native, _ = forecaster.predict_quantiles(contexts)
    quantiles, _ = forecaster.predict_quantiles(
        contexts, quantile_levels=[0.01, 0.5, 0.99], batch_size=2
    )
    torch.testing.assert_close(quantiles, native[:, :, [0, 4, 8]], rtol=1e-5, atol=1e-5)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "[0.01, 0.99] lie outside" in record.getMessage()


@pytest.mark.parametrize("level", [0.0, 1.0, 1.2, -0.1, float("nan")])
def test_impossible_levels_are_refused(forecaster, contexts, level):
    with pytest.raises(ForecasterError, match="must lie between 0 and 1"):
        forecaster.predict_quantiles(contexts, quantile_levels=[0.5, level])
