"""The leaderboard in the terminal."""

import io

import pandas as pd
import pytest
from rich.console import Console

from tsmemory.evaluation.summary import beaten_by_naive, choose_horizons
from tsmemory.runs.summary import leaderboard_tables, show_leaderboard, show_verdict


@pytest.fixture
def leaderboard() -> pd.DataFrame:
    lines = []
    for m, method in enumerate(("last_value", "frozen", "tsmemory")):
        for horizon in (96, 192, 336, 720):
            for metric in ("mse", "mae", "crps", "mase"):
                value = horizon / 1000 + (2 - m) / 100
                if (method, metric) == ("last_value", "crps"):
                    value = float("nan")
                lines.append((method, horizon, metric, value, None, None, 1))
    columns = ["method", "horizon", "metric", "value", "low", "high", "seeds"]
    return pd.DataFrame(lines, columns=columns)


def _shown(leaderboard: pd.DataFrame, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    show_leaderboard(leaderboard, "data/08_reporting/etth1", console)
    return console.file.getvalue()


def test_every_value_is_there_whole(leaderboard):
    for width in (60, 80, 200):
        text = _shown(leaderboard, width)
        assert "…" not in text
        assert max(len(line) for line in text.splitlines()) <= width
        for line in leaderboard.dropna(subset="value").itertuples():
            if line.metric != "mase":
                assert f"{line.value:.3f}" in text
        assert "Reports: data/08_reporting/etth1" in text


def test_rows_are_methods_and_missing_values_are_dashes(leaderboard):
    lines = _shown(leaderboard, 200).splitlines()
    last_value = next(line for line in lines if "last_value" in line)
    assert last_value.split() == [
        *("last_value", "0.116", "0.116", "-", "0.212", "0.212", "-"),
        *("0.356", "0.356", "-", "0.740", "0.740", "-"),
    ]
    assert "mase" not in "\n".join(lines)


def test_wide_tables_are_broken_by_horizon(leaderboard):
    assert len(leaderboard_tables(leaderboard, 200)) == 1
    assert len(leaderboard_tables(leaderboard, 80)) == 2
    assert len(leaderboard_tables(leaderboard, 30)) == 4


def test_frozen_and_tsmemory_stand_out(leaderboard):
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="standard")
    show_leaderboard(leaderboard, "reports", console)
    lines = console.file.getvalue().splitlines()
    styled = {name: next(x for x in lines if name in x) for name in ("last_value", "frozen")}
    assert "\x1b[" not in styled["last_value"]
    assert "\x1b[36m" in styled["frozen"]
    best = next(x for x in lines if "tsmemory" in x)
    assert "\x1b[1;4;32m0.096" in best


@pytest.mark.parametrize(
    ("horizons", "expected"),
    [
        ([24, 24, 96], [24, 96]),
        ([96, 192, 336, 720], [96, 192, 336, 720]),
        (range(1, 11), [1, 4, 7, 10]),
    ],
)
def test_choice_of_horizons(horizons, expected):
    assert choose_horizons(list(horizons)) == expected


def test_a_warning_stands_below_the_table(leaderboard):
    console = Console(file=io.StringIO(), width=200)
    warning = "The backbone was trained on [m4_hourly]."
    show_leaderboard(leaderboard, "reports", console, warning=warning)
    lines = [line.strip() for line in console.file.getvalue().splitlines()]
    assert lines.index(warning) == lines.index("Reports: reports") - 1
    assert "trained on" not in _shown(leaderboard, 200)


def test_the_report_is_named(leaderboard):
    console = Console(file=io.StringIO(), width=20)
    show_leaderboard(leaderboard, "data/x", console, report="data/x/report.html")
    assert console.file.getvalue().splitlines()[-1] == "Report: data/x/report.html"


def test_a_backbone_that_a_naive_forecast_beats_is_named(leaderboard):
    assert beaten_by_naive(leaderboard) == []
    assert "naive forecast beats" not in _shown(leaderboard, 80)
    worse = (leaderboard["method"] == "frozen") & (leaderboard["horizon"] == 192)
    leaderboard.loc[worse, "value"] = 9.0
    assert beaten_by_naive(leaderboard) == [192]
    assert "frozen backbone at 192 steps" in _shown(leaderboard, 80).replace("\n", " ")


def test_a_verdict_names_its_report():
    console = Console(file=io.StringIO(), width=30)
    verdict = ("The best of 60 trials [TPE] is better.", "Tuning helps on test.")
    show_verdict(verdict, console, report="data/08_reporting/x/tuning.html")
    text = console.file.getvalue()
    assert "[TPE] is better. Tuning helps on test." in text.replace("\n", " ")
    assert text.splitlines()[-1] == "Report: data/08_reporting/x/tuning.html"
