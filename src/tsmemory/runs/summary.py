"""Short tables of results for the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tsmemory.evaluation.summary import choose_horizons

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

METRICS = ("mse", "mae", "crps")
FROZEN = "frozen"
STYLES = {FROZEN: "cyan", "tsmemory": "bold green", "trace": "bold green", "default": "bold green"}
MOST_ROWS = 12
_METHOD_WIDTH, _VALUE_WIDTH = 16, 8
_SKILL = "skill"  # of the CRPS, against the frozen backbone, in percent
_SKILL_METRIC = "crps"


def leaderboard_tables(leaderboard: "pd.DataFrame", width: int) -> "list[Table]":
    """Lay the leaderboard out, a row for each method.

    Args:
        leaderboard: Table ``method, horizon, metric, value, …``.
        width: Columns of the terminal; horizons that do not fit beside each other go below.

    Returns:
        Tables with the columns ``<metric> @<horizon>``, the last of each horizon being the skill in
        CRPS against the frozen backbone; the best value of each column is underlined, the frozen
        backbone and tsmemory are coloured.
    """
    known = leaderboard[leaderboard["metric"].isin(METRICS)]
    metrics = [name for name in METRICS if name in set(known["metric"])]
    horizons = choose_horizons([int(h) for h in known["horizon"]])
    wide = known.pivot_table(
        index="method", columns=["horizon", "metric"], values="value", sort=False
    )
    if FROZEN in wide.index and _SKILL_METRIC in metrics:
        metrics.append(_SKILL)
        for horizon in horizons:
            errors = wide[horizon, _SKILL_METRIC]
            skill = 100 * (1 - errors / errors[FROZEN])
            wide[horizon, _SKILL] = skill.round(1) + 0.0  # no -0.0
    each = max(1, (width - _METHOD_WIDTH) // (_VALUE_WIDTH * max(1, len(metrics))))
    parts = [horizons[i : i + each] for i in range(0, len(horizons), each)]
    return [_by_horizon(wide, part, metrics) for part in parts]


def row_tables(table: "pd.DataFrame", width: int) -> "list[Table]":
    """Lay a table of rows and horizons out like the leaderboard.

    Args:
        table: Table ``row, horizon, <metrics>, …``.
        width: Columns of the terminal.

    Returns:
        As :func:`leaderboard_tables`.
    """
    long = table.melt(["row", "horizon"], list(METRICS), var_name="metric")
    return leaderboard_tables(long.rename(columns={"row": "method"}), width)


def plain_tables(table: "pd.DataFrame", formats: Mapping[str, str]) -> "list[Table]":
    """Lay some columns of a table out as they are.

    Args:
        table: The table, of which the first rows are shown.
        formats: How the numbers of each column are written; text as it is. Others are left out.

    Returns:
        One table; a last line says how many rows are not in it.
    """
    made = _empty_table()
    columns = [name for name in formats if name in table]
    for number, name in enumerate(columns):
        made.add_column(name, justify="right" if number else "left", no_wrap=not number)
    for line in table.head(MOST_ROWS).to_dict("records"):
        cells = [_written(line[name], formats[name]) for name in columns]
        made.add_row(*cells, style=STYLES.get(cells[0], ""))
    if len(table) > MOST_ROWS:
        rest = f"and {len(table) - MOST_ROWS} more"
        made.add_row(rest, *[""] * (len(columns) - 1), style="dim")
    return [made]


def _by_horizon(wide: "pd.DataFrame", horizons: Sequence[int], metrics: Sequence[str]) -> "Table":
    """One table of a few horizons."""
    table = _empty_table()
    table.add_column("method", no_wrap=True)
    columns = [(h, m) for h in horizons for m in metrics if (h, m) in wide.columns]
    for horizon, metric in columns:
        head = "skill %" if metric == _SKILL else metric
        table.add_column(f"{head}\n@{horizon}", justify="right", no_wrap=True)
    for method, line in wide.iterrows():
        cells = []
        for column in columns:
            is_skill = column[1] == _SKILL
            best = wide[column].max() if is_skill else wide[column].min()
            form = "+.1f" if is_skill else ".3f"
            text = _written(line[column], form)
            cells.append(f"[underline]{text}[/]" if text == _written(best, form) else text)
        table.add_row(str(method), *cells, style=STYLES.get(str(method), ""))
    return table


def _empty_table() -> "Table":
    from rich.box import SIMPLE
    from rich.table import Table

    return Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)


def _written(value: object, form: str) -> str:
    """A number in its format, a dash where there is none, text as it is."""
    if value is None or value != value:
        return "-"
    return value if isinstance(value, str) else format(value, form)
