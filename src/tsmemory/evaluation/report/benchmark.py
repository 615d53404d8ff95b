"""The page of the benchmark: what each part is worth, and what a memory does elsewhere."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd

from tsmemory.evaluation.ablation import DEFAULT, VALUES
from tsmemory.evaluation.leaderboard import REFERENCE
from tsmemory.evaluation.pace import in_words
from tsmemory.evaluation.report.formats import MISSING, number, percent
from tsmemory.evaluation.report.parts import Cell, Report, Row, Section, Table, records
from tsmemory.evaluation.report.score_tables import skill_cell
from tsmemory.evaluation.summary import choose_horizons

_HEADS = {"mse": "MSE", "mae": "MAE", "crps": "CRPS", "coverage_80": "80 % coverage"}
_SKILL_OF = "Skill against the {}, in CRPS, with intervals: above 0 a row is better than it"


def build_benchmark_report(
    domain: str,
    ablation: pd.DataFrame,
    skill: pd.DataFrame,
    transfer: pd.DataFrame,
    settings: Mapping[str, Any],
    made_at: datetime,
) -> Report:
    """Put together all that the benchmark says.

    Args:
        domain: Name of the dataset.
        ablation: What :func:`tsmemory.evaluation.ablation.tabulate_ablation` returned first.
        skill: What it returned second.
        transfer: What :func:`tsmemory.evaluation.transfer.tabulate_transfer` returned.
        settings: Parameters of the benchmark.
        made_at: Now.

    Returns:
        The report.
    """
    chosen = settings["ablation"]
    seeds, epochs = len(chosen["seeds"]), chosen["epochs"]
    return Report(
        domain=f"{domain}, benchmark",
        made_at=made_at.isoformat(timespec="minutes"),
        verdict=(
            f"Every row is trained on {seeds} seed(s), with at most {epochs} epochs, and fused "
            f"{'with' if chosen['guard'] else 'without'} the guard.",
            "A row that is exactly the default's was brought back by the guard to where training "
            "began: kept is how many seeds were not.",
        ),
        warnings=("One seed does not tell effect from chance.",) if seeds < 3 else (),
        sections=(
            Section(
                "ablation",
                "Ablation",
                ("The main way with one part changed or left out, on the same test windows.",),
                tuple(_ablation_tables(ablation, skill)),
            ),
            Section(
                "transfer",
                "Transfer",
                (
                    "Memories of other domains on this one. The backbone is frozen and forgets "
                    "nothing; guarded anew on this domain's validation, such a memory must not "
                    "cost more than 1 % of any error.",
                ),
                (_transfer_table(transfer),),
            ),
        ),
    )


def _ablation_tables(ablation: pd.DataFrame, skill: pd.DataFrame) -> list[Table]:
    """Skill against both references, errors at each horizon, what is told of the rows."""
    horizons = choose_horizons(ablation["horizon"].tolist())
    names = ablation["row"].drop_duplicates().tolist()
    tables = []
    for reference, words in ((DEFAULT, "default row"), (REFERENCE, "frozen backbone")):
        mine = skill[(skill["reference"] == reference) & (skill["metric"] == "crps")]
        rows: list[Row] = [
            (Cell(name), *(skill_cell(mine[mine["row"] == name], horizon) for horizon in horizons))
            for name in names
            if name != reference
        ]
        tables.append(
            Table(
                f"skill_vs_{reference}",
                _SKILL_OF.format(words),
                ("row", *(f"{horizon} steps" for horizon in horizons)),
                tuple(rows),
                data=records(skill[skill["reference"] == reference]),
            )
        )
    return [*tables, *(_values(ablation, horizon) for horizon in horizons), _facts(ablation)]


def _values(ablation: pd.DataFrame, horizon: int) -> Table:
    lines = ablation[ablation["horizon"] == horizon]
    rows = [
        (Cell(str(line["row"])), *(Cell(number(line[name])) for name in VALUES))
        for line in records(lines)
    ]
    return Table(
        f"ablation_{horizon}",
        f"Errors and coverage, {horizon} steps",
        ("row", *_HEADS.values()),
        tuple(rows),
        data=records(lines),
    )


def _facts(ablation: pd.DataFrame) -> Table:
    lines = records(ablation.drop_duplicates("row"))
    rows = [
        (
            Cell(str(line["row"])),
            Cell(str(line["note"])),
            Cell(number(line["seeds"])),
            Cell(number(line["kept"])),
            Cell(number(line["parameters"])),
            Cell(MISSING if line["seconds"] is None else in_words(line["seconds"])),
        )
        for line in lines
    ]
    return Table(
        "rows",
        "What was changed, and what it took",
        ("row", "changed", "seeds", "kept", "trained parameters", "time"),
        tuple(rows),
        data=lines,
        prose=True,
    )


def _transfer_table(transfer: pd.DataFrame) -> Table:
    lines = records(transfer)
    rows = [_transfer_row(line) for line in lines]
    return Table.bounded(
        "transfer",
        "Foreign memories: CRPS skill against the frozen backbone, and the largest loss of MSE, "
        "MAE and CRPS",
        ("row", "domain", "steps", "CRPS", "skill", "largest loss", "weight of the memory", "note"),
        rows,
        data=lines,
        prose=True,
    )


def _transfer_row(line: Mapping[str, Any]) -> Row:
    if line["crps"] is None:
        return Cell(str(line["row"])), *(Cell(MISSING, tone="faint"),) * 6, Cell(str(line["note"]))
    skill, loss = line["skill"], line["largest_loss"]
    return (
        Cell(str(line["row"])),
        Cell(str(line["source"])),
        Cell(number(int(line["horizon"]))),
        Cell(number(line["crps"])),
        Cell(MISSING if skill is None else percent(skill, signed=True)),
        Cell(percent(max(loss, 0.0)), tone="" if line["within_1_percent"] else "bad"),
        Cell(percent(line["memory_weight"])),
        Cell(str(line["note"])),
    )
