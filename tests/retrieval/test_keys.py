from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import seasonal_rows, series_of, windows_over
from tsmemory.retrieval.keys import (
    KeyConfig,
    KeyPart,
    KeyScaler,
    calendar_phases,
    key_parts,
    make_keys,
    phase_features,
    tail_statistics,
    window_keys,
)

L, H = 24, 4
CONFIGS = [
    KeyConfig(kind, tail_length=10, phase_weight=phase, statistics_weight=statistics)
    for kind in ("embedding", "window", "tail")
    for phase in (0, 0.5)
    for statistics in (0, 2.0)
]


@given(st.integers(0, 99), st.integers(2, 30), st.integers(1, 8), st.floats(0.01, 100))
def test_scaled_keys_have_unit_mean_square(seed, count, dimension, size):
    rng = np.random.default_rng(seed)
    keys = rng.normal(rng.normal(0, 5), size, (count, dimension)).astype(np.float32)
    scaled = KeyScaler.fit(keys, (KeyPart(dimension, 1.0),))(keys)
    assert np.mean((scaled.astype(np.float64) ** 2).sum(axis=1)) == pytest.approx(1, rel=1e-3)
    assert scaled.dtype == np.float32


@settings(deadline=None)
@given(
    st.integers(0, 99),
    st.lists(st.tuples(st.integers(1, 4), st.floats(0.05, 9)), min_size=1, max_size=4),
)
def test_each_part_has_its_share_of_the_mean_square(seed, shapes):
    rng = np.random.default_rng(seed)
    parts = tuple(KeyPart(width, weight) for width, weight in shapes)
    blocks = [rng.normal(3, rng.uniform(0.1, 50), (20, part.width)) for part in parts]
    keys = np.concatenate(blocks, axis=1).astype(np.float32)
    scaled = KeyScaler.fit(keys, parts)(keys).astype(np.float64)
    first = 0
    for part in parts:
        square = np.mean((scaled[:, first : first + part.width] ** 2).sum(axis=1))
        assert square == pytest.approx(part.weight / sum(p.weight for p in parts), rel=1e-3)
        first += part.width


def test_the_weight_of_a_constant_part_goes_to_the_others():
    keys = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    keys[:, 1] = 0.1
    parts = (KeyPart(1, 1.0), KeyPart(1, 5.0), KeyPart(1, 3.0))
    scaled = KeyScaler.fit(keys, parts)(keys)
    np.testing.assert_allclose((scaled**2).mean(axis=0), [0.25, 0, 0.75], atol=1e-4)


def test_blocks_of_keys_do_not_matter(monkeypatch):
    keys = np.random.default_rng(0).normal(5, 2, (100, 4)).astype(np.float32)
    parts = (KeyPart(3, 1.0), KeyPart(1, 0.5))
    expected = KeyScaler.fit(keys, parts)
    monkeypatch.setattr("tsmemory.retrieval.keys._BLOCK", 7)
    found = KeyScaler.fit(keys, parts)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-6)
    np.testing.assert_allclose(found.scale, expected.scale, rtol=1e-6)


def test_equal_keys_are_not_divided_by_zero():
    keys = np.full((4, 3), 7.1, np.float32)
    assert (KeyScaler.fit(keys, (KeyPart(3, 1.0),))(keys) == 0).all()


def test_window_keys_are_instance_normalised_and_bridge_nothing():
    contexts = np.random.default_rng(0).normal(3, 2, (4, 20)).astype(np.float32)
    keys = window_keys(contexts)
    np.testing.assert_allclose(keys.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(keys.std(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(window_keys(5 * contexts - 8), keys, atol=1e-5)
    contexts[0, 4:9] = np.nan
    seen = contexts[0, ~np.isnan(contexts[0])]
    expected = np.nan_to_num((contexts[0] - seen.mean()) / seen.std())
    np.testing.assert_allclose(window_keys(contexts)[0], expected, atol=1e-5)


def test_window_keys_of_constant_and_unobserved_contexts_are_zero():
    contexts = np.stack([np.full(8, 3.0), np.full(8, np.nan)]).astype(np.float32)
    assert (window_keys(contexts) == 0).all()


def two_rows(freq="h"):
    series = series_of(seasonal_rows(np.random.default_rng(0), [60, 70]), calendar=[0, 5])
    series = replace(series, freq=freq)
    return series, windows_over(series, L, H)


@pytest.mark.parametrize("config", CONFIGS)
def test_parts_of_keys(config):
    series, windows = two_rows()
    embeddings = np.random.default_rng(1).normal(size=(len(windows), 5)).astype(np.float32)
    keys = make_keys(config, embeddings, windows, series)
    contexts = windows.contexts(series)
    mains = {
        "embedding": embeddings,
        "window": window_keys(contexts),
        "tail": window_keys(contexts)[:, -10:],
    }
    expected = [mains[config.kind]]
    expected += [phase_features(windows, series)] if config.phase_weight else []
    expected += [tail_statistics(contexts, 10)] if config.statistics_weight else []
    np.testing.assert_array_equal(keys, np.concatenate(expected, axis=1))
    assert keys.dtype == np.float32
    parts = key_parts(config, keys.shape[1], series.freq)
    assert sum(part.width for part in parts) == keys.shape[1]
    assert parts[0] == KeyPart(mains[config.kind].shape[1], 1.0)
    extras = config.phase_weight + config.statistics_weight
    assert sum(part.weight for part in parts[1:]) == pytest.approx(extras)
    scaled = KeyScaler.fit(keys, parts)(keys).astype(np.float64)
    assert np.mean((scaled**2).sum(axis=1)) == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("config", CONFIGS)
def test_keys_know_nothing_after_the_origin(config):
    series, windows = two_rows()
    query = windows.take(np.array([7, 50]))
    flat = series.flat.copy()
    for row, origin in zip(query.row, query.origin, strict=True):
        flat[series.offset[row] + origin : series.offset[row] + series.length[row]] = 99
    embeddings = np.ones((2, 5), np.float32)
    before = make_keys(config, embeddings, query, series)
    after = make_keys(config, embeddings, query, replace(series, flat=flat))
    np.testing.assert_array_equal(after, before)


def test_embeddings_that_are_needed_must_be_given():
    series, windows = two_rows()
    with pytest.raises(ValueError, match="need the backbone's embeddings"):
        make_keys(KeyConfig(), None, windows, series)


@pytest.mark.parametrize(
    ("freq", "phases"),
    [
        ("15min", (True, True)),
        ("h", (True, True)),
        ("6h", (True, True)),
        ("D", (False, True)),
        ("B", (False, True)),
        ("W-MON", (False, False)),
        ("7D", (False, False)),
        ("MS", (False, False)),
        ("QE", (False, False)),
    ],
)
def test_phases_that_a_frequency_has(freq, phases):
    assert calendar_phases(freq) == phases
    series, windows = two_rows(freq)
    assert phase_features(windows, series).shape == (len(windows), 2 * sum(phases))
    config = KeyConfig("window", phase_weight=0.6)
    keys = make_keys(config, None, windows, series)
    parts = key_parts(config, keys.shape[1], freq)
    assert [part.width for part in parts] == [L] + [2] * sum(phases)


def test_phases_are_those_of_the_last_context_step():
    series, windows = two_rows()
    features = phase_features(windows, series)
    last = pd.DatetimeIndex(series.timestamps(windows.row, windows.origin - 1))
    hour, day = 2 * np.pi * last.hour / 24, 2 * np.pi * last.day_of_week / 7
    expected = np.stack([np.sin(hour), np.cos(hour), np.sin(day), np.cos(day)], axis=1)
    np.testing.assert_allclose(features, expected, atol=1e-6)
    assert len(np.unique(last.day_of_week)) > 1


@given(st.integers(0, 999), st.integers(2, 20), st.floats(0, 0.9))
def test_tail_statistics_against_polyfit(seed, length, missing):
    rng = np.random.default_rng(seed)
    contexts = rng.normal(2, 3, (3, 20)).astype(np.float32)
    contexts[rng.random(contexts.shape) < missing] = np.nan
    for line, found in zip(contexts[:, -length:], tail_statistics(contexts, length), strict=True):
        seen = ~np.isnan(line)
        if not seen.any():
            assert found.tolist() == [0, 0, 0]
            continue
        values, step = line[seen].astype(np.float64), np.arange(length)[seen]
        slope = np.polyfit(step, values, 1)[0] if seen.sum() > 1 else 0
        expected = [values.mean(), np.log(max(values.std(), 0.01)), slope]
        np.testing.assert_allclose(found, expected, atol=1e-4)
