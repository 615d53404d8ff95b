import numpy as np
import pytest
import torch

from tsmemory.memory.candidates import FARTHEST, last_values, seasonal_values, way_home
from tsmemory.memory.instance_norm import instance_normalise
from tsmemory.metrics import last_value, seasonal_naive


@pytest.fixture(params=["whole", "gaps", "short"])
def contexts(request):
    values = np.random.default_rng(0).normal(size=(7, 20)).astype(np.float32)
    if request.param == "gaps":
        values[1, 15:] = np.nan
        values[2, 18] = np.nan
        values[3, :19] = np.nan
    if request.param == "short":
        values = values[:, -3:]
    return values


@pytest.mark.parametrize("horizon", [1, 4, 5, 13])
@pytest.mark.parametrize("season", [1, 4, 6])
def test_they_are_the_naive_forecasts_of_the_tables(contexts, season, horizon):
    given = torch.from_numpy(contexts)
    np.testing.assert_array_equal(last_values(given), last_value(contexts, 1))
    found = seasonal_values(given, season, horizon)
    np.testing.assert_array_equal(found, seasonal_naive(contexts, horizon, season))


def test_the_way_home_is_the_contexts_mean_back_to_zero(contexts):
    contexts += np.linspace(-5, 5, len(contexts), dtype=np.float32)[:, None]
    found = way_home(instance_normalise(torch.from_numpy(contexts)))
    mean = np.nanmean(contexts, axis=1, keepdims=True)
    assert np.abs(mean).max() > FARTHEST
    np.testing.assert_allclose(found, -mean.clip(-FARTHEST, FARTHEST), rtol=1e-5)
