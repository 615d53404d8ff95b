import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import seasonal_rows, series_of, windows_over
from tsmemory.backbones import load_backbone
from tsmemory.retrieval.embeddings import KnownKeys, embed_windows
from tsmemory.retrieval.keys import KeyConfig, make_keys
from tsmemory.scaleout.content_cache import ContentCache
from tsmemory.scaleout.shards import ShardCache


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


@pytest.mark.parametrize(
    "config",
    [
        KeyConfig(),
        KeyConfig("window"),
        KeyConfig("tail", tail_length=9, phase_weight=0.5),
        KeyConfig(phase_weight=0.5, statistics_weight=0.2),
    ],
)
def test_shards_do_not_matter(config):
    series = series_of(seasonal_rows(np.random.default_rng(0), [60, 70]))
    windows, backbone = windows_over(series, 24, 4), Counting()
    keys = embed_windows(backbone, windows, series, config=config, shard_size=1000)
    parts = embed_windows(backbone, windows, series, config=config, shard_size=11)
    np.testing.assert_array_equal(keys, parts)
    assert len(keys) == len(windows)
    embeddings = backbone.embed(windows.contexts(series))
    np.testing.assert_array_equal(keys, make_keys(config, embeddings, windows, series))


def test_a_killed_run_resumes_and_changed_data_are_embedded_again(tmp_path):
    series = series_of(seasonal_rows(np.random.default_rng(0), [60]))
    windows, cache = windows_over(series, 24, 4), ShardCache(tmp_path)
    expected = embed_windows(Counting(), windows, series, config=KeyConfig(), shard_size=8)

    def run(backbone, data=series):
        return embed_windows(backbone, windows, data, config=KeyConfig(), shard_size=8, cache=cache)

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
    options = {"config": KeyConfig(), "shard_size": 8, "cache": cache}
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
    options = {"config": KeyConfig(), "shard_size": 8}
    expected = embed_windows(Counting(), windows, series, **options)
    known = KnownKeys(forecast, expected[::stride])
    keys = embed_windows(backbone, windows, series, known=known, **options)
    np.testing.assert_array_equal(keys, expected)
    assert backbone.windows == len(windows) - len(forecast)


def test_embeddings_are_found_by_content(tmp_path):
    series = series_of(seasonal_rows(np.random.default_rng(0), [60]))
    windows, answers = windows_over(series, 24, 4), ContentCache(tmp_path)

    def run(backbone, data=series, **options):
        options = {"config": KeyConfig(), "shard_size": 8, "answers": answers} | options
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


def test_keys_without_embeddings_ask_the_backbone_for_nothing(tmp_path):
    series = series_of(seasonal_rows(np.random.default_rng(0), [60]))
    windows, answers = windows_over(series, 24, 4), ContentCache(tmp_path)
    options = {"shard_size": 8, "answers": answers}
    embed_windows(Counting(), windows, series, config=KeyConfig(), **options)
    asked = Counting()
    embed_windows(asked, windows, series, config=KeyConfig("window"), **options)
    assert asked.calls == 0
    assert not answers.folder.exists()


def test_other_features_do_not_embed_again(tmp_path):
    series = series_of(seasonal_rows(np.random.default_rng(0), [60]))
    windows, answers = windows_over(series, 24, 4), ContentCache(tmp_path)
    options = {"shard_size": 8, "answers": answers}
    plain = embed_windows(Counting(), windows, series, config=KeyConfig(), **options)
    again = Counting()
    config = KeyConfig(phase_weight=0.3)
    keys = embed_windows(again, windows, series, config=config, **options)
    assert again.calls == 0
    np.testing.assert_array_equal(keys[:, : plain.shape[1]], plain)


def test_a_frequency_without_phases_is_told(caplog):
    series = replace(series_of([np.sin(np.arange(40.0))]), freq="MS")
    windows = windows_over(series, 24, 4)
    config = KeyConfig("window", phase_weight=0.3)
    with caplog.at_level(logging.WARNING):
        keys = embed_windows(Counting(), windows, series, config=config, shard_size=8)
    assert "Steps of MS have no hour or weekday" in caplog.text
    assert keys.shape == (len(windows), 24)
