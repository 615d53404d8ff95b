import numpy as np
import pytest
import torch

from builders import LEVELS
from tsmemory.memory.closed_form import ClosedForm, fit_closed_form, starting_point
from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion_fit import Part, fit_factor, fit_location
from tsmemory.memory.ridge import fit_ridge, out_of_fold_ridges

PENALTIES = (1.0, 100.0, 1e4)
CONFIG = FusionConfig(block=4, shrinkage=0.5)


@pytest.fixture(scope="module")
def closed_form(domain):
    return fit_closed_form(
        domain.train_windows,
        domain.train,
        domain.validation_windows,
        penalties=PENALTIES,
        folds=3,
        config=CONFIG,
    )


def test_ridge_and_penalty_are_those_of_validation(closed_form, domain):
    ridge, errors = fit_ridge(
        domain.train_windows, domain.validation_windows, domain.series, PENALTIES
    )
    assert torch.equal(closed_form.ridge.weight, ridge.weight)
    assert closed_form.penalties == errors
    assert closed_form.ridge.penalty == ridge.penalty


def test_the_start_is_fitted_on_out_of_fold_forecasts(closed_form, domain):
    folds = out_of_fold_ridges(
        domain.train_windows,
        domain.train_windows,
        domain.series,
        penalty=closed_form.ridge.penalty,
        folds=3,
    )
    contexts, target, quantiles, _ = domain.train.tensors()
    point = torch.full_like(target, torch.nan)
    for members, ridge in folds:
        point[members] = torch.from_numpy(ridge.predict(contexts[members].numpy()))
    assert not torch.isnan(point).any()
    memory = quantiles + (point - quantiles[:, 4])[:, None]

    def parts():
        yield Part(target, quantiles, memory)

    location = fit_location(parts, block=4, median=4, shrinkage=0.5)
    np.testing.assert_allclose(closed_form.start.location, location, rtol=1e-4)
    factor = fit_factor(parts, location, block=4, levels=LEVELS, median=4, shrinkage=0.5)
    np.testing.assert_allclose(closed_form.start.factor, factor, rtol=1e-4)
    assert closed_form.start.spread == (1.0, 1.0, 1.0)


def test_without_folds_the_weights_are_one_half(domain):
    start = starting_point(domain.train, [], CONFIG)
    assert start.location == (0.5, 0.5, 0.5)
    assert start.factor == (1.0, 1.0, 1.0)


def test_it_survives_a_round_trip(closed_form, tmp_path):
    closed_form.save_pretrained(tmp_path / "closed")
    loaded = ClosedForm.from_pretrained(tmp_path / "closed")
    assert torch.equal(loaded.ridge.weight, closed_form.ridge.weight)
    assert torch.equal(loaded.ridge.bias, closed_form.ridge.bias)
    assert loaded.summary() == closed_form.summary()
