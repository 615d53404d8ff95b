from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import seasonal_rows, series_of, windows_over
from tsmemory.backbones import load_backbone
from tsmemory.retrieval.keys import (
    KeyScaler,
    KnownKeys,
    embed_windows,
    query_keys,
    window_keys,
)
from tsmemory.scaleout.content_cache import ContentCache
from tsmemory.scaleout.shards import ShardCache


@given(st.integers(0, 99), st.integers(2, 30), st.integers(1, 8), st.floats(0.01, 100))
def test_scaled_keys_have_unit_mean_square(seed, count, dimension, size):
    rng = np.random.default_rng(seed)
    keys = rng.normal(rng.normal(0, 5), size, (count, dimension)).astype(np.float32)
    scaled = KeyScaler.fit(keys)(keys)
    assert np.mean((scaled.astype(np.float64) ** 2).sum(axis=1)) == pytest.approx(1, rel=1e-3)
    assert scaled.dtype == np.float32


def test_equal_keys_are_not_divided_by_zero():
    keys = np.full((4, 3), 7.0, np.float32)
    assert (KeyScaler.fit(keys)(keys) == 0).all()


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


def test_query_keys_by_kind():
    contexts = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    embeddings = np.ones((3, 2), np.float32)
    assert query_keys("embedding", embeddings, contexts) is embeddings
    np.testing.assert_array_equal(query_keys("window", embeddings, contexts), window_keys(contexts))


class Counting:
    """A backbone that counts its calls."""

    def __init__(self, fail_at=None):
        self._backbone = load_backbone("seasonal_naive", season=8)
        self.fingerprint = self._backbone.fingerprint
        self.calls, self.windows, self._fail_at = 0, 0, fail_at

    def embed(self, contexts):
        self.calls += 1
        self.windows += len(contexts)
        if self.calls == self._fail_at:
            raise KeyboardInterrupt
        return self._backbone.embed(contexts)


@pytest.mark.parametrize("kind", ["embedding", "window"])
def test_shards_do_not_matter(kind):
    series = series_of(seasonal_rows(np.random.default_rng(0), [60, 70]))
    windows, backbone = windows_over(series, 24, 4), Counting()
    keys = embed_windows(backbone, windows, series, kind=kind, shard_size=1000)
    parts = embed_windows(backbone, windows, series, kind=kind, shard_size=11)
    np.testing.assert_array_equal(keys, parts)
    assert len(keys) == len(windows)


def test_a_killed_run_resumes_and_changed_data_are_embedded_again(tmp_path):
    series = series_of(seasonal_rows(np.random.default_rng(0), [60]))
    windows, cache = windows_over(series, 24, 4), ShardCache(tmp_path)
    expected = embed_windows(Counting(), windows, series, kind="embedding", shard_size=8)

    def run(backbone, data=series):
        return embed_windows(backbone, windows, data, kind="embedding", shard_size=8, cache=cache)

    with pytest.raises(KeyboardInterrupt):
        run(Counting(fail_at=4))
    resumed = Counting()
    np.testing.assert_array_equal(run(resumed), expected)
    assert resumed.calls == 5 - 3
    changed = Counting()
    moved = series_of([series.row_values(0) + np.linspace(0, 1, 60, dtype=np.float32)])
    assert not np.allclose(run(changed, moved), expected)
    assert changed.calls == 5


def test_a_shorter_context_is_embedded_again(tmp_path):
    series = series_of(seasonal_rows(np.random.default_rng(0), [60]))
    windows, cache = windows_over(series, 24, 4), ShardCache(tmp_path)
    options = {"kind": "embedding", "shard_size": 8, "cache": cache}
    embed_windows(Counting(), windows, series, **options)
    again = Counting()
    embed_windows(again, replace(windows, context_length=20), series, **options)
    assert again.calls == 5


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 40))
def test_known_windows_are_found_by_row_and_start(seed, count, asked):
    rng = np.random.default_rng(seed)
    series = series_of([np.zeros(30), np.zeros(40)])
    whole = windows_over(series, 8, 2)
    known = whole.take(rng.choice(len(whole), count, replace=False))
    wanted = whole.take(rng.integers(0, len(whole), asked))
    places = {
        (row, start): place
        for place, (row, start) in enumerate(zip(known.row, known.start, strict=True))
    }
    expected = [
        places.get((row, start), -1) for row, start in zip(wanted.row, wanted.start, strict=True)
    ]
    found = KnownKeys(known, np.zeros((count, 3), np.float32)).positions(wanted)
    assert found.tolist() == expected
    shorter = replace(wanted, context_length=7)
    assert (KnownKeys(known, np.zeros((count, 3))).positions(shorter) == -1).all()


@pytest.mark.parametrize("stride", [1, 3, 50])
def test_windows_that_were_forecast_are_not_embedded_again(stride):
    series = series_of(seasonal_rows(np.random.default_rng(0), [60, 70]))
    windows, backbone = windows_over(series, 24, 4), Counting()
    forecast = windows.take(slice(None, None, stride))
    options = {"kind": "embedding", "shard_size": 8}
    expected = embed_windows(Counting(), windows, series, **options)
    known = KnownKeys(forecast, expected[::stride])
    keys = embed_windows(backbone, windows, series, known=known, **options)
    np.testing.assert_array_equal(keys, expected)
    assert backbone.windows == len(windows) - len(forecast)


def test_embeddings_are_found_by_content(tmp_path):
    series = series_of(seasonal_rows(np.random.default_rng(0), [60]))
    windows, answers = windows_over(series, 24, 4), ContentCache(tmp_path)

    def run(backbone, data=series, **options):
        options = {"kind": "embedding", "shard_size": 8, "answers": answers} | options
        return embed_windows(backbone, windows, data, **options)

    first, again, changed = Counting(), Counting(), Counting()
    expected = run(first)
    np.testing.assert_array_equal(run(again), expected)
    assert (first.calls, again.calls) == (5, 0)
    run(changed, series_of([series.row_values(0) * 2]))
    assert changed.calls == 5
    # What nobody needs any more is not kept.
    run(changed, known=KnownKeys(windows, expected))
    assert changed.calls == 5
    assert not answers.folder.exists()
