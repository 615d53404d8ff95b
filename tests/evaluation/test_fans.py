from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from builders import LEVELS
from domains import H, L
from tsmemory.evaluation.fans import collect_fans
from tsmemory.evaluation.methods import frozen
from tsmemory.evaluation.scores import score_methods
from tsmemory.memory.split import Split

SHOWN = 15  # one and a half horizons of 10


def nudged(split):
    return frozen(split) + np.float32(0.25)


STAMPS = {
    "s0": pd.Series(pd.date_range("2024-03-01", periods=420, freq="h")),
    "s1": pd.Series(pd.date_range("2021-07-01 00:30", periods=420, freq="D"), index=range(7, 427)),
}


@pytest.fixture(scope="module")
def case(halves):
    """A test split in raw units, its scores, and its fans."""
    _, split = halves
    series = replace(
        split.series,
        mean=np.array([10.0, -50.0]),
        std=np.array([2.0, 30.0]),
        channel=np.array(["x", "y"], dtype=object),
    )
    windows = replace(split.windows, limit=np.full(len(split.windows), 412))
    split = Split(series, windows, split.forecasts)
    scores = score_methods(
        split,
        {"frozen": [frozen], "tsmemory": [nudged]},
        horizons=(4, H),
        seasonal_error=np.ones(2),
        stride=1,
        batch_size=100,
    )
    return split, scores, collect_fans(split, scores, {"frozen": frozen, "other": nudged}, STAMPS)


def losses(split, method):
    """Losses of the windows that reach the last horizon, by hand."""
    target = split.windows.targets(split.series)[:, None]
    error = target - method(split)
    level = np.array(LEVELS)[:, None]
    loss = np.maximum(level * error, (level - 1) * error).mean(axis=(1, 2))
    return np.where(split.windows.complete(H), loss, np.nan)


def test_the_best_the_median_and_the_worst_window_are_shown(case):
    split, _, table = case
    reference = losses(split, frozen)
    skill = 1 - losses(split, nudged) / reference
    assert np.isnan(skill).any()
    telling = np.isfinite(skill) & (reference >= 0.1 * np.nanmean(reference))
    order = np.argsort(np.where(telling, -skill, np.nan))[: telling.sum()]
    picked = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    assert table["kind"].drop_duplicates().tolist() == list(picked)
    for kind, window in picked.items():
        row, start = int(split.windows.row[window]), int(split.windows.start[window])
        stamp = STAMPS[f"s{row}"].iloc[start + L]
        label = f"s{row}, {'xy'[row]}, {stamp:%Y-%m-%d %H:%M}"
        assert set(table.loc[table["kind"] == kind, "label"]) == {label}
        np.testing.assert_allclose(table.loc[table["kind"] == kind, "skill"], skill[window])
        shown = table[(table["kind"] == kind) & (table["method"] == "truth")]
        values = split.series.row_values(row, 420)[start + L - SHOWN : start + L + H]
        expected = values * (2.0, 30.0)[row] + (10.0, -50.0)[row]
        np.testing.assert_allclose(shown["value"], expected, rtol=1e-5)
        for method, offset in (("frozen", 0.0), ("other", 0.25)):
            fan = table[(table["kind"] == kind) & (table["method"] == method)]
            found = fan.pivot(index="level", columns="step", values="value")
            z = split.forecasts.quantiles[window] + offset
            expected = z * (2.0, 30.0)[row] + (10.0, -50.0)[row]
            np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-4, atol=1e-4)


def test_steps_count_from_the_origin(case):
    _, _, table = case
    assert list(table) == ["step", "method", "level", "value", "kind", "label", "skill"]
    for _, fan in table.groupby("kind"):
        truth = fan[fan["method"] == "truth"]
        assert truth["step"].tolist() == list(range(-SHOWN, H))
        assert truth["level"].isna().all()
        for method in ("frozen", "other"):
            part = fan[fan["method"] == method]
            assert sorted(set(part["level"])) == list(LEVELS)
            for _, line in part.groupby("level"):
                assert line["step"].tolist() == list(range(H))


def test_no_more_context_is_shown_than_there_is(case):
    split, scores, _ = case
    windows = split.windows
    short = replace(windows, start=windows.start + L - 6, context_length=6)
    table = collect_fans(
        Split(split.series, short, split.forecasts), scores, {"frozen": frozen}, STAMPS
    )
    assert table["step"].min() == -6


def test_windows_of_equal_skill_are_told_apart_by_their_loss(case):
    """An idle memory has no best and no worst window, but the backbone has."""
    split, _, _ = case
    scores = score_methods(
        split,
        {"frozen": [frozen], "tsmemory": [frozen]},
        horizons=(4, H),
        seasonal_error=np.ones(2),
        stride=1,
        batch_size=100,
    )
    table = collect_fans(split, scores, {"frozen": frozen}, STAMPS)
    assert (table["skill"] == 0).all()
    reference = losses(split, frozen)
    reference = reference[reference >= 0.1 * np.nanmean(reference)]
    for kind, end in (("best", reference.min()), ("worst", reference.max())):
        fan = table[(table["kind"] == kind) & (table["step"] >= 0)]
        std = 2.0 if fan["label"].iloc[0].startswith("s0") else 30.0
        truth = fan[fan["method"] == "truth"]["value"].to_numpy()
        wide = fan[fan["method"] == "frozen"].pivot(index="level", columns="step", values="value")
        error, level = truth - wide.to_numpy(), wide.index.to_numpy()[:, None]
        loss = np.maximum(level * error, (level - 1) * error).mean() / std
        assert loss == pytest.approx(end, rel=1e-4)


def test_windows_on_which_the_backbone_hardly_errs_are_passed_over(case):
    split, scores, _ = case
    perfect = {
        name: replace(part, pinball=np.where(split.windows.row[:, None] == 0, 1e-9, part.pinball))
        for name, part in scores.methods.items()
    }
    perfect["tsmemory"].pinball[split.windows.row == 0] = 1.0
    table = collect_fans(split, replace(scores, methods=perfect), {"frozen": frozen}, STAMPS)
    assert all(label.startswith("s1") for label in table["label"])


def test_a_horizon_that_no_window_reaches_ranks_none(case):
    split, _, _ = case
    windows = replace(split.windows, limit=split.windows.origin + 5)
    short = Split(split.series, windows, split.forecasts)
    scores = score_methods(
        short,
        {"frozen": [frozen], "tsmemory": [nudged]},
        horizons=(4, H),
        seasonal_error=np.ones(2),
        stride=1,
        batch_size=100,
    )
    table = collect_fans(short, scores, {"frozen": frozen}, STAMPS)
    assert table["kind"].drop_duplicates().tolist() == ["best", "median", "worst"]
    truth = table[(table["kind"] == "best") & (table["method"] == "truth")].set_index("step")
    assert truth["value"].loc[:4].notna().all()
    assert truth["value"].loc[5:].isna().all()
