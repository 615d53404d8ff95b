"""The backbone is asked once: what it said is found by content, and never trusted if damaged."""

import os
from dataclasses import replace

import numpy as np
import pytest

from builders import LEVELS, seasonal_rows, series_of, windows_over
from tsmemory.backbones import load_backbone
from tsmemory.memory.forecasts import BackboneForecasts, forecast_windows
from tsmemory.scaleout.content_cache import ContentCache
from tsmemory.scaleout.payload import pack, unpack
from tsmemory.scaleout.shards import ShardCache

SHARD = 20


class Counting:
    """The seasonal naive, counting its calls."""

    quantile_levels = LEVELS
    needs_origins = False

    def __init__(self, fingerprint="f", device="cpu"):
        self._backbone = load_backbone("seasonal_naive", season=8)
        self.fingerprint, self.device, self.calls = fingerprint, device, 0

    def encode_and_predict(self, contexts, horizon):
        self.calls += 1
        return self._backbone.encode_and_predict(contexts, horizon)


@pytest.fixture
def series():
    return series_of(seasonal_rows(np.random.default_rng(0), [90, 70]))


@pytest.fixture
def windows(series):
    return windows_over(series, 24, 6)


@pytest.fixture
def answers(tmp_path):
    return ContentCache(tmp_path / "answers").part("train")


@pytest.fixture
def ask(series, windows, answers, tmp_path):
    """Forecast with both caches, clear the scratch space as a run does, and count the calls."""

    def run(
        backbone=None, windows=windows, series=series, answers=answers, killed=False, **options
    ):
        backbone = backbone or Counting()
        cache = ShardCache(tmp_path / "workspace")
        options = {"shard_size": SHARD, "cache": cache, "answers": answers} | options
        found = forecast_windows(backbone, windows, series, **options)
        if not killed:
            cache.clear()
        return found, backbone.calls

    return run


def test_a_second_run_does_not_ask_again(ask, windows):
    first, calls = ask()
    assert calls == -(-len(windows) // SHARD)
    again, none = ask(shard_size=7)
    assert none == 0
    np.testing.assert_array_equal(again.quantiles, first.quantiles)
    np.testing.assert_array_equal(again.keys, first.keys)
    assert again.levels == first.levels
    assert again.backbone == first.backbone
    plain, _ = ask(answers=None, cache=None)
    np.testing.assert_array_equal(again.quantiles, plain.quantiles)


def test_appended_rows_ask_nothing_about_what_came_before(ask, series):
    ask()
    longer = [np.append(series.row_values(row), np.full(9, 5.0)) for row in (0, 1)]
    assert ask(series=series_of(longer))[1] == 0


@pytest.mark.parametrize(
    "change", ["value", "horizon", "fingerprint", "device", "windows", "settings"]
)
def test_whatever_could_change_an_answer_asks_again(change, ask, series, windows):
    before, calls = ask()
    options = {}
    if change == "value":
        flat = series.flat.copy()
        flat[3] += 1
        options = {"series": replace(series, flat=flat)}
    elif change == "horizon":
        options = {"windows": replace(windows, horizon=5)}
    elif change == "windows":
        options = {"windows": windows.take(slice(1, None))}
    elif change == "settings":
        options = {"settings": {"dtype": "bfloat16"}}
    else:
        options = {"backbone": Counting(**{change: "cuda"})}
    after, again = ask(**options)
    assert again == calls
    assert len(after) == len(before) - (change == "windows")
    assert np.array_equal(before.quantiles, after.quantiles) is (
        change in ("fingerprint", "device", "settings")
    )


@pytest.mark.parametrize("name", ["quantiles.npy", "keys.npy", "config.json"])
@pytest.mark.parametrize("how", ["truncated", "one byte"])
def test_a_damaged_answer_is_asked_for_again(name, how, ask, answers, caplog):
    first, calls = ask()
    quantiles = np.array(first.quantiles)
    del first  # nothing is mapped while its file is cut short
    (file,) = answers.folder.glob(f"*/{name}")
    content = file.read_bytes()
    half, last = content[: len(content) // 2], bytes([content[-1] ^ 1])
    file.write_bytes(half if how == "truncated" else content[:-1] + last)
    again, asked = ask()
    assert asked == calls
    assert "is damaged, so it is worked out again" in caplog.text
    np.testing.assert_array_equal(again.quantiles, quantiles)
    assert ask()[1] == 0


def test_without_a_cache_it_is_asked_every_time(ask):
    _, calls = ask(answers=None)
    assert ask(answers=None)[1] == calls > 0


def test_only_the_latest_answer_is_kept(ask, answers, windows):
    ask()
    _, calls = ask(windows=windows.take(slice(0, 30)))
    assert len(list(answers.folder.iterdir())) == 1
    assert calls == 2
    assert ask(windows=windows.take(slice(0, 30)))[1] == 0


def test_artefact_and_answer_are_one_file(ask, answers, tmp_path):
    for folder in (tmp_path / "first", tmp_path / "second"):
        found, _ = ask()
        found.save_pretrained(folder)
        for name in ("keys.npy", "quantiles.npy"):
            (kept,) = answers.folder.glob(f"*/{name}")
            assert os.path.samefile(folder / name, kept)
        loaded = BackboneForecasts.from_pretrained(folder)
        np.testing.assert_array_equal(loaded.quantiles, found.quantiles)


def test_shards_of_a_later_run_leave_a_linked_artefact_alone(ask, series, tmp_path):
    found, _ = ask(answers=None, killed=True)  # before its scratch space was cleared
    found.save_pretrained(tmp_path / "made")
    expected = np.array(found.quantiles)
    ask(answers=None, killed=True)
    loaded = BackboneForecasts.from_pretrained(tmp_path / "made")
    np.testing.assert_array_equal(loaded.quantiles, expected)
    for name in ("keys.npy", "quantiles.npy"):
        (gathered,) = (tmp_path / "workspace").glob(f"*/{name}")
        assert not os.path.samefile(gathered, tmp_path / "made" / name)


def test_other_processes_are_told_where_forecasts_lie(ask):
    found, _ = ask(answers=None, killed=True)
    packed = pack(found, same_machine=True)
    assert len(packed) < found.quantiles.nbytes / 10  # and not sent a copy
    np.testing.assert_array_equal(unpack(packed).quantiles, found.quantiles)


def test_a_changed_part_is_saved_as_it_is(ask, tmp_path):
    found, _ = ask()
    changed = replace(found, quantiles=found.quantiles + 1)
    changed.save_pretrained(tmp_path / "made")
    loaded = BackboneForecasts.from_pretrained(tmp_path / "made")
    np.testing.assert_array_equal(loaded.quantiles, found.quantiles + 1)
