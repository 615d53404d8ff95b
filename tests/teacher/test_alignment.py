import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.teacher.alignment import LARGEST_RATIO, align_futures, scale_ratio, window_std

B, K, M, H = 3, 4, 5, 6


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    shapes = ((B, K, H), (B, K, M), (B, M))
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def test_shift_step_by_step(parts):
    futures, tails, query_tail = parts
    found = align_futures(futures, tails, query_tail, None)
    assert found.dtype == np.float32
    for query in range(B):
        for number in range(K):
            shift = query_tail[query].mean() - tails[query, number].mean()
            expected = futures[query, number] + shift
            np.testing.assert_allclose(found[query, number], expected, atol=1e-5)


def test_affine_step_by_step(parts):
    futures, tails, query_tail = parts
    ratio = np.random.default_rng(1).uniform(0.5, 2, (B, K)).astype(np.float32)
    found = align_futures(futures, tails, query_tail, ratio)
    for query in range(B):
        for number in range(K):
            own = tails[query, number].mean()
            around = ratio[query, number] * (futures[query, number] - own)
            expected = query_tail[query].mean() + around
            np.testing.assert_allclose(found[query, number], expected, atol=1e-5)


def test_with_a_ratio_of_one_affine_is_a_shift(parts):
    shifted = align_futures(*parts, None)
    rescaled = align_futures(*parts, np.ones((B, K), np.float32))
    np.testing.assert_allclose(rescaled, shifted, atol=1e-5)


@pytest.mark.parametrize("affine", [False, True])
def test_without_an_observed_point_nothing_is_moved(parts, affine):
    futures, tails, query_tail = parts
    query_tail[0], tails[1, 2] = np.nan, np.nan
    ratio = np.full((B, K), 1.5, np.float32) if affine else None
    found = align_futures(futures, tails, query_tail, ratio)
    np.testing.assert_array_equal(found[0], futures[0])
    np.testing.assert_array_equal(found[1, 2], futures[1, 2])
    assert not np.allclose(found[1, 1], futures[1, 1])
    assert not np.isnan(found).any()


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_the_ratio_is_clipped(query, stored):
    ratio = scale_ratio(np.array([[query]], np.float32), np.array([[stored]], np.float32))
    expected = min(max(query / stored, 1 / LARGEST_RATIO), LARGEST_RATIO)
    assert ratio[0, 0] == pytest.approx(expected, rel=1e-5)


def test_a_constant_tells_no_scale():
    ratio = scale_ratio(np.array([[0], [1]], np.float32), np.array([[2, 1], [0, 1.5]], np.float32))
    np.testing.assert_allclose(ratio, [[1, 1], [1, 1 / 1.5]], rtol=1e-6)


def test_standard_deviation_of_what_is_observed():
    rng = np.random.default_rng(0)
    contexts = (100 + rng.normal(size=(4, 30))).astype(np.float32)
    contexts[1, ::2] = np.nan
    contexts[2] = 7
    contexts[3] = np.nan
    expected = [contexts[0].std(), contexts[1, 1::2].std(), 0, 0]
    np.testing.assert_allclose(window_std(contexts), expected, rtol=1e-5)
