import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from tsmemory.evaluation.report.benchmark import build_benchmark_report
from tsmemory.evaluation.report.formats import MISSING, percent
from tsmemory.evaluation.report.page import render_data, render_page
from tsmemory.evaluation.transfer import tabulate_transfer

MADE = datetime(2024, 5, 6, 7, 8, tzinfo=UTC)
SETTINGS = {"ablation": {"seeds": [0], "epochs": 5, "guard": True}}


def ablation():
    lines = [
        (row, horizon, 0.1, 0.2, 0.3, 0.8, int(row != "frozen"), 0, 10, seconds, f"<b>{row}</b>")
        for row, horizons, seconds in (
            ("frozen", (24, 96), np.nan),
            ("default", (24, 96), 12.0),
            ("paper", (96,), 300.0),
        )
        for horizon in horizons
    ]
    columns = ["row", "horizon", "mse", "mae", "crps", "coverage_80", "seeds", "kept"]
    return pd.DataFrame(lines, columns=[*columns, "parameters", "seconds", "note"])


def skill():
    lines = [
        (row, horizon, reference, metric, -0.5, -0.6, high)
        for row, horizon, reference, high in (
            ("default", 24, "frozen", -0.4),
            ("default", 96, "frozen", 0.1),
            ("paper", 96, "frozen", -0.4),
            ("paper", 96, "default", -0.4),
        )
        for metric in ("mse", "crps")
    ]
    columns = ["row", "horizon", "reference", "metric", "skill", "low", "high"]
    return pd.DataFrame(lines, columns=columns)


@pytest.fixture(scope="module")
def report():
    transfer = tabulate_transfer([], samples=100, level=0.9, rng=np.random.default_rng(0))
    return build_benchmark_report("mine", ablation(), skill(), transfer, SETTINGS, MADE)


def tables(report):
    return {table.name: table for section in report.sections for table in section.tables}


def test_skill_is_shown_where_a_row_has_a_horizon(report):
    against = tables(report)["skill_vs_default"]
    assert [row[0].text for row in against.rows] == ["frozen", "paper"]
    assert [cell.text for cell in against.rows[1][1:]] == [MISSING, percent(-0.5, signed=True)]
    assert against.rows[1][2].tone == "bad"
    frozen = {row[0].text: row[1:] for row in tables(report)["skill_vs_frozen"].rows}
    assert [cell.tone for cell in frozen["default"]] == ["bad", ""]


def test_errors_and_facts_are_those_of_the_table(report):
    assert [row[0].text for row in tables(report)["ablation_24"].rows] == ["frozen", "default"]
    assert [cell.text for cell in tables(report)["ablation_96"].rows[2][1:]] == [
        *("0.100", "0.200", "0.300", "0.800")
    ]
    times = {row[0].text: row[-1].text for row in tables(report)["rows"].rows}
    assert times == {"frozen": MISSING, "default": "12 s", "paper": "5 min"}


def test_few_seeds_are_warned_of():
    settings = {"ablation": {"seeds": [0, 1, 2], "epochs": 5, "guard": False}}
    transfer = tabulate_transfer([], samples=100, level=0.9, rng=np.random.default_rng(0))
    report = build_benchmark_report("mine", ablation(), skill(), transfer, settings, MADE)
    assert report.warnings == ()
    assert "without the guard" in report.verdict[0]


def test_the_page_is_whole_and_safe(report):
    page = render_page(report)
    assert report.warnings
    assert "&lt;b&gt;default&lt;/b&gt;" in page
    assert "<b>default</b>" not in page
    assert "benchmark.transfer.forecasters=" in page
    json.dumps(render_data(report), allow_nan=False)


def test_a_memory_that_costs_too_much_stands_out():
    line = {
        "source": "elsewhere",
        "row": "alone",
        "horizon": 24,
        **dict.fromkeys(("mse", "mae", "crps", "coverage_80"), 0.5),
        **{"skill": -0.2, "low": -0.3, "high": -0.1},
        **{"largest_loss": 0.25, "within_1_percent": False, "memory_weight": 1.0, "note": "raw"},
    }
    fine = line | {"row": "reguarded", "largest_loss": -0.1, "within_1_percent": True}
    report = build_benchmark_report(
        "mine", ablation(), skill(), pd.DataFrame([line, fine]), SETTINGS, MADE
    )
    bad, good = tables(report)["transfer"].rows
    assert (bad[5].text, bad[5].tone) == (percent(0.25), "bad")
    assert (good[5].text, good[5].tone) == (percent(0), "")
