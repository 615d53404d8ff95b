import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from tsmemory.evaluation.report.page import render_data, render_page
from tsmemory.evaluation.report.trace import TraceTables, build_trace_report

ROWS = ("frozen", "linear_probing", "random_k", "trace")
HORIZONS = (24, 96)
MADE = datetime(2024, 5, 6, 7, 8, tzinfo=UTC)


def tables(seeds=3, rows=ROWS):
    interval = (0.01, 0.03) if seeds > 1 else (np.nan, np.nan)
    lines, summary, skill = [], [], []
    for place, row in enumerate(rows):
        error = 0.5 - 0.01 * place
        for horizon in HORIZONS:
            values = {"mse": error, "mae": error, "crps": error, "coverage_80": 0.8}
            lines.append(
                {"row": row, "horizon": horizon, **values, "mse_low": 0.4, "mse_high": 0.6}
            )
        line = {"row": row, "note": f"<b>{row}</b>", "seeds": seeds, "kept": 1, "sites": 6.0}
        for metric in ("mse", "mae", "crps"):
            line |= {metric: error, f"{metric}_low": 0.4, f"{metric}_high": 0.6}
        for reference in ("linear_probing", "random_k"):
            there = reference in rows and row == "trace"
            line[f"gain_over_{reference}"] = 0.02 if there else np.nan
            ends = interval if there else (np.nan, np.nan)
            line |= dict(zip((f"{reference}_low", f"{reference}_high"), ends, strict=True))
        line |= {"fewer_parameters": 0.95 if "linear_probing" in rows else np.nan}
        line |= {"parameters": 5000 + place, "head_parameters": 4000, "megabytes": 0.02}
        line |= {"seconds": 75.0, "peak_megabytes": 812.0}
        summary.append(line | {"latency_ms_1": 3.25, "latency_ratio_1": 0.91})
        for reference in (name for name in ("frozen", "random_k") if name in rows):
            for horizon in HORIZONS if row not in (reference, "frozen") else ():
                for metric in ("mse", "mae", "crps"):
                    found = {"skill": 0.02, "low": 0.01, "high": 0.03}
                    skill.append(
                        {"row": row, "horizon": horizon, "reference": reference, "metric": metric}
                        | found
                    )
    sites = [
        {"row": "trace", "seed": 0, "round": 1, "step": 9, "site": f"s<{n}>", "layer": n}
        | {"kind": "q", "score": n + 1.0, "standard_error": 0.1, "open": n > 1}
        for n in range(4)
    ]
    return TraceTables(*(pd.DataFrame(part) for part in (lines, summary, skill, sites)))


def report(seeds=3, rows=ROWS):
    settings = {"seeds": list(range(seeds))}
    return build_trace_report(
        "mine", tables(seeds, rows), level=0.9, settings=settings, made_at=MADE
    )


def test_it_says_what_is_gained_for_how_many_parameters():
    found = report()
    probing, chance, parameters = found.verdict
    assert "lower than that of linear probing" in probing
    assert "gain +1.0 to +3.0" in chance
    assert "90 % interval over seeds" in chance
    assert "5,003 parameters" in parameters
    assert "95.0" in parameters
    assert not found.warnings


def test_it_says_where_training_was_undone():
    made_of = tables(3, ROWS)
    made_of.summary[["kept", "gain_over_random_k"]] = 0
    found = build_trace_report(
        "mine", made_of, level=0.9, settings={"seeds": [0, 1, 2]}, made_at=MADE
    )
    assert "The MSE of TRACE is that of random K." in found.verdict
    assert found.verdict[-1].startswith("In no seed did training help")


def test_few_seeds_are_told():
    found = report(seeds=1)
    assert "Fewer than three seeds" in found.warnings[0]
    assert "interval" not in found.verdict[0]


def test_rows_that_were_not_asked_for_are_not_spoken_of():
    found = report(rows=("frozen", "trace"))
    assert found.verdict == ()
    assert {table.name for table in found.sections[1].tables} >= {"skill_vs_frozen"}


@pytest.mark.parametrize("section", ["rows", "horizons", "importance", "cost"])
def test_every_section_has_tables_of_one_width(section):
    (found,) = [part for part in report().sections if part.name == section]
    assert found.tables
    for table in found.tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_the_page_needs_no_network_and_escapes_names():
    page = render_page(report())
    assert "<b>trace</b>" not in page
    assert "s<0>" not in page
    data = render_data(report())
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    found = data["sections"]["cost"]["tables"]["cost"]["data"]
    assert [line["row"] for line in found] == list(ROWS)


def test_a_gain_counts_as_good_only_where_its_interval_says_so():
    (section, *_) = report().sections
    by_row = {row[0].text: row for row in section.tables[0].rows}
    assert by_row["trace"][5].tone == "good"
    assert by_row["random_k"][5].tone == "faint"
