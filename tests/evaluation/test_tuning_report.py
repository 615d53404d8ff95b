import json
from datetime import UTC, datetime

import pandas as pd
import pytest
from test_tuning_plots import IMPORTANCE, trials

from tsmemory.evaluation.report.page import render_data, render_page
from tsmemory.evaluation.report.tuning import TuningTables, build_tuning_report

MADE = datetime(2024, 5, 6, 7, 8, tzinfo=UTC)
GAINS = {"default": 0.0, "tuned": 0.02, "random_search": -0.01}
MASK = {
    "study": "ffff",
    "study_name": "masks-nsgaii-ffff",
    "says": "LoRA on 2 sites",
    "taken": True,
    "sites": ["a<q>", "b"],
    "trials": 20,
}


def overtuning():
    lines = []
    for setting, gain in GAINS.items():
        for split, horizon in (
            ("validation", "all"),
            *(("test", "24"), ("test", "96"), ("test", "all")),
        ):
            own = 0.0 if setting == "default" else 0.005
            line = {"setting": setting, "trials": 20, "split": split, "horizon": horizon}
            ends = {"low": gain - own, "high": gain + own}
            lines.append({**line, "metric": "crps", "value": 0.4, "gain": gain, **ends})
    return pd.DataFrame(lines)


def gates(taken=True):
    overrides = {"teacher": {"k": 20}, "distillation": {"fusion": {"gate": {"min_spread": None}}}}
    other = {"teacher": {"k": 50}, "distillation": {"fusion": {"gate": {"min_spread": 0.1}}}}
    settings = {
        name: {
            "trial": place,
            "trials": 20 if place else 0,
            "loss": 0.4,
            "blocks": [0.4, 0.4],
            "taken": taken == bool(place),
            "overrides": other if place else overrides,
        }
        for place, name in enumerate(GAINS)
    }
    problem = {"validation_windows": 1200, "blocks": 4, "purged_steps": 608}
    return {
        "study": "abcd",
        "study_name": "gates-tpe-abcd",
        "says": "trial 1 of 20 is taken: better",
        "taken": taken,
        "metric": "crps",
        "trials": 20,
        "settings": settings,
        "problem": {**problem, "purged_wholly": False},
    }


def tables(taken=True, mask=MASK):
    promotions = {"study": "tpe", "cheap": 0.41, "full": 0.4, "skill": 0.02}
    confirmed = {"supernet_loss": 0.5, "retrained_loss": 0.5, "loss": 0.5, "gain": 0.001}
    masks = [
        {"number": n, "mask": "", "sites": n, "parameters": 10 * n, "loss": 0.5 - 0.01 * n}
        | {"front": True, "bits": "01"}
        for n in range(3)
    ]
    samplers = {"sampler": "nsgaii", "seed": 0, "trials": 20, "distinct": 9}
    return TuningTables(
        gates=gates(taken),
        trials=trials(),
        promotions=pd.DataFrame(
            [
                {**promotions, "trial": trial, "blocks_won": 3, "blocks": 4, "taken": trial == 1}
                for trial in (0, 1)
            ]
        ),
        importance=IMPORTANCE,
        overtuning=overtuning(),
        mask=mask,
        masks=pd.DataFrame(masks),
        confirmed=pd.DataFrame(
            [
                {"mask": mask, "sites": n, "parameters": 10 * n, **confirmed, "p_value": 0.5}
                | {"kept": 1, "chosen": n == 2, "bits": "01"}
                for n, mask in ((0, "all_off"), (2, ""))
            ]
        ),
        samplers=pd.DataFrame([{**samplers, "hypervolume": 0.7, "lowest_loss": 0.4}]),
    )


def report(**changes):
    return build_tuning_report(
        "mine",
        tables(**changes),
        verdict=("Tuning helps on test.",),
        level=0.9,
        seeds=(0,),
        journal="data/studies.journal",
        made_at=MADE,
    )


def section(found, name):
    return next(part for part in found.sections if part.name == name)


def test_validation_stands_beside_test():
    (table,) = section(report(), "overtuning").tables
    assert table.columns[:6] == (
        "setting",
        "trials",
        "validation CRPS",
        "gain",
        "test CRPS",
        "gain",
    )
    by_name = {row[0].text: row for row in table.rows}
    assert by_name["tuned"][3].tone == by_name["tuned"][5].tone == "good"
    assert by_name["random search"][5].tone == "bad"
    assert by_name["default"][3].text == by_name["default"][6].text
    assert by_name["tuned"][0].note == "taken"
    assert by_name["random search"][0].note == ""
    assert {len(row) for row in table.rows} == {len(table.columns)} == {8}


def test_what_differs_from_the_default_is_marked():
    table = section(report(), "settings").tables[0]
    by_name = {row[0].text: row for row in table.rows}
    assert by_name["teacher.k"][2].tone == "best"
    assert by_name["distillation.fusion.gate.min_spread"][2].text == "0.100"
    assert not by_name["teacher.k"][1].tone


@pytest.mark.parametrize(
    ("taken", "tile", "text"),
    [(True, "tuned", "distillation.use_tuned=true runs"), (False, "default", "changes nothing")],
)
def test_it_says_what_is_in_use(taken, tile, text):
    found = report(taken=taken)
    assert found.tiles[2].value == tile
    assert text in section(found, "settings").text[0]


def test_few_seeds_are_told():
    assert "1 training seed(s)" in report().warnings[0]


def test_without_a_masks_study_there_is_no_section():
    none = {**MASK, "study": None, "sites": [], "taken": False, "trials": 0}
    found = report(mask=none)
    assert "masks" not in [part.name for part in found.sections]
    assert found.tiles[3].note == "no study"
    assert len(section(found, "studies").tables[0].rows) == 1


def test_it_says_how_to_look_at_the_studies():
    assert "optuna-dashboard data/studies.journal" in section(report(), "studies").text[0]


def test_every_table_is_of_one_width():
    for part in report().sections:
        for table in part.tables:
            assert {len(row) for row in table.rows} == {len(table.columns)}, table.name


def test_the_page_needs_no_network_and_escapes_names():
    found = report()
    page = render_page(found)
    assert "key<b>" not in page
    assert {chart.name for part in found.sections for chart in part.charts} == {
        *("history", "parameters", "slices", "pareto"),
    }
    data = render_data(found)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
