import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tsmemory.teacher.confidence import confidence_of, effective_neighbours, percentiles

KINDS = ("max_weight", "effective", "entropy", "distance")


def normalised(mass):
    total = mass.sum(axis=1, keepdims=True)
    return (mass / np.where(total > 0, total, 1)).astype(np.float32)


def reference(kind, weights, nearest, own):
    """METHOD 1.4, step 5, for one query, in plain Python."""
    if sum(weights) == 0:
        return 0.0
    if kind == "max_weight":
        return max(weights)
    if kind == "effective":
        return 1 / sum(w * w for w in weights) / len(weights)
    if kind == "entropy":
        entropy = -sum(w * np.log(w) for w in weights if w > 0)
        return 1 - entropy / np.log(len(weights))
    return sum(other >= nearest for other in own) / len(own)


@given(
    arrays(np.float64, (5, 4), elements=st.integers(0, 9).map(float)),
    arrays(np.float32, 5, elements=st.floats(0, 2, width=32)),
    st.sampled_from(KINDS),
)
def test_against_the_written_definition(mass, nearest, kind):
    weight, own = normalised(mass), percentiles(np.linspace(0, 2, 40, dtype=np.float32))
    found = confidence_of(kind, weight, nearest, own)
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()
    for line, distance, ours in zip(weight.astype(float), nearest, found, strict=True):
        assert ours == pytest.approx(reference(kind, line, distance, own), abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "one", "all_alike"),
    [("max_weight", 1, 0.25), ("effective", 0.25, 1), ("entropy", 1, 0)],
)
def test_extremes(kind, one, all_alike):
    weight = np.array([[1, 0, 0, 0], [0.25] * 4], np.float32)
    found = confidence_of(kind, weight, np.ones(2, np.float32), np.ones(3, np.float32))
    np.testing.assert_allclose(found, [one, all_alike], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_one_neighbour_asked_for(kind):
    found = confidence_of(kind, np.ones((1, 1), np.float32), np.zeros(1), np.ones(3))
    assert found == 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_neighbour_is_no_confidence(kind):
    weight, nowhere = np.zeros((2, 3), np.float32), np.full(2, np.inf, np.float32)
    assert (confidence_of(kind, weight, nowhere, percentiles(nowhere)) == 0).all()


def test_the_nearest_are_trusted_most():
    distance = np.random.default_rng(0).gamma(2, size=5000).astype(np.float32)
    weight = np.ones((5000, 1), np.float32)
    found = confidence_of("distance", weight, distance, percentiles(distance))
    expected = 1 - np.argsort(np.argsort(distance)) / 5000
    np.testing.assert_allclose(found, expected, atol=0.02)
    beyond = confidence_of("distance", weight[:1], 2 * distance.max(keepdims=True), distance[:0])
    assert beyond == 1  # nothing to compare with
    farthest = np.array([2 * distance.max()])
    assert confidence_of("distance", weight[:1], farthest, percentiles(distance)) == 0


def test_equal_distances_are_all_near():
    same = np.full(9, 0.5, np.float32)
    weight = np.ones((9, 1), np.float32)
    assert (confidence_of("distance", weight, same, percentiles(same)) == 1).all()


def test_absent_neighbours_have_no_percentile():
    nearest = np.array([1, np.inf, 3], np.float32)
    np.testing.assert_allclose(percentiles(nearest)[[0, 50, -1]], [1, 2, 3])
    assert len(percentiles(np.array([np.inf], np.float32))) == 0


def test_effective_neighbours():
    weight = np.array([[0.5, 0.5, 0], [0, 0, 0], [1, 0, 0]], np.float32)
    np.testing.assert_allclose(effective_neighbours(weight), [2, 0, 1])
