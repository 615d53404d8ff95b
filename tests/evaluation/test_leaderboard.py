import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from builders import LEVELS, series_of
from tsmemory.evaluation import leaderboard
from tsmemory.evaluation.leaderboard import (
    LEADERBOARD_METRICS,
    SKILL_METRICS,
    build_calibration,
    build_leaderboard,
    build_skill,
)
from tsmemory.evaluation.scores import MethodScores
from tsmemory.metrics import diebold_mariano, score_windows

SERIES = series_of([np.zeros(1)] * 2, channels=["a", "b"])
BIAS = {"ridge": 0.3, "frozen": 0.0, "tsmemory": -0.1}


def scores_of(row, origin_time, horizons, *, stride=1, complete=None, seed=0):
    """Scores of noisy forecasts, each method off by another bias."""
    rng = np.random.default_rng(seed)
    count, longest = len(row), max(horizons)
    target = rng.normal(size=(count, longest))
    noise = np.sort(rng.normal(size=(count, len(LEVELS), longest)), axis=1)
    if complete is None:
        complete = np.ones((count, len(horizons)), bool)
    methods = {
        method: score_windows(
            (noise + bias).astype(np.float32),
            target.astype(np.float32),
            levels=LEVELS,
            horizons=horizons,
            complete=complete,
            std=np.full(count, 2.0),
            mean=np.full(count, 5.0),
            seasonal_error=np.full(count, 1.5),
        )
        for method, bias in BIAS.items()
    }
    return MethodScores(
        methods=methods,
        seeds={"ridge": 1, "frozen": 1, "tsmemory": 3},
        below={method: rng.uniform(size=(len(horizons), len(LEVELS))) for method in methods},
        levels=LEVELS,
        row=np.asarray(row),
        origin_time=np.asarray(origin_time),
        stride=stride,
    )


def two_rows(origins, horizons, *, stride=1, phase=0, **more):
    """Windows of two rows at the same origins, or the second some steps later."""
    steps = np.arange(origins) * stride
    row = np.repeat([0, 1], origins)
    return scores_of(row, np.concatenate([steps, steps + phase]), horizons, stride=stride, **more)


def board(scores, seed=0):
    return build_leaderboard(scores, samples=200, level=0.9, rng=np.random.default_rng(seed))


def skill(scores, seed=0):
    return build_skill(scores, SERIES, samples=200, level=0.9, rng=np.random.default_rng(seed))


@pytest.fixture
def drawn(monkeypatch):
    """What resamples are drawn of: numbers of origins and lengths of blocks."""
    calls = []
    draw = leaderboard.moving_block_weights

    def record(n, block, samples, rng):
        calls.append((n, block))
        return draw(n, block, samples, rng)

    monkeypatch.setattr(leaderboard, "moving_block_weights", record)
    return calls


def test_leaderboard_holds_the_scores_metrics():
    scores = two_rows(60, (3, 5))
    table = board(scores)
    assert list(table) == ["method", "horizon", "metric", "value", "low", "high", "seeds"]
    assert len(table) == len(BIAS) * 2 * len(LEADERBOARD_METRICS)
    for line in table.itertuples():
        metrics = scores.methods[line.method].metrics(scores.horizons.index(line.horizon))
        assert line.value == metrics[line.metric]
        assert line.seeds == scores.seeds[line.method]
    assert not table.duplicated(["method", "horizon", "metric"]).any()


def test_intervals_lie_around_their_values():
    table = board(two_rows(60, (3, 5)))
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    wide = table[~table["metric"].isin(["crossing_rate"])]
    assert (wide["low"] < wide["high"]).all()
    gains = skill(two_rows(60, (3, 5)))
    assert (gains["low"] < gains["skill"]).all()
    assert (gains["skill"] < gains["high"]).all()


def test_intervals_are_widened_by_the_blocks_they_are_made_of(monkeypatch):
    scores = two_rows(50, (5,))  # five blocks of ten
    table = board(scores)
    ratio = leaderboard.ratio_interval
    monkeypatch.setattr(
        leaderboard, "ratio_interval", lambda *args, blocks: ratio(*args, blocks=None)
    )
    plain = board(scores)
    for end in ("low", "high"):
        factor = math.sqrt(5 / 4) * 2.132 / 1.645  # Student's t, four degrees of freedom, 90 %
        widened = table["value"] + factor * (plain[end] - table["value"])
        np.testing.assert_allclose(table[end], widened, rtol=2e-3)
    assert (table["low"] < plain["low"]).any()


@pytest.mark.parametrize(
    ("origins", "block"), [(4 * 6 + 5, None), (5 * 6, 6), (59, 6), (60, 12), (400, 12)]
)
def test_blocks_span_two_horizons_or_one_or_there_is_no_interval(drawn, origins, block):
    scores = two_rows(origins, (6,))
    table, gains = board(scores), skill(scores)
    expected = [] if block is None else [(origins, block)] * 2
    assert drawn == expected
    for ends in (table[["low", "high"]], gains[["low", "high"]]):
        assert ends.isna().all(axis=None) == (block is None)
        assert ends.notna().all(axis=None) == (block is not None)
    assert table["value"].notna().all()
    assert gains["skill"].notna().all()


@pytest.mark.parametrize(
    ("stride", "phase", "origins", "ahead"),
    [(4, 0, 60, 3), (4, 2, 120, 5), (4, 1, 120, 6), (1, 0, 60, 10), (16, 0, 60, 1)],
)
def test_blocks_span_the_horizon_in_steps_whatever_the_phase(drawn, stride, phase, origins, ahead):
    scores = two_rows(60, (10,), stride=stride, phase=phase)
    board(scores)
    ((found, block),) = drawn
    assert found == origins
    times = np.unique(scores.origin_time)
    spanned = times[block:] - times[:-block]  # a block of one horizon, or of two
    assert block in (ahead, 2 * ahead)
    assert spanned.min() >= 10


def test_windows_that_do_not_reach_a_horizon_do_not_count():
    complete = np.ones((160, 1), bool)
    complete[70:80] = complete[150:160] = False
    origins = np.tile(np.arange(80), 2)
    row = np.repeat([0, 1], 80)
    scores = scores_of(row, origins, (4,), complete=complete)
    kept = complete[:, 0]
    short = replace(
        scores,
        methods={
            name: type(part)(
                part.horizons,
                **{n: v[kept] for n, v in vars(part).items() if n != "horizons"},
            )
            for name, part in scores.methods.items()
        },
        row=row[kept],
        origin_time=origins[kept],
    )
    pd.testing.assert_frame_equal(board(scores), board(short))
    pd.testing.assert_frame_equal(skill(scores), skill(short))


def test_a_horizon_that_no_window_reaches_has_no_figures():
    complete = np.repeat([[True, False]], 120, axis=0)
    scores = scores_of(np.repeat([0, 1], 60), np.tile(np.arange(60), 2), (4, 8), complete=complete)
    table, gains = board(scores), skill(scores)
    assert table.loc[table["horizon"] == 4, ["value", "low", "high"]].notna().all(axis=None)
    assert table.loc[table["horizon"] == 8, ["value", "low", "high"]].isna().all(axis=None)
    figures = ["skill", "low", "high", "dm_statistic", "dm_p"]
    assert gains.loc[gains["horizon"] == 8, figures].isna().all(axis=None)


def test_skill_is_the_share_of_the_reference_error_that_is_gone():
    scores = two_rows(60, (3, 5))
    table = skill(scores)
    assert list(table)[:7] == ["method", "horizon", "channel", "metric", "skill", "low", "high"]
    assert list(table)[7:] == ["dm_statistic", "dm_p"]
    assert len(table) == 2 * 2 * 3 * len(SKILL_METRICS)
    assert "frozen" not in set(table["method"])
    members = {"all": [0, 1], "a": [0], "b": [1]}
    for line in table.itertuples():
        number, where = (
            scores.horizons.index(line.horizon),
            np.isin(scores.row, members[line.channel]),
        )
        own, reference = (
            scores.methods[method].metrics(number, where)[line.metric]
            for method in (line.method, "frozen")
        )
        assert line.skill == pytest.approx(1 - own / reference)


def test_diebold_mariano_compares_mean_losses_of_origins_over_all_channels():
    scores = two_rows(60, (3, 5))
    table = skill(scores)
    overall = table["channel"] == "all"
    columns = ["dm_statistic", "dm_p"]
    assert table.loc[overall, columns].notna().all(axis=None)
    assert table.loc[~overall, columns].isna().all(axis=None)
    line = table[(table["method"] == "ridge") & (table["metric"] == "mae") & overall].iloc[1]
    losses = [
        scores.methods[method].absolute_error[:, 1].reshape(2, 60).sum(axis=0) / 10
        for method in ("ridge", "frozen")
    ]
    expected = diebold_mariano(*losses, lag=4)
    assert (line["horizon"], line["dm_p"]) == (5, pytest.approx(expected.p_value))
    assert line["dm_statistic"] == pytest.approx(expected.statistic)
    assert line["dm_statistic"] > 0


def test_intervals_of_equal_forecasts_hold_zero_nearly_as_often_as_they_say():
    """Errors of overlapping targets, ten blocks of two horizons: 95 % intervals hold in ~90 %."""
    horizon, origins, held, trials = 8, 160, 0, 250
    rng = np.random.default_rng(7)
    start = scores_of(np.zeros(origins, int), np.arange(origins), (horizon,))
    kernel = np.ones(horizon)
    for _ in range(trials):
        errors = rng.normal(size=(2, origins + horizon - 1)) ** 2
        methods = {
            name: replace(
                start.methods[name], squared_error=np.convolve(steps, kernel, "valid")[:, None]
            )
            for name, steps in zip(("frozen", "tsmemory"), errors, strict=True)
        }
        table = build_skill(
            replace(start, methods=methods), SERIES, samples=200, level=0.95, rng=rng
        )
        line = table[(table["channel"] == "all") & (table["metric"] == "mse")].iloc[0]
        held += line["low"] <= 0 <= line["high"]
    assert 0.85 <= held / trials <= 0.99


def test_the_same_seed_gives_the_same_tables():
    scores = two_rows(40, (3,))
    pd.testing.assert_frame_equal(board(scores), board(scores))
    assert not board(scores)["low"].equals(board(scores, seed=1)["low"])


def test_calibration_lists_the_observed_shares():
    scores = two_rows(10, (3, 5))
    table = build_calibration(scores)
    assert list(table) == ["method", "horizon", "level", "observed"]
    assert len(table) == len(BIAS) * 2 * len(LEVELS)
    for line in table.itertuples():
        place = scores.horizons.index(line.horizon), LEVELS.index(line.level)
        assert line.observed == scores.below[line.method][place]
