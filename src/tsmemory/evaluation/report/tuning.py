"""The page of tuning: what was searched, what is taken, and what is left of the gain on test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from tsmemory.evaluation.pareto_plot import draw_pareto
from tsmemory.evaluation.report.formats import MISSING, number, percent, percent_interval
from tsmemory.evaluation.report.parts import Cell, Chart, Report, Row, Section, Table, Tile
from tsmemory.evaluation.report.tuning_tables import (
    ALL_HORIZONS,
    STUDIES,
    confirmed_table,
    importance_table,
    overtuning_table,
    promotions_table,
    samplers_table,
    settings_table,
)
from tsmemory.evaluation.tuning_plots import (
    draw_history,
    draw_parameter_importance,
    draw_slices,
)

_FEWEST_SEEDS = 3


@dataclass(frozen=True)
class TuningTables:
    """What the page is made from.

    Attributes:
        gates: What is taken of the gates study, and the settings that were compared on test.
        trials: Its trials.
        promotions: The settings that were distilled in full.
        importance: The importance of its parameters.
        overtuning: Gains on validation and on test.
        mask: What is taken of the masks study.
        masks: Its trials.
        confirmed: The masks that were trained anew.
        samplers: NSGA-II beside random search.
    """

    gates: Mapping[str, Any]
    trials: pd.DataFrame
    promotions: pd.DataFrame
    importance: pd.DataFrame
    overtuning: pd.DataFrame
    mask: Mapping[str, Any]
    masks: pd.DataFrame
    confirmed: pd.DataFrame
    samplers: pd.DataFrame


def build_tuning_report(
    domain: str,
    tables: TuningTables,
    *,
    verdict: Sequence[str],
    level: float,
    seeds: Sequence[int],
    journal: str,
    made_at: datetime,
) -> Report:
    """Put together all that is to be said of tuning.

    Args:
        domain: Name of the dataset.
        tables: The results.
        verdict: What tuning is worth, in sentences.
        level: Probability of the intervals.
        seeds: Training seeds of the settings that are compared on test.
        journal: Where the studies are kept.
        made_at: Now.

    Returns:
        The report.
    """
    few = (
        f"The settings are compared on test with {len(seeds)} training seed(s): effects of "
        "training itself are not told from chance."
    )
    return Report(
        domain=f"{domain}, tuning",
        made_at=made_at.isoformat(timespec="minutes"),
        verdict=tuple(verdict),
        warnings=(few,) if len(seeds) < _FEWEST_SEEDS else (),
        tiles=_tiles(tables),
        sections=(
            _overtuning_section(tables, level),
            _settings_section(tables),
            _trials_section(tables),
            *_mask_sections(tables),
            _studies_section(tables, journal),
        ),
        figures="tuning.json",
    )


def _tiles(tables: TuningTables) -> tuple[Tile, ...]:
    """Gains of the tuned setting, and what is taken."""
    lines = {
        line["split"]: line
        for line in tables.overtuning.to_dict("records")
        if (line["setting"], line["horizon"]) == ("tuned", ALL_HORIZONS)
    }
    metric = str(tables.gates["metric"]).upper()
    gains = [
        Tile(
            f"{metric} gain on {split}",
            percent(lines[split]["gain"], signed=True),
            percent_interval(lines[split]["low"], lines[split]["high"]),
        )
        for split in ("validation", "test")
    ]
    taken = "tuned" if tables.gates["taken"] else "default"
    mask = f"{len(tables.mask['sites'])} sites" if tables.mask["taken"] else "no LoRA"
    return (
        *gains,
        Tile("setting in use", taken, f"{tables.gates['trials']} trials"),
        Tile("mask in use", mask if tables.mask["study"] else MISSING, _count(tables.mask)),
    )


def _count(mask: Mapping[str, Any]) -> str:
    return f"{mask['trials']} trials" if mask["study"] else "no study"


def _overtuning_section(tables: TuningTables, level: float) -> Section:
    return Section(
        "overtuning",
        "Validation against test",
        (
            "The default, the best setting of the search and the best of as many random trials, "
            "trained alike and scored once on the test split, after everything was chosen. Whoever "
            "tries many settings finds one that suits validation's noise: what is lost from left "
            "to right is over-tuning.",
            f"Gains are over the default, with {100 * level:g} % intervals: over blocks of "
            "validation, and by a moving-block bootstrap over forecast origins on test.",
        ),
        (overtuning_table(tables.overtuning, tables.gates),),
    )


def _settings_section(tables: TuningTables) -> Section:
    use = (
        "kedro run --params distillation.use_tuned=true runs with the tuned setting."
        if tables.gates["taken"]
        else "The default stays, so that distillation.use_tuned=true changes nothing."
    )
    return Section(
        "settings",
        "Settings",
        (
            f"In the gates study, {tables.gates['says']}. {use}",
            _fidelity(tables.gates["problem"]),
        ),
        (settings_table(tables.gates["settings"]), promotions_table(tables.promotions)),
    )


def _fidelity(problem: Mapping[str, Any]) -> str:
    """How trials were judged."""
    purged = "fully" if problem["purged_wholly"] else "as far as validation is long enough"
    return (
        f"A trial is judged on {problem['validation_windows']:,} windows in {problem['blocks']} "
        f"blocks of validation, each by a fusion chosen on the others, purged {purged} "
        f"({problem['purged_steps']:,} steps); a closed form stands for the distillation. The best "
        "few are distilled in full. One of them is taken only if it beats the default on most "
        "blocks and in a one-sided test."
    )


def _trials_section(tables: TuningTables) -> Section:
    counts = tables.trials.groupby(["study", "state"]).size()
    said = [
        f"{STUDIES[study]}: {counts.get((study, 'complete'), 0)} complete and "
        f"{counts.get((study, 'pruned'), 0)} given up early"
        for study in tables.trials["study"].drop_duplicates()
    ]
    charts = [
        Chart(
            "history",
            "Validation loss of complete trials in order, and the lowest so far; lower is better.",
            draw_history(tables.trials),
        )
    ]
    if len(tables.importance):
        charts += [
            Chart(
                "parameters",
                "Share of the variance of the loss's rank that each parameter explains by itself, "
                "over TPE's complete trials.",
                draw_parameter_importance(tables.importance),
            ),
            Chart(
                "slices",
                "Validation loss over the values of the parameters that matter most.",
                draw_slices(tables.trials, tables.importance),
            ),
        ]
    return Section(
        "trials",
        "Trials",
        (f"{'; '.join(said)}.",),
        (importance_table(tables.importance),) if len(tables.importance) else (),
        tuple(charts),
    )


def _mask_sections(tables: TuningTables) -> list[Section]:
    if not tables.mask["study"]:
        return []
    return [
        Section(
            "masks",
            "LoRA masks",
            (
                f"Taken: {tables.mask['says']}. A trial is a mask on a supernet that was trained "
                "once with random masks, so that it needs forward passes only; points of the "
                "front are trained anew and judged on a later part of validation that no trial "
                "has seen.",
                "kedro run --pipelines trace --params trace.use_tuned=true trains the mask beside "
                "TRACE's other rows, on test too.",
            ),
            (confirmed_table(tables.confirmed), samplers_table(tables.samplers)),
            (
                Chart(
                    "pareto",
                    "Loss on validation against LoRA weights of every mask that was tried, and "
                    "the front.",
                    draw_pareto(tables.masks, tables.confirmed),
                ),
            ),
        )
    ]


def _studies_section(tables: TuningTables, journal: str) -> Section:
    found = [
        ("gates", tables.gates["study_name"], tables.gates["study"], tables.gates["trials"]),
        ("masks", tables.mask["study_name"], tables.mask["study"], tables.mask["trials"]),
    ]
    rows: list[Row] = [
        (Cell(name), Cell(str(study)), Cell(str(fingerprint)), Cell(number(int(trials))))
        for name, study, fingerprint, trials in found
        if fingerprint
    ]
    columns = ("study", "name in the journal", "fingerprint", "trials")
    data = [dict(zip(columns, line, strict=True)) for line in found]
    return Section(
        "studies",
        "Studies",
        (
            f"All trials are in {journal}; look at them with: optuna-dashboard {journal}",
            "A run with more trials (tuning.gates.trials, tuning.masks.trials) goes on from "
            "there; other data, parameters or code begin a study of their own.",
        ),
        (Table("studies", "Studies of this page", columns, tuple(rows), data=data, prose=True),),
    )
