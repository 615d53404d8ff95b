"""Tables of the page of tuning."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from tsmemory.evaluation.report.formats import MISSING, number, percent, percent_interval
from tsmemory.evaluation.report.parts import Cell, Row, Table, Tone, records
from tsmemory.evaluation.report.score_tables import skill_cell
from tsmemory.evaluation.summary import choose_horizons

ALL_HORIZONS = "all"
STUDIES = {"tpe": "TPE", "random": "random search", "nsgaii": "NSGA-II"}
_NAMES = {"default": "default", "tuned": "tuned", "random_search": "random search"}


def overtuning_table(overtuning: pd.DataFrame, gates: Mapping[str, Any]) -> Table:
    """Gains over the default, on validation and on test.

    Args:
        overtuning: Table ``setting, trials, split, horizon, metric, value, gain, low, high``.
        gates: What is taken of the gates study.
    """
    metric = str(gates["metric"]).upper()
    lines = overtuning
    horizons = choose_horizons([int(h) for h in lines["horizon"] if h != ALL_HORIZONS])
    rows: list[Row] = []
    for name in lines["setting"].drop_duplicates():
        own = lines[lines["setting"] == name]
        about = gates["settings"][name]
        note = "the default itself" if name != "default" and not about["trial"] else ""
        if name == "tuned" and about["trial"]:
            note = "taken" if about["taken"] else "not taken"
        validation = own[own["split"] == "validation"].iloc[0]
        test = own[own["split"] == "test"]
        mean = test[test["horizon"] == ALL_HORIZONS].iloc[0]
        cells = [Cell(number(float(validation["value"]))), _gain(validation)]
        cells += [Cell(number(float(mean["value"]))), _gain(mean)]
        by_horizon = test[test["horizon"] != ALL_HORIZONS].rename(columns={"gain": "skill"})
        by_horizon = by_horizon.astype({"horizon": int})
        cells += [
            skill_cell(by_horizon, horizon) if name != "default" else Cell(MISSING, tone="faint")
            for horizon in horizons
        ]
        trials = Cell(number(int(about["trials"])) if about["trials"] else MISSING)
        rows.append((Cell(_NAMES.get(str(name), str(name)), note), trials, *cells))
    columns = (
        *("setting", "trials", f"validation {metric}", "gain", f"test {metric}", "gain"),
        *(f"test, {horizon} steps" for horizon in horizons),
    )
    caption = f"{metric} in the mean over horizons, and gains over the default"
    return Table("overtuning", caption, columns, tuple(rows), data=records(overtuning))


def settings_table(settings: Mapping[str, Any]) -> Table:
    """The compared settings side by side.

    Args:
        settings: Their overrides by name, the default first.
    """
    flats = {name: _flat("", line["overrides"]) for name, line in settings.items()}
    names = list(dict.fromkeys(path for flat in flats.values() for path in flat))
    rows: list[Row] = []
    for path in names:
        values = [flat.get(path) for flat in flats.values()]
        cells = [
            Cell(_shown(value), tone="best" if place and value != values[0] else "")
            for place, value in enumerate(values)
        ]
        rows.append((Cell(path), *cells))
    return Table(
        "settings",
        "Settings; what differs from the default is marked",
        ("parameter", *(_NAMES.get(name, name) for name in settings)),
        tuple(rows),
        data=dict(settings),
    )


def promotions_table(promotions: pd.DataFrame) -> Table:
    """Settings that were distilled in full.

    Args:
        promotions: Table ``study, trial, cheap, full, skill, blocks_won, blocks, taken``.
    """
    rows: list[Row] = [
        (
            Cell(f"trial {line['trial']}" if line["trial"] else "default", STUDIES[line["study"]]),
            Cell(number(line["cheap"])),
            Cell(number(line["full"])),
            Cell(percent(line["skill"], signed=True) if line["trial"] else MISSING),
            Cell(f"{line['blocks_won']} of {line['blocks']}" if line["trial"] else MISSING),
            Cell("taken" if line["taken"] else "", tone="best" if line["taken"] else ""),
        )
        for line in promotions.to_dict("records")
    ]
    columns = ("setting", "closed form", "distilled", "gain", "blocks won", "")
    caption = "Settings that were distilled in full, on blocks of validation"
    return Table("promotions", caption, columns, tuple(rows), data=records(promotions))


def importance_table(importance: pd.DataFrame) -> Table:
    """How much of being among the best trials each parameter explains.

    Args:
        importance: Table ``parameter, importance``.
    """
    rows: list[Row] = [
        (Cell(str(line["parameter"])), Cell(percent(line["importance"])))
        for line in importance.to_dict("records")
    ]
    columns = ("parameter", "importance")
    data = records(importance)
    caption = "Importance of parameters"
    return Table.bounded("importance", caption, columns, rows, data=data, folded=True)


def confirmed_table(confirmed: pd.DataFrame) -> Table:
    """Masks that were trained anew.

    Args:
        confirmed: What :func:`tsmemory.tuning.masks.confirm.confirm` returned.
    """
    rows: list[Row] = [
        (
            Cell(str(line["mask"] or f"{line['sites']} sites")),
            Cell(number(int(line["sites"]))),
            Cell(number(int(line["parameters"]))),
            Cell(number(line["supernet_loss"])),
            Cell(number(line["retrained_loss"])),
            Cell(number(line["loss"])),
            Cell(percent(line["gain"], signed=True)),
            Cell("taken" if line["chosen"] else "", tone="best" if line["chosen"] else ""),
        )
        for line in confirmed.to_dict("records")
    ]
    columns = (
        *("mask", "sites", "LoRA weights", "in the supernet", "trained anew", "unseen validation"),
        *("below no LoRA", ""),
    )
    caption = "Points of the front, trained anew; losses in train z units"
    return Table("confirmed", caption, columns, tuple(rows), data=records(confirmed))


def samplers_table(samplers: pd.DataFrame) -> Table:
    """NSGA-II beside random search.

    Args:
        samplers: What :func:`tsmemory.tuning.masks.front.compare_samplers` returned.
    """
    rows: list[Row] = [
        (
            Cell(STUDIES[str(line["sampler"])]),
            Cell(number(int(line["seed"]))),
            Cell(number(int(line["trials"]))),
            Cell(number(int(line["distinct"]))),
            Cell(percent(line["hypervolume"])),
            Cell(number(line["lowest_loss"])),
        )
        for line in samplers.to_dict("records")
    ]
    columns = ("search", "seed", "trials", "distinct masks", "hypervolume", "lowest loss")
    caption = "NSGA-II beside random search with as many trials, from the same first masks"
    return Table("samplers", caption, columns, tuple(rows), data=records(samplers), folded=True)


def _gain(line: pd.Series) -> Cell:
    """A gain; good or bad only where its interval says so."""
    if line["setting"] == "default":
        return Cell(MISSING, tone="faint")
    low, high = float(line["low"]), float(line["high"])
    tone: Tone = "good" if low > 0 else "bad" if high < 0 else ""
    return Cell(percent(float(line["gain"]), signed=True), percent_interval(low, high), tone)


def _flat(path: str, value: Any) -> dict[str, Any]:
    """Nested mappings as one, by dotted paths."""
    if not isinstance(value, Mapping):
        return {path: value}
    flat: dict[str, Any] = {}
    for name, part in value.items():
        flat |= _flat(f"{path}.{name}" if path else str(name), part)
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return MISSING if value is None else number(value)
