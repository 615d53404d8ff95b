"""Results in the terminal."""

import io
from types import SimpleNamespace

import pandas as pd
import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro_datasets.pandas import CSVDataset
from rich.console import Console

from tsmemory.evaluation.summary import beaten_by_naive, choose_horizons
from tsmemory.io import AtomicJSONDataset, AtomicTextDataset
from tsmemory.runs.results import show_results
from tsmemory.runs.summary import MOST_ROWS, leaderboard_tables, plain_tables, row_tables


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


def _text(tables, width: int = 200, **options) -> str:
    console = Console(file=io.StringIO(), width=width, **options)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


@pytest.fixture
def shown(tmp_path):
    """What is shown at the end of a run whose outputs are given by dataset."""

    def show(width=200, **outputs) -> str:
        entries = {}
        for name, value in outputs.items():
            kind = {dict: AtomicJSONDataset, str: AtomicTextDataset}.get(type(value), CSVDataset)
            table = {"save_args": {"index": False}} if kind is CSVDataset else {}
            entries[name] = kind(filepath=str(tmp_path / f"reports/{name}"), **table)
            entries[name].save(value)
        made = Pipeline([Node(lambda: None, None, name, name=f"make_{name}") for name in outputs])
        record = SimpleNamespace(
            pipeline=made,
            catalog=DataCatalog(entries),
            shown=lambda path: path.relative_to(tmp_path).as_posix(),
        )
        console = Console(file=io.StringIO(), width=width)
        show_results(record, console)
        return console.file.getvalue()

    return show


def test_every_value_is_there_whole(leaderboard):
    for width in (60, 80, 200):
        text = _text(leaderboard_tables(leaderboard, width), width)
        assert "…" not in text
        assert max(len(line) for line in text.splitlines()) <= width
        for line in leaderboard.dropna(subset="value").itertuples():
            if line.metric != "mase":
                assert f"{line.value:.3f}" in text


def test_rows_are_methods_and_missing_values_are_dashes(leaderboard):
    lines = _text(leaderboard_tables(leaderboard, 200)).splitlines()
    last_value = next(line for line in lines if "last_value" in line)
    assert last_value.split() == [
        *("last_value", "0.116", "0.116", "-", "-", "0.212", "0.212", "-", "-"),
        *("0.356", "0.356", "-", "-", "0.740", "0.740", "-", "-"),
    ]
    assert "mase" not in "\n".join(lines)


def test_skill_is_that_of_the_crps_against_the_frozen_backbone(leaderboard):
    lines = _text(leaderboard_tables(leaderboard, 200)).splitlines()
    frozen, memory = (next(x for x in lines if f" {n} " in x) for n in ("frozen", "tsmemory"))
    assert [float(value) for value in frozen.split()[4::4]] == [0, 0, 0, 0]
    expected = [100 * (1 - h / (h + 10)) for h in (96, 192, 336, 720)]
    assert memory.split()[4::4] == [f"{value:+.1f}" for value in expected]
    without = leaderboard[leaderboard["method"] != "frozen"]
    assert "skill" not in _text(leaderboard_tables(without, 200))


def test_wide_tables_are_broken_by_horizon(leaderboard):
    assert len(leaderboard_tables(leaderboard, 200)) == 1
    assert len(leaderboard_tables(leaderboard, 80)) == 2
    assert len(leaderboard_tables(leaderboard, 30)) == 4


def test_frozen_and_tsmemory_stand_out(leaderboard):
    tables = leaderboard_tables(leaderboard, 200)
    lines = _text(tables, force_terminal=True, color_system="standard").splitlines()
    styled = {name: next(x for x in lines if name in x) for name in ("last_value", "frozen")}
    assert "\x1b[" not in styled["last_value"]
    assert "\x1b[36m" in styled["frozen"]
    best = next(x for x in lines if "tsmemory" in x)
    assert "\x1b[1;4;32m0.096" in best
    assert "\x1b[1;4;32m+9.4" in best  # the highest skill, not the lowest


def test_rows_of_other_tables_are_laid_out_alike():
    table = pd.DataFrame(
        [("frozen", 24, 0.4, 0.5, 0.4, 1), ("trace", 24, 0.3, 0.4, 0.3, 1)],
        columns=["row", "horizon", "mse", "mae", "crps", "parameters"],
    )
    lines = _text(row_tables(table, 100)).splitlines()
    line = next(x for x in lines if "trace" in x)
    assert line.split() == ["trace", "0.300", "0.400", "0.300", "+25.0"]


def test_long_tables_are_cut_and_say_so():
    table = pd.DataFrame({"name": [f"n{i}" for i in range(MOST_ROWS + 5)], "x": 1.5, "y": 0})
    text = _text(plain_tables(table, {"name": "", "x": ".2f", "z": "d"}))
    assert f"n{MOST_ROWS - 1} " in text
    assert f"n{MOST_ROWS} " not in text
    assert "and 5 more" in text
    assert "1.50" in text
    assert " y " not in text
    assert "more" not in _text(plain_tables(table.head(MOST_ROWS), {"name": "", "x": ".2f"}))


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


def test_verdict_and_warnings_stand_below_the_table_and_the_report_last(leaderboard, shown):
    text = shown(
        leaderboard=leaderboard,
        report="<html>",
        report_data={"verdict": ["Skill is [high].", "The memory is used at all steps."]},
        backbone_card={"contamination": "The backbone was trained on [m4_hourly]."},
    )
    assert [line.strip() for line in text.splitlines()[-4:]] == [
        "Skill is [high].",
        "The memory is used at all steps.",
        "The backbone was trained on [m4_hourly].",
        "Report: reports/report",
    ]


def test_a_path_is_never_broken(leaderboard, shown):
    text = shown(20, leaderboard=leaderboard, report="<html>")
    assert text.splitlines()[-1] == "Report: reports/report"
    assert shown(leaderboard=leaderboard).splitlines()[-1] == "Table: reports/leaderboard"


def test_every_pipeline_with_a_table_ends_with_it(shown):
    anomalies = pd.DataFrame(
        [("forecast", "mean", 100, 0.278, 0.4, 0.3, 3), ("forecast", "cpu", 100, 0.1, 0.1, 0.1, 1)],
        columns=["method", "series", "steps", "auc_pr", "best_f1", "vus_pr", "wins"],
    )
    text = shown(anomalies=anomalies, anomaly_scores=pd.DataFrame({"x": [1]}))
    assert "0.278" in text
    assert "0.100" not in text  # of one series
    assert text.splitlines()[-1] == "Scores of every step: reports/anomaly_scores"

    errors = pd.DataFrame([("bundled", 9, 14.05, 1.067, 0.605)])
    text = shown(short_term=errors.set_axis(["row", "series", "smape", "mase", "owa"], axis=1))
    assert "14.05" in text
    assert text.splitlines()[-1] == "Table: reports/short_term"

    survey = pd.DataFrame([("north/a", 3, 18, 1, 0, 2)])
    survey.columns = ["table", "series", "forecasts", "new", "incomplete", "skipped"]
    text = shown(forecast_survey=survey, forecasts="made")
    assert "north/a" in text
    assert text.splitlines()[-1] == "Forecasts: reports/forecasts"


def test_an_empty_table_is_not_shown_but_what_was_made_is(shown):
    empty = pd.DataFrame(columns=["method", "series", "auc_pr"])
    text = shown(anomalies=empty, anomaly_scores=pd.DataFrame({"x": [1]}))
    assert text.splitlines() == ["Scores of every step: reports/anomaly_scores"]


def test_a_run_without_results_ends_silently(shown):
    assert shown(panel=pd.DataFrame({"x": [1]})) == ""


def test_a_backbone_that_a_naive_forecast_beats_is_named(leaderboard, shown):
    assert beaten_by_naive(leaderboard) == []
    assert "naive forecast beats" not in shown(leaderboard=leaderboard)
    worse = (leaderboard["method"] == "frozen") & (leaderboard["horizon"] == 192)
    leaderboard.loc[worse, "value"] = 9.0
    assert beaten_by_naive(leaderboard) == [192]
    assert "frozen backbone at 192 steps" in shown(80, leaderboard=leaderboard).replace("\n", " ")


def test_tuning_ends_with_means_and_its_verdict(shown):
    columns = ["setting", "trials", "split", "horizon", "metric", "value", "gain"]
    rows = [
        ("tuned", 60, "validation", "all", "crps", 0.3, 0.02),
        ("tuned", 60, "test", "24", "crps", 0.41234, 0.5),
        ("tuned", 60, "test", "all", "crps", 0.4, -0.001),
    ]
    text = shown(
        overtuning=pd.DataFrame(rows, columns=columns),
        tuning_report="<html>",
        tuning_data={"verdict": ["Tuning does not help on [test]."]},
    )
    assert "-0.10%" in text
    assert "0.41" not in text
    assert [line.strip() for line in text.splitlines()[-2:]] == [
        "Tuning does not help on [test].",
        "Report: reports/tuning_report",
    ]


def test_ways_to_exchange_gradients_are_laid_out_by_link(shown):
    found = pd.DataFrame(
        {
            "link": ["none", "loopback", "loopback", "10mbit", "10mbit"],
            "way": ["one process", "plain DDP", "fp16", "plain DDP", "fp16"],
            "steps_per_second": [9.0, 4.0, 5.0, 1.0, 2.0],
        }
    )
    text = shown(communication=found)
    lines = [line.split() for line in text.splitlines() if line.strip()]
    assert lines[0] == ["way", "loopback", "10mbit"]
    assert lines[2:4] == [["plain", "DDP", "4.00", "1.00"], ["fp16", "5.00", "2.00"]]
    assert text.splitlines()[-1].endswith("bytes and losses: reports/communication")
