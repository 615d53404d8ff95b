import numpy as np
import pytest
import torch

from builders import LEVELS
from domains import Domain
from tsmemory.memory.closed_form import ClosedForm, even_start, fit_closed_form, starting_point
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

    found = starting_point(domain.train, closed_form.cross_fit, closed_form.ridge, CONFIG)
    location = fit_location(parts, block=4, median=4, shrinkage=0.5)
    np.testing.assert_allclose(found.location, location, rtol=1e-4)
    factor = fit_factor(parts, location, block=4, levels=LEVELS, median=4, shrinkage=0.5)
    np.testing.assert_allclose(found.factor, factor, rtol=1e-4)
    assert found.spread == (1.0, 1.0, 1.0)
    assert closed_form.start.factor == found.factor
    assert closed_form.start.spread == found.spread


def test_the_start_weighs_all_candidates_for_the_median(closed_form):
    mixed, start = closed_form.out_of_fold.mixed, closed_form.start
    weights = [start.location, start.naive.last_value, start.naive.seasonal, start.naive.long_run]
    np.testing.assert_array_equal(weights, mixed)
    assert start.naive.season == closed_form.out_of_fold.season


def test_without_folds_the_weights_are_one_half():
    start = even_start(10, 4)
    assert start.location == (0.5, 0.5, 0.5)
    assert start.factor == (1.0, 1.0, 1.0)
    assert start.naive is None


def test_a_training_split_too_short_to_leave_anything_out_starts_evenly(tmp_path):
    rng = np.random.default_rng(0)
    short = Domain([rng.normal(size=160).astype(np.float32)], 90)
    found = fit_closed_form(
        short.train_windows,
        short.train,
        short.validation_windows,
        penalties=PENALTIES,
        folds=2,
        config=CONFIG,
    )
    assert found.cross_fit is None
    assert found.out_of_fold is None
    assert found.start == even_start(10, 4)
    found.save_pretrained(tmp_path)
    assert ClosedForm.from_pretrained(tmp_path).cross_fit is None
    assert found.of_windows(np.arange(3)) == found


def test_it_survives_a_round_trip(closed_form, tmp_path):
    closed_form.save_pretrained(tmp_path / "closed")
    loaded = ClosedForm.from_pretrained(tmp_path / "closed")
    assert torch.equal(loaded.ridge.weight, closed_form.ridge.weight)
    assert torch.equal(loaded.ridge.bias, closed_form.ridge.bias)
    assert loaded.summary() == closed_form.summary()
    tensors = closed_form.cross_fit.tensors()
    assert set(loaded.cross_fit.tensors()) == set(tensors)
    for name, values in loaded.cross_fit.tensors().items():
        assert torch.equal(values, tensors[name])


def test_it_can_be_had_for_some_of_the_windows(closed_form):
    which = np.array([7, 3, 200])
    some = closed_form.of_windows(which)
    np.testing.assert_array_equal(some.cross_fit.fold, closed_form.cross_fit.fold[which])
    assert some.start == closed_form.start
    assert some.ridge is closed_form.ridge
