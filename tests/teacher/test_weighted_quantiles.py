import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from builders import LEVELS
from tsmemory.teacher.quantiles import weighted_quantiles


def reference(values, weights, level, method):
    """METHOD 1.4, step 4, for one query and one step, in plain float64."""
    present = [(v, w) for v, w in zip(values, weights, strict=True) if not np.isnan(v) and w > 0]
    if not present:
        return np.nan
    total = sum(w for _, w in present)
    ordered = sorted(((v, w / total) for v, w in present), key=lambda pair: pair[0])
    cumulated = np.cumsum([w for _, w in ordered])
    sorted_values = [v for v, _ in ordered]
    if method == "published":
        return sorted_values[int(np.argmax(cumulated >= min(level, cumulated[-1]) - 1e-6))]
    middle = cumulated - np.array([w for _, w in ordered]) / 2
    return np.interp(level, middle, sorted_values)


def torch_quantiles(values, weights, method, levels=LEVELS):
    tensors = (torch.from_numpy(np.asarray(a, np.float32)) for a in (values, weights))
    return weighted_quantiles(*tensors, levels, method).numpy()


numbers = st.integers(-4, 4).map(float) | st.just(np.nan)  # few values, hence many ties


@settings(max_examples=200, deadline=None)
@given(
    values=arrays(np.float64, (2, 6, 3), elements=numbers),
    weights=arrays(np.float64, (2, 6), elements=st.integers(0, 5).map(float)),
    method=st.sampled_from(["midpoint", "published"]),
)
def test_against_the_written_definition(values, weights, method):
    result = torch_quantiles(values, weights, method)
    assert result.shape == (2, len(LEVELS), 3)
    for query in range(2):
        for step in range(3):
            for number, level in enumerate(LEVELS):
                expected = reference(values[query, :, step], weights[query], level, method)
                near = [
                    reference(values[query, :, step], weights[query], level + d, method)
                    for d in (-2e-6, 2e-6)
                ]
                actual = result[query, number, step]
                if np.isnan(expected):
                    assert np.isnan(actual)
                else:  # a level that meets a cumulated weight may fall on either side of it
                    assert min(expected, *near) - 1e-3 <= actual <= max(expected, *near) + 1e-3


@settings(max_examples=100, deadline=None)
@given(
    values=arrays(np.float32, (3, 5, 4), elements=st.floats(-1e3, 1e3, width=32)),
    weights=arrays(np.float32, (3, 5), elements=st.floats(0, 1, width=32)),
    method=st.sampled_from(["midpoint", "published"]),
)
def test_quantiles_ascend_and_stay_among_the_values(values, weights, method):
    weights[:, 0] += 0.1
    result = torch_quantiles(values, weights, method)
    assert (np.diff(result, axis=1) >= -1e-4 * np.abs(values).max()).all()
    present = np.where(weights[:, :, None] > 0, values, np.nan)
    assert (result >= np.nanmin(present, axis=1)[:, None] - 1e-3).all()
    assert (result <= np.nanmax(present, axis=1)[:, None] + 1e-3).all()


@pytest.mark.parametrize("method", ["midpoint", "published"])
def test_random_weights_against_the_definition(method):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 20, 5))
    values[rng.random(values.shape) < 0.2] = np.nan
    weights = rng.dirichlet(np.full(20, 0.3), 4)
    result = torch_quantiles(values, weights, method)
    for query in range(4):
        for step in range(5):
            expected = [
                reference(values[query, :, step], weights[query], q, method) for q in LEVELS
            ]
            np.testing.assert_allclose(result[query, :, step], expected, atol=1e-4)


@pytest.mark.parametrize("method", ["midpoint", "published"])
def test_a_single_neighbour_is_every_quantile(method):
    values = np.array([[[3.0, np.nan], [7.0, 7.0]]])
    result = torch_quantiles(values, [[1.0, 0.0]], method)
    assert (result[0, :, 0] == 3).all()
    assert np.isnan(result[0, :, 1]).all()


@pytest.mark.parametrize("method", ["midpoint", "published"])
def test_no_neighbour_is_no_quantile(method):
    assert np.isnan(torch_quantiles(np.ones((1, 3, 2)), np.zeros((1, 3)), method)).all()


@pytest.mark.parametrize("method", ["midpoint", "published"])
def test_the_scale_of_the_weights_does_not_matter(method):
    """At a step that only far neighbours cover, their tiny weights are all there is."""
    values = np.array([[[1.0], [2.0], [3.0], [np.nan]]])
    weights = np.array([[1.0, 1.0, 2.0, 0.0]])
    expected = torch_quantiles(values, weights, method)
    tiny = weights * 1e-20
    tiny[0, 3] = 1.0
    np.testing.assert_allclose(torch_quantiles(values, tiny, method), expected, rtol=1e-5)


def test_published_takes_neighbours_and_midpoint_lies_between():
    values = np.array([[[10.0], [20.0]]])
    weights = [[0.5, 0.5]]
    published = torch_quantiles(values, weights, "published")[0, :, 0]
    assert published.tolist() == [10.0] * 5 + [20.0] * 4
    midpoint = torch_quantiles(values, weights, "midpoint")[0, :, 0]
    np.testing.assert_allclose(midpoint, [10, 10, 11, 13, 15, 17, 19, 20, 20], rtol=1e-5)
