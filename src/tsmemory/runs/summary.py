"""A short table of the leaderboard for the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tsmemory.evaluation.summary import choose_horizons, naive_warning

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

METRICS = ("mse", "mae", "crps")
STYLES = {"frozen": "cyan", "tsmemory": "bold green"}
_METHOD_WIDTH, _VALUE_WIDTH = 16, 8


def leaderboard_tables(leaderboard: "pd.DataFrame", width: int) -> "list[Table]":
    """Lay the leaderboard out, a row for each method.

    Args:
        leaderboard: Table ``method, horizon, metric, value, …``.
        width: Columns of the terminal; horizons that do not fit beside each other go below.

    Returns:
        Tables with the columns ``<metric> @<horizon>``; the best value of each column is
        underlined, the frozen backbone and tsmemory are coloured.
    """
    known = leaderboard[leaderboard["metric"].isin(METRICS)]
    metrics = [name for name in METRICS if name in set(known["metric"])]
    horizons = choose_horizons([int(h) for h in known["horizon"]])
    each = max(1, (width - _METHOD_WIDTH) // (_VALUE_WIDTH * max(1, len(metrics))))
    wide = known.pivot_table(
        index="method", columns=["horizon", "metric"], values="value", sort=False
    )
    parts = [horizons[i : i + each] for i in range(0, len(horizons), each)]
    return [_table(wide, part, metrics) for part in parts]


def show_leaderboard(
    leaderboard: "pd.DataFrame",
    folder: str,
    console: "Console | None" = None,
    *,
    warning: str | None = None,
    report: str | None = None,
) -> None:
    """Write the leaderboard to the terminal, with one line on where to read more.

    Args:
        leaderboard: Table ``method, horizon, metric, value, …``.
        folder: Where the reports lie.
        console: Where to write; standard output by default.
        warning: What readers of the table have to know of the backbone.
        report: The report to open, if the run has one.
    """
    from rich.console import Console

    console = console or Console()
    for table in leaderboard_tables(leaderboard, console.width):
        console.print(table)
    if warning:
        console.print(warning, highlight=False, markup=False, style="yellow")
    if naive := naive_warning(leaderboard):
        console.print(naive, highlight=False, style="yellow")
    place = f"Report: {report}" if report else f"Reports: {folder}"
    console.print(place, highlight=False, markup=False, soft_wrap=True)  # a path stays whole


def show_verdict(
    verdict: Sequence[str], console: "Console | None" = None, *, report: str | None = None
) -> None:
    """Write what a study has come to to the terminal, with one line on where to read more.

    Args:
        verdict: Sentences.
        console: Where to write; standard output by default.
        report: The report to open, if the run has one.
    """
    from rich.console import Console

    console = console or Console()
    console.print(" ".join(verdict), highlight=False, markup=False)
    if report:
        console.print(f"Report: {report}", highlight=False, markup=False, soft_wrap=True)


def _table(wide: "pd.DataFrame", horizons: Sequence[int], metrics: Sequence[str]) -> "Table":
    """One table of a few horizons."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("method", no_wrap=True)
    columns = [(h, m) for h in horizons for m in metrics if (h, m) in wide.columns]
    for horizon, metric in columns:
        table.add_column(f"{metric}\n@{horizon}", justify="right", no_wrap=True)
    for method, line in wide.iterrows():
        cells = []
        for column in columns:
            value, best = line[column], wide[column].min()
            text = "-" if value != value else f"{value:.3f}"
            cells.append(f"[underline]{text}[/]" if text == f"{best:.3f}" else text)
        table.add_row(str(method), *cells, style=STYLES.get(str(method), ""))
    return table
