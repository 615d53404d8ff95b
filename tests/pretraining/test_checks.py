import numpy as np
import pandas as pd
import pytest

from builders import LEVELS, hourly_panel
from tsmemory.metrics import seasonal_naive
from tsmemory.pretraining.checks import (
    CheckSet,
    collect_windows,
    score_check,
    tabulate_checks,
)
from tsmemory.pretraining.errors import PretrainingError
from tsmemory.series.splits import split_borders

L, H = 48, 12
LENGTH = 500  # 350 train, 50 validate, 100 test


def panel_of(seed=0, items=("a", "b"), length=LENGTH):
    rng = np.random.default_rng(seed)
    parts = []
    for number, item in enumerate(items):
        wave = np.sin(2 * np.pi * np.arange(length) / 24)
        values = {
            "x": 10 + 3 * wave + rng.normal(0, 0.5, length),
            "y": number + rng.normal(0, 2, length).cumsum(),
        }
        parts.append(hourly_panel(values, item))
    return pd.concat(parts, ignore_index=True)


def collect(panel, *, name="data", borders=None, **changes):
    sizes = {"context_length": L, "horizon": H, "windows": 1000, **changes}
    return collect_windows(name, panel, "h", split_borders(panel, borders=borders), **sizes)


@pytest.fixture
def panel():
    return panel_of()


@pytest.fixture
def check(panel):
    return collect(panel)


def test_windows_are_those_of_validation_in_train_units(panel, check):
    assert check.contexts.shape == (2 * 2 * (50 - H + 1), L)
    assert check.targets.shape == (len(check.contexts), H)
    assert check.season == 24
    values = panel[panel["item_id"] == "a"]["x"].to_numpy()
    mean, std = values[:350].mean(), values[:350].std()
    z = (values - mean) / std
    np.testing.assert_allclose(check.contexts[0], z[350 - L : 350], atol=1e-5)
    np.testing.assert_allclose(check.targets[0], z[350 : 350 + H], atol=1e-5)
    np.testing.assert_allclose(check.targets[50 - H], z[400 - H : 400], atol=1e-5)
    assert check.mean[0] == pytest.approx(mean)
    assert check.std[0] == pytest.approx(std)
    step = np.abs(values[24:350] - values[: 350 - 24]).mean()
    assert check.seasonal_error[0] == pytest.approx(step, rel=1e-5)


@pytest.mark.parametrize("borders", [None, (350, 400, 500)])
def test_the_test_split_is_not_read(panel, borders):
    place = panel.groupby("item_id").cumcount()
    spoiled = panel.copy()
    spoiled.loc[place >= 400, ["x", "y"]] = [1e9, np.nan]
    for one, other in zip(
        vars(collect(panel, borders=borders)).values(),
        vars(collect(spoiled, borders=borders)).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_what_comes_before_it_is_read(panel, check):
    """Else the test above would compare what is read nowhere."""
    place = panel.groupby("item_id").cumcount()
    changed = panel.copy()
    changed.loc[place == 399, "x"] += 1.0
    assert not np.array_equal(collect(changed).targets, check.targets)


def test_at_most_so_many_windows_evenly_spaced(panel, check):
    few = collect(panel, windows=9)
    assert len(few.contexts) == 9
    np.testing.assert_array_equal(few.contexts[[0, -1]], check.contexts[[0, -1]])
    assert len(collect(panel, windows=1).contexts) == 1


def test_series_that_end_before_fixed_borders_are_left_out(panel):
    short = panel_of(seed=3, items=("short",), length=300)
    both = collect(pd.concat([panel, short]), borders=(350, 400, 500))
    np.testing.assert_array_equal(both.contexts, collect(panel, borders=(350, 400, 500)).contexts)


def test_a_split_without_windows_is_refused(panel):
    with pytest.raises(
        PretrainingError, match=r"validation split of data holds no window of 48 \+"
    ):
        collect(panel, horizon=51)


def test_scores_by_hand(check):
    constant = np.zeros((len(check.targets), 9, H), dtype=np.float32)
    found = score_check(check, lambda contexts, horizon: constant[:, :, :horizon], LEVELS)
    z = check.targets.astype(float)
    raw = z * check.std[:, None]
    assert list(found) == ["mse", "mae", "mase", "wql"]
    assert found["mse"] == pytest.approx((z**2).mean())
    assert found["mae"] == pytest.approx(np.abs(z).mean())
    assert found["mase"] == pytest.approx(
        (np.abs(raw) / check.seasonal_error[:, None]).mean(), rel=1e-5
    )
    level = np.array(LEVELS)[:, None, None]
    pinball = np.maximum(level * z, (level - 1) * z) * check.std[:, None]
    whole = np.abs(raw + check.mean[:, None]).sum()
    assert found["wql"] == pytest.approx(2 * pinball.mean(axis=0).sum() / whole, rel=1e-5)


def test_the_table_sets_a_model_beside_the_seasonal_naive(check):
    point = seasonal_naive(check.contexts, H, 24)

    def predict(contexts, horizon):
        return np.repeat(point[:, None, :horizon], 9, axis=1)

    table = tabulate_checks(CheckSet((check,)), predict, LEVELS)
    assert table["method"].tolist() == ["pretrained", "seasonal_naive"]
    assert table["check"].tolist() == ["data", "data"]
    assert set(table["windows"]) == {len(check.targets)}
    assert set(table["context_length"]) == {L}
    assert set(table["horizon"]) == {H}
    for metric in ("mse", "mae", "mase"):
        assert table[metric].nunique() == 1
    assert table["wql"].nunique() == 2  # the naive forecast's own has a spread


def test_checks_survive_their_folder(check, panel, tmp_path):
    checks = CheckSet((check, collect(panel, name="other", windows=5)))
    checks.save_pretrained(tmp_path)
    again = CheckSet.from_pretrained(tmp_path)
    assert [c.name for c in again.checks] == ["data", "other"]
    for one, other in zip(again.checks, checks.checks, strict=True):
        for name, value in vars(other).items():
            np.testing.assert_array_equal(getattr(one, name), value)
    assert again.summary()["other"] == {
        "windows": 5,
        "context_length": L,
        "horizon": H,
        "season": 24,
    }


def test_checks_need_names_of_their_own(check):
    with pytest.raises(PretrainingError, match=r"two checks have one name \(data, data\)"):
        CheckSet((check, check))
