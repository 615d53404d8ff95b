"""The page of TRACE: what adapting the backbone is worth, and which of its modules matter."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from tsmemory.evaluation.importance_plot import draw_importance, last_scores
from tsmemory.evaluation.leaderboard import REFERENCE, SKILL_METRICS
from tsmemory.evaluation.pace import in_words
from tsmemory.evaluation.report.formats import (
    MISSING,
    enumerate_in_words,
    interval,
    number,
    percent,
    percent_interval,
    size,
    times,
)
from tsmemory.evaluation.report.parts import (
    Cell,
    Chart,
    Report,
    Row,
    Section,
    Table,
    Tone,
    grid,
    records,
)
from tsmemory.evaluation.report.score_tables import skill_cell
from tsmemory.evaluation.summary import choose_horizons

OURS = "trace"
_FEWEST_SEEDS = 3
_WORDS = {
    "frozen": "frozen backbone",
    "linear_probing": "linear probing",
    "lora_all": "LoRA on all sites",
    "random_k": "random K",
}

_SAME = 5e-5  # gains below it read 0.0 %


@dataclass(frozen=True)
class TraceTables:
    """What the page is made from; see :mod:`tsmemory.evaluation.trace_tables`.

    Attributes:
        table: Errors by row and horizon.
        summary: Means, gains, sizes and time by row.
        skill: Skills in every metric against every reference.
        importance: Scores by seed, round and site.
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    skill: pd.DataFrame
    importance: pd.DataFrame


def build_trace_report(
    domain: str,
    tables: TraceTables,
    *,
    level: float,
    settings: Mapping[str, Any],
    made_at: datetime,
) -> Report:
    """Put together all that is to be said of TRACE.

    Args:
        domain: Name of the dataset.
        tables: The results.
        level: Probability of the intervals.
        settings: Parameters of the pipeline.
        made_at: Now.

    Returns:
        The report.
    """
    few = len(settings["seeds"]) < _FEWEST_SEEDS
    return Report(
        domain=f"{domain}, TRACE",
        made_at=made_at.isoformat(timespec="minutes"),
        verdict=_verdict(tables.summary, level),
        warnings=("Fewer than three seeds do not tell effect from chance.",) if few else (),
        sections=(*_error_sections(tables), _importance_section(tables), _cost_section(tables)),
    )


def _verdict(summary: pd.DataFrame, level: float) -> tuple[str, ...]:
    """What TRACE gains over linear probing and over random choice, a sentence each."""
    (line,) = summary[summary["row"] == OURS].to_dict("records")
    said = []
    for reference, words in (("linear_probing", "linear probing"), ("random_k", "random K")):
        gain = line[f"gain_over_{reference}"]
        if gain != gain:
            continue
        if abs(gain) < _SAME:
            said.append(f"The MSE of TRACE is that of {words}.")
            continue
        ends = percent_interval(line[f"{reference}_low"], line[f"{reference}_high"])
        known = f" (gain {ends}, {100 * level:g} % interval over seeds)" if ends else ""
        said.append(
            f"The MSE of TRACE is {percent(abs(gain))} {'lower' if gain > 0 else 'higher'} than "
            f"that of {words} in the mean over horizons{known}."
        )
    if line["fewer_parameters"] == line["fewer_parameters"]:
        said.append(
            f"It trains {line['parameters']:,} parameters, {percent(line['fewer_parameters'])} "
            "fewer than linear probing."
        )
    if line["kept"] == 0:
        said.append(
            "In no seed did training help on validation: what TRACE forecasts with is the head in "
            "closed form on the backbone as it is."
        )
    return tuple(said)


def _error_sections(tables: TraceTables) -> list[Section]:
    """Means over horizons, then skill and errors by horizon."""
    horizons = choose_horizons(tables.table["horizon"].tolist())
    references = tables.skill["reference"].drop_duplicates().tolist()
    known = enumerate_in_words([_WORDS[name] for name in references])
    return [
        Section(
            "rows",
            "Rows",
            (
                "Means over horizons and seeds, with Student's intervals over seeds. All rows "
                "start from a head solved in closed form and are trained alike; training that "
                "does not help on a part of validation of its own is undone.",
            ),
            (_rows_table(tables.summary),),
        ),
        Section(
            "horizons",
            "By horizon",
            (
                f"MSE skill against {known}: above 0 a row is better. Intervals are of a "
                "moving-block bootstrap over forecast origins, on means over seeds.",
            ),
            (
                *(_skill_table(tables.skill, reference, horizons) for reference in references),
                *(_errors_table(tables.table, metric, horizons) for metric in SKILL_METRICS),
            ),
        ),
    ]


def _rows_table(summary: pd.DataFrame) -> Table:
    rows: list[Row] = []
    for line in summary.to_dict("records"):
        errors = (
            Cell(number(line[m]), interval(line[f"{m}_low"], line[f"{m}_high"]))
            for m in SKILL_METRICS
        )
        gains = (
            _gain_cell(line, "linear_probing"),
            _gain_cell(line, "random_k"),
        )
        fewer = line["fewer_parameters"] if line["row"] != REFERENCE else float("nan")
        rows.append(
            (
                Cell(str(line["row"]), str(line["note"])),
                *errors,
                *gains,
                Cell(number(line["parameters"])),
                Cell(percent(fewer)),
                Cell(f"{line['kept']} of {line['seeds']}"),
            )
        )
    columns = (
        *("row", *(metric.upper() for metric in SKILL_METRICS)),
        *("over linear probing", "over random K"),
        *("trained parameters", "fewer than linear probing", "seeds kept"),
    )
    caption = "Errors in z units, gains in MSE, and trained parameters"
    return Table("rows", caption, columns, tuple(rows), data=records(summary))


def _gain_cell(line: Mapping[Any, Any], reference: str) -> Cell:
    """Gain in MSE over a row; good or bad only where its interval over seeds says so."""
    gain, low, high = (
        line[name] for name in (f"gain_over_{reference}", f"{reference}_low", f"{reference}_high")
    )
    if gain != gain:
        return Cell(MISSING, tone="faint")
    tone: Tone = "good" if low > 0 else "bad" if high < 0 else ""
    return Cell(percent(gain, signed=True), percent_interval(low, high), tone)


def _skill_table(skill: pd.DataFrame, reference: str, horizons: list[int]) -> Table:
    own = skill[skill["reference"] == reference]
    mse = own[own["metric"] == "mse"]
    rows = tuple(
        (Cell(str(name)), *(skill_cell(mse[mse["row"] == name], horizon) for horizon in horizons))
        for name in mse["row"].drop_duplicates()
    )
    return Table(
        f"skill_vs_{reference}",
        f"MSE skill against {_WORDS[reference]}",
        ("row", *(f"{horizon} steps" for horizon in horizons)),
        rows,
        data=records(own),
        folded=reference != REFERENCE,
    )


def _errors_table(table: pd.DataFrame, metric: str, horizons: list[int]) -> Table:
    values, low, high = (grid(table, "row", "horizon", n) for n in (metric, "mse_low", "mse_high"))
    rows: list[Row] = []
    for name in table["row"].drop_duplicates():
        notes = (interval(low[name, h], high[name, h]) if metric == "mse" else "" for h in horizons)
        cells = (
            Cell(number(values[name, h]), note) for h, note in zip(horizons, notes, strict=True)
        )
        rows.append((Cell(str(name)), *cells))
    return Table(
        f"errors_{metric}",
        f"{metric.upper()}, mean over seeds",
        ("row", *(f"{horizon} steps" for horizon in horizons)),
        tuple(rows),
        data=records(table[["row", "horizon", metric]]),
        folded=metric != "mse",
    )


def _importance_section(tables: TraceTables) -> Section:
    sites = last_scores(tables.importance).sort_values("score", ascending=False)
    rows: list[Row] = [
        (
            Cell(str(line["site"])),
            Cell(number(line["score"]), f"± {number(line['standard_error'])}"),
            Cell(percent(line["relative"])),
            Cell(f"{line['kept']} of {line['seeds']}"),
        )
        for line in sites.to_dict("records")
    ]
    columns = ("module", "importance", "of the largest", "kept by seeds")
    caption = "Importance in the last round, means over seeds, the highest first"
    return Section(
        "importance",
        "Importance of the encoder's modules",
        (
            "Size of the loss's derivative by each module's gate, under random masks that imitate "
            "the pruned model, on a part of validation that neither trains nor selects.",
        ),
        (Table.bounded("importance", caption, columns, rows, data=records(sites), folded=True),),
        (
            Chart(
                "importance",
                "Importance by layer and module in the last round, as parts of each seed's "
                "largest; marks show what is kept. The table below holds the same.",
                draw_importance(tables.importance),
            ),
        ),
    )


def _cost_section(tables: TraceTables) -> Section:
    summary = tables.summary
    batches = [
        str(name).removeprefix("latency_ms_")
        for name in summary.columns
        if str(name).startswith("latency_ms_")
    ]
    rows: list[Row] = []
    for line in summary.to_dict("records"):
        trained = line["row"] != REFERENCE
        latency = (
            Cell(
                f"{number(line[f'latency_ms_{batch}'])} ms",
                f"{times(line[f'latency_ratio_{batch}'])} of frozen" if trained else "",
            )
            for batch in batches
        )
        rows.append(
            (
                Cell(str(line["row"])),
                Cell(number(line["head_parameters"])),
                Cell(number(line["parameters"] - line["head_parameters"])),
                Cell(number(line["sites"])),
                Cell(size(1e6 * line["megabytes"])),
                Cell(in_words(line["seconds"]) if trained else MISSING),
                Cell(size(1e6 * line["peak_megabytes"]) if trained else MISSING),
                *latency,
            )
        )
    columns = (
        *("row", "parameters of the head", "of adapters", "adapted sites", "saved"),
        *("time of a seed", "peak memory", *(f"per window, batch {batch}" for batch in batches)),
    )
    caption = "Size, training time, peak memory of the process, and latency once merged"
    return Section(
        "cost",
        "Cost",
        ("On the machine of the run; latency is taken in turn with the frozen backbone's.",),
        (Table("cost", caption, columns, tuple(rows), data=records(summary)),),
    )
