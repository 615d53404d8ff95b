import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.trace.config import MaskConfig
from tsmemory.trace.masks import draw_masks

shares = st.one_of(st.just("uniform"), st.floats(0, 0.99))


@given(
    kind=st.sampled_from(["bernoulli", "exact"]),
    share=st.one_of(st.just("uniform"), st.floats(0, 0.99)),
    draws=st.integers(1, 20),
    sites=st.integers(1, 30),
)
def test_masks_are_zeros_and_ones(kind, share, draws, sites):
    masks = draw_masks(MaskConfig(kind, share), draws, sites, np.random.default_rng(0))

    assert masks.shape == (draws, sites)
    assert masks.dtype == np.float32
    assert set(np.unique(masks)) <= {0.0, 1.0}


@given(share=st.floats(0, 0.99), draws=st.integers(1, 12), sites=st.integers(1, 30))
def test_exact_masks_leave_equally_many_open_and_share_the_turns(share, draws, sites):
    masks = draw_masks(MaskConfig("exact", share), draws, sites, np.random.default_rng(0))

    assert (masks.sum(axis=1) == max(1, sites - round(share * sites))).all()
    turns = masks.sum(axis=0)
    assert turns.max() - turns.min() <= 1


@given(eighths=st.integers(0, 7), sites=st.integers(1, 30))
def test_coins_spread_the_turns_over_neighbouring_draws(eighths, sites):
    config = MaskConfig("bernoulli", eighths / 8)

    masks = draw_masks(config, 24, sites, np.random.default_rng(0))

    for first in (0, 8, 16):
        assert (masks[first : first + 8].sum(axis=0) == 8 - eighths).all()


@pytest.mark.parametrize("kind", ["bernoulli", "exact"])
@pytest.mark.parametrize("share", [0.25, 0.7])
def test_masks_close_the_share_that_was_asked_for(kind, share):
    masks = draw_masks(MaskConfig(kind, share), 4000, 20, np.random.default_rng(0))

    np.testing.assert_allclose(1 - masks.mean(axis=0), share, atol=0.04)
    together = (masks[:, 0] * masks[:, 1]).mean()
    assert abs(together - (1 - share) ** 2) < 0.04


@pytest.mark.parametrize("kind", ["bernoulli", "exact"])
def test_a_uniform_share_leaves_all_sizes_alike(kind):
    masks = draw_masks(MaskConfig(kind, "uniform"), 11_000, 10, np.random.default_rng(0))

    sizes = np.bincount(masks.sum(axis=1).astype(int), minlength=11) / len(masks)
    if kind == "bernoulli":
        np.testing.assert_allclose(sizes, 1 / 11, atol=0.015)
    else:
        # At least one stays open, so that the smallest size stands for two.
        np.testing.assert_allclose(sizes[2:10], 0.1, atol=0.015)
        assert sizes[0] == 0
    np.testing.assert_allclose(masks.mean(axis=0), masks.mean(), atol=0.02)


def test_no_closed_share_means_no_masks():
    assert draw_masks(MaskConfig("bernoulli", 0.0), 5, 7, np.random.default_rng(0)).all()


def test_a_seed_gives_the_same_masks():
    first, second = (draw_masks(MaskConfig(), 9, 9, np.random.default_rng(seed)) for seed in (1, 1))
    assert np.array_equal(first, second)
