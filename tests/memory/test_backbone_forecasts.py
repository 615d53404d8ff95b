from dataclasses import replace

import numpy as np
import pytest

from builders import LEVELS, seasonal_rows, series_of, windows_over
from tsmemory.backbones import load_backbone
from tsmemory.memory.forecasts import BackboneForecasts, forecast_windows
from tsmemory.scaleout.shards import ShardCache


@pytest.fixture
def series():
    return series_of(seasonal_rows(np.random.default_rng(0), [90, 70]))


@pytest.fixture
def windows(series):
    return windows_over(series, 24, 6)


class Counting:
    """The seasonal naive, counting its calls."""

    quantile_levels = LEVELS
    needs_origins = False

    def __init__(self, fail_at=None):
        self._backbone = load_backbone("seasonal_naive", season=8)
        self.fingerprint, self.calls, self._fail_at = "f" * 16, 0, fail_at

    def encode_and_predict(self, contexts, horizon):
        self.calls += 1
        if self.calls == self._fail_at:
            raise KeyboardInterrupt
        return self._backbone.encode_and_predict(contexts, horizon)


@pytest.mark.parametrize("shard_size", [1, 7, 10_000])
def test_shards_do_not_matter(series, windows, shard_size):
    backbone = load_backbone("seasonal_naive", season=8)
    found = forecast_windows(backbone, windows, series, shard_size=shard_size)
    keys, quantiles = backbone.encode_and_predict(windows.contexts(series), 6)
    np.testing.assert_allclose(found.keys, keys, atol=1e-6)
    np.testing.assert_allclose(found.quantiles, quantiles, atol=1e-6)
    assert found.levels == backbone.quantile_levels
    assert found.backbone == backbone.fingerprint
    assert len(found) == len(windows)


def test_a_killed_run_resumes_to_the_same_answer(series, windows, tmp_path):
    cache = ShardCache(tmp_path)
    expected = forecast_windows(Counting(), windows, series, shard_size=20)
    with pytest.raises(KeyboardInterrupt):
        forecast_windows(Counting(fail_at=3), windows, series, shard_size=20, cache=cache)
    resumed = Counting()
    found = forecast_windows(resumed, windows, series, shard_size=20, cache=cache)
    assert resumed.calls == -(-len(windows) // 20) - 2
    np.testing.assert_array_equal(found.quantiles, expected.quantiles)


def test_no_window_is_an_error(series, windows):
    with pytest.raises(ValueError, match="no window to forecast"):
        forecast_windows(Counting(), windows.take(slice(0, 0)), series, shard_size=20)


def test_it_is_mapped_from_disk(series, windows, tmp_path):
    found = forecast_windows(Counting(), windows, series, shard_size=50)
    found.save_pretrained(tmp_path / "forecasts")
    loaded = BackboneForecasts.from_pretrained(tmp_path / "forecasts")
    assert isinstance(loaded.quantiles, np.memmap)
    np.testing.assert_array_equal(loaded.quantiles, found.quantiles)
    np.testing.assert_array_equal(loaded.keys, found.keys)
    assert loaded.levels == found.levels
    assert loaded.summary() == found.summary()


@pytest.mark.parametrize("change", ["context_length", "horizon", "values", "device"])
def test_shards_of_other_windows_are_never_reused(change, series, windows, tmp_path):
    cache, backbone = ShardCache(tmp_path), Counting()
    forecast_windows(Counting(), windows, series, shard_size=20, cache=cache)
    if change in ("context_length", "horizon"):
        windows = replace(windows, **{change: getattr(windows, change) - 1})
    elif change == "values":
        series = replace(series, flat=series.flat + 1)
    else:
        backbone.device = "cuda"
    forecast_windows(backbone, windows, series, shard_size=20, cache=cache)
    assert backbone.calls == -(-len(windows) // 20)
