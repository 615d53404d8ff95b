import numpy as np
import pytest
import torch

from builders import LEVELS
from tsmemory.memory.width_fit import (
    FOLDS,
    Widths,
    _stable,
    best_factors,
    fit_widths,
    stretches,
)

BLOCK, H, N = 4, 10, 1200
NORMAL = torch.special.ndtri(torch.tensor(LEVELS, dtype=torch.float64)).float()


def made_up(*, own=1.0, memory=1.0, residuals=1.0, seed=0, n=N):
    """Errors of a size that varies; each source knows a part of it, as a share of the truth."""
    rng = np.random.default_rng(seed)
    hidden = np.exp(rng.normal(0, 0.7, (3, n, 1, 1)))
    size = hidden.prod(axis=0) ** (1 / 3)
    error = torch.from_numpy((size[:, 0] * rng.normal(size=(n, H))).astype(np.float32))
    sources = []
    for share, part in zip((own, memory, residuals), hidden, strict=True):
        if share is not None:
            width = share * size + (1 - share) * part
            sources.append(
                torch.from_numpy(width.astype(np.float32)) * NORMAL[:, None].expand(9, H)
            )
    return Widths(error, tuple(sources), stretches(np.arange(n)))


def fit(widths, shrinkage=0.0):
    return fit_widths(widths, block=BLOCK, levels=LEVELS, shrinkage=shrinkage)


def test_stretches_are_consecutive_and_even():
    fold = stretches(np.array([30, 10, 10, 20, 40, 50, 60, 70, 80]))
    assert fold.tolist() == [1, 0, 0, 0, 1, 2, 2, 3, 3]
    assert fold.max() == FOLDS - 1


def test_factors_calibrate_each_source():
    widths = made_up()
    scaled = widths._replace(offsets=tuple(0.5 * o for o in widths.offsets))
    np.testing.assert_allclose(fit(scaled).factor, 2.0, rtol=0.08)
    np.testing.assert_allclose(fit(widths).factor, 1.0, rtol=0.08)


def test_shares_go_to_the_source_that_knows():
    memory, residuals = fit(made_up(own=0.0, memory=1.0, residuals=0.0)).share
    assert (memory == 1.0).all()
    assert (residuals == 0.0).all()
    memory, residuals = fit(made_up(own=0.0, memory=0.0, residuals=1.0)).share
    assert (residuals == 1.0).all()


def test_sources_that_know_as_much_are_mixed_evenly():
    np.testing.assert_array_equal(fit(made_up(own=0.0, memory=0.3, residuals=0.3)).share, 0.5)


def test_without_residuals_memory_and_backbone_are_left():
    found = fit(made_up(own=0.0, memory=1.0, residuals=None))
    np.testing.assert_array_equal(found.share, [[1.0] * 3, [0.0] * 3])
    found = fit(made_up(own=1.0, memory=0.0, residuals=None))
    assert (found.share[0] < 1.0).all()


def test_what_wins_in_one_stretch_alone_is_not_preferred():
    even, once, always = [1.0, 1.0, 1.0, 1.0], [0.5, 1.02, 1.02, 1.02], [0.97, 0.98, 0.97, 0.99]
    assert np.mean(once) < np.mean(always)
    losses = np.array([even, once, always])[:, :, None]
    assert _stable(losses).tolist() == [2]
    assert _stable(losses[:2]).tolist() == [0]
    assert _stable(np.zeros((2, 4, 3))).tolist() == [0, 0, 0]


@pytest.mark.parametrize("shrinkage", [0.0, 0.5, 1.0])
def test_shrinkage_brings_blocks_together(shrinkage):
    widths = made_up()
    error = widths.error.clone()
    error[:, :BLOCK] *= 2
    factor = fit(widths._replace(error=error), shrinkage).factor[0]
    ratio = factor[0] / factor[1]
    assert ratio == pytest.approx(2.0 ** (1 - shrinkage), rel=0.1)


def test_blocks_that_tell_nothing_take_what_the_others_say():
    widths = made_up()
    error = widths.error.clone()
    error[:, BLOCK:] = torch.nan
    found = fit(widths._replace(error=error))
    assert np.isfinite(found.share).all()
    np.testing.assert_allclose(found.factor[:, 1:], found.factor[:, :1].repeat(2, axis=1), rtol=0.1)
    nothing = fit(widths._replace(error=torch.full_like(error, torch.nan)))
    np.testing.assert_array_equal(nothing.factor, 1.0)


def test_a_best_factor_at_the_end_of_the_grid_stays_there():
    falling = np.linspace(2, 1, 13)[:, None]
    assert best_factors(falling, 0.0) == pytest.approx(4.0)
    assert best_factors(falling[::-1], 0.0) == pytest.approx(0.4)
