import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsmemory.memory.simplex import shrunk_weights, simplex_weights


def sums(seed, count=3, n=200):
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(count, n)) @ np.diag(rng.uniform(0.5, 2, n))
    target = rng.normal(0, 1.5, count) @ steps + rng.normal(size=n)
    return steps @ steps.T, steps @ target


def grid(count, steps=40):
    axes = np.meshgrid(*[np.linspace(0, 1, steps + 1)] * count)
    points = np.stack([axis.ravel() for axis in axes], axis=1)
    return points[points.sum(axis=1) <= 1 + 1e-9]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_point_of_a_fine_grid_is_better(seed):
    gram, moment = sums(seed)
    weights = simplex_weights(gram, moment)
    assert (weights >= 0).all()
    assert weights.sum() <= 1 + 1e-9

    def value(w):
        return np.einsum("...k,kl,...l->...", w, gram, w) - 2 * w @ moment

    assert value(weights) <= value(grid(3)).min() + 1e-6 * np.trace(gram)


def test_candidates_that_are_alike_or_absent_do_no_harm():
    gram, moment = sums(0, count=1)
    twice = simplex_weights(np.tile(gram, (2, 2)), np.tile(moment, 2))
    assert twice.sum() == pytest.approx(simplex_weights(gram, moment).sum(), abs=1e-6)
    padded = np.zeros((3, 3))
    padded[1, 1] = gram[0, 0]
    found = simplex_weights(padded, np.array([0.0, moment[0], 0.0]))
    assert found[[0, 2]].tolist() == [0.0, 0.0]
    assert simplex_weights(np.zeros((2, 2)), np.zeros(2)).tolist() == [0.0, 0.0]


def test_blocks_are_shrunk_towards_all_of_them_together():
    parts = [sums(seed) for seed in (1, 2)]
    gram, moment = (np.stack(values, axis=-1) for values in zip(*parts, strict=True))
    own = shrunk_weights(gram, moment, 0.0)
    for number, part in enumerate(parts):
        np.testing.assert_allclose(own[:, number], simplex_weights(*part), atol=1e-9)
    overall = simplex_weights(gram.sum(axis=2), moment.sum(axis=1))
    np.testing.assert_allclose(shrunk_weights(gram, moment, 1.0), overall[:, None] + [[0, 0]] * 3)
    half = shrunk_weights(gram, moment, 0.5)
    np.testing.assert_allclose(half, (own + overall[:, None]) / 2)


def test_a_block_that_tells_nothing_takes_the_global_weights():
    gram, moment = sums(3)
    found = shrunk_weights(
        np.stack([gram, np.zeros((3, 3))], axis=-1), np.stack([moment, np.zeros(3)], axis=-1), 0.3
    )
    np.testing.assert_allclose(found[:, 1], simplex_weights(gram, moment))
