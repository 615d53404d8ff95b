"""What a run ends with on the terminal: its results as short tables, and where to read on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tsmemory.evaluation.summary import naive_warning
from tsmemory.runs.artefacts import artefact_path, dataset_of
from tsmemory.runs.manifest import backbone_card
from tsmemory.runs.record import RunRecord
from tsmemory.runs.summary import leaderboard_tables, plain_tables, row_tables

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

LEADERBOARD = "leaderboard"
OVERTUNING = {
    **{"setting": "", "trials": "d", "split": ""},
    **{"metric": "", "value": ".4f", "gain": "+.2%"},
}
ANOMALIES = {"method": "", "auc_pr": ".3f", "best_f1": ".3f", "vus_pr": ".3f", "wins": ".0f"}
SHORT_TERM = {"row": "", "series": "d", "smape": ".2f", "mase": ".3f", "owa": ".3f"}
ZERO_SHOT = {"check": "", "method": "", "mse": ".3f", "mae": ".3f", "mase": ".3f", "wql": ".3f"}
SURVEY = {
    **{"table": "", "series": "d", "forecasts": "d", "new": "d"},
    **{"incomplete": "d", "skipped": "d", "last_end": ""},
}


@dataclass(frozen=True)
class Result:
    """One result of a pipeline, as the terminal shows it.

    Attributes:
        dataset: The table.
        lay_out: Makes tables for the terminal of it and of the terminal's width.
        place: Dataset that the last line points to; where there is none, to the table itself.
        word: What that line calls it.
        verdict: Dataset of a report's data, whose ``verdict`` is sentences that follow the table.
    """

    dataset: str
    lay_out: "Callable[[pd.DataFrame, int], list[Table]]"
    place: str | None = None
    word: str = "Report"
    verdict: str | None = None


def _means(table: "pd.DataFrame", _: int) -> "list[Table]":
    """The mean over series of every method that looks for anomalies."""
    return plain_tables(table[table["series"] == "mean"], ANOMALIES)


def _over_horizons(table: "pd.DataFrame", _: int) -> "list[Table]":
    """What tuning has gained on validation and on test, as means over horizons."""
    return plain_tables(table[table["horizon"] == "all"], OVERTUNING)


def _by_link(table: "pd.DataFrame", _: int) -> "list[Table]":
    """Steps per second of each way to exchange gradients, a column for each link."""
    links = list(dict.fromkeys(table.loc[table["link"] != "none", "link"]))
    speeds = table.pivot(index="way", columns="link", values="steps_per_second")
    speeds = speeds.loc[list(dict.fromkeys(table["way"])), links].dropna().reset_index()
    return plain_tables(speeds, {"way": "", **dict.fromkeys(links, ".2f")})


def _with_columns(formats: Mapping[str, str]) -> "Callable[[pd.DataFrame, int], list[Table]]":
    """What lays some columns of a table out."""
    return lambda table, _: plain_tables(table, formats)


RESULTS = (
    Result(LEADERBOARD, leaderboard_tables, "report", verdict="report_data"),
    Result("trace_table", row_tables, "trace_report"),
    Result("ablation", row_tables, "benchmark_report"),
    Result("overtuning", _over_horizons, "tuning_report", verdict="tuning_data"),
    Result("anomalies", _means, "anomaly_scores", "Scores of every step"),
    Result("short_term", _with_columns(SHORT_TERM)),
    Result("zero_shot_scores", _with_columns(ZERO_SHOT)),
    Result("communication", _by_link, "communication", "Steps per second; bytes and losses"),
    Result("forecast_survey", _with_columns(SURVEY), "forecasts", "Forecasts"),
)


def show_results(record: RunRecord, console: "Console | None" = None) -> None:
    """Write the results of a completed run to the terminal, reused ones like new ones.

    Args:
        record: The run.
        console: Where to write; standard output by default.
    """
    from rich.console import Console

    console = console or Console()
    for result in RESULTS:
        path = _made(record, result.dataset)
        dataset = dataset_of(record.catalog, result.dataset)
        if path is None or dataset is None:
            continue
        table: pd.DataFrame = dataset.load()
        for laid in result.lay_out(table, console.width) if len(table) else ():
            console.print(laid)
        if result.verdict:
            _say_verdict(record, result.verdict, console)
        if result.dataset == LEADERBOARD:
            _warn(record, table, console)
        place = None if result.place is None else _made(record, result.place)
        word, shown = ("Table", path) if place is None else (result.word, place)
        # A path stays whole, so that it can be copied.
        line = f"{word}: {record.shown(shown)}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _made(record: RunRecord, name: str) -> Path | None:
    """Where an output of the run lies; ``None`` if the run has no such output."""
    if name not in record.pipeline.all_outputs() or name not in record.catalog:
        return None
    path = artefact_path(dataset_of(record.catalog, name), None)
    return path if path is not None and path.exists() else None


def _say_verdict(record: RunRecord, name: str, console: "Console") -> None:
    """What a report says first."""
    data = dataset_of(record.catalog, name)
    if data is not None and _made(record, name):
        for sentence in data.load().get("verdict", ()):
            console.print(sentence, highlight=False, markup=False)


def _warn(record: RunRecord, leaderboard: "pd.DataFrame", console: "Console") -> None:
    """What readers of the table have to know."""
    warnings = ((backbone_card(record) or {}).get("contamination"), naive_warning(leaderboard))
    for warning in warnings:
        if warning:
            console.print(warning, highlight=False, markup=False, style="yellow")
