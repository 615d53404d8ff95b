"""Tables of a report that come from the scores: leaderboard, skill, calibration."""

import math

import numpy as np
import pandas as pd

from tsmemory.evaluation.house_style import in_order, style_of
from tsmemory.evaluation.report.formats import (
    MISSING,
    interval,
    number,
    p_value,
    percent,
    percent_interval,
)
from tsmemory.evaluation.report.parts import Cell, Row, Table, Tone, grid, records
from tsmemory.evaluation.summary import choose_horizons

# Rows that every table has (METHOD 1.8); the costly ones come from pipelines of their own.
REQUIRED = (
    *("last_value", "seasonal_naive", "ridge", "frozen", "online_knn", "lora", "trace"),
    *("no_teacher", "paper", "tsmemory"),
)
HEADLINE_METRICS = {
    "crps": "CRPS (nine-level pinball loss relative to the mean absolute value)",
    "mse": "MSE (z units of the training split)",
    "mae": "MAE (z units of the training split)",
}
_LABELS = {"wql": "WQL", "mase": "MASE", "smape": "sMAPE", "coverage_80": "80 % coverage"}
_NOT_RUN = Cell("not run", tone="faint")


def leaderboard_tables(leaderboard: pd.DataFrame, skill: pd.DataFrame) -> list[Table]:
    """The leaderboard, a table for each headline metric, and the other metrics by horizon.

    Args:
        leaderboard: Table ``method, horizon, metric, value, low, high, seeds``.
        skill: Holds the Diebold-Mariano p-values against the frozen backbone.

    Returns:
        Tables with a row for each method, those of METHOD 1.8 whether they were run or not.
    """
    lines = leaderboard.merge(
        skill.loc[skill["channel"] == "all", ["method", "horizon", "metric", "dm_p"]],
        on=["method", "horizon", "metric"],
        how="left",
    )
    tables = [
        _by_method(lines[lines["metric"] == metric], metric, words)
        for metric, words in HEADLINE_METRICS.items()
    ]
    others = lines[~lines["metric"].isin(HEADLINE_METRICS)]
    return tables + [
        _other_metrics(others[others["horizon"] == horizon], horizon)
        for horizon in choose_horizons(lines["horizon"].tolist())
    ]


def skill_tables(skill: pd.DataFrame) -> list[Table]:
    """Skill of tsmemory by metric, over all channels, and its CRPS skill by channel.

    Args:
        skill: Table ``method, horizon, channel, metric, skill, low, high, dm_statistic, dm_p``.

    Returns:
        Two tables; the data of the first hold every method.
    """
    horizons = choose_horizons(skill["horizon"].tolist())
    ours = skill[skill["method"] == "tsmemory"]
    overall = ours[ours["channel"] == "all"]
    by_metric = [
        (
            Cell(metric.upper()),
            *(skill_cell(overall[overall["metric"] == metric], h) for h in horizons),
        )
        for metric in HEADLINE_METRICS
    ]
    crps = ours[(ours["channel"] != "all") & (ours["metric"] == "crps")]
    order = crps.sort_values(["horizon", "skill"])["channel"].drop_duplicates(keep="last")
    by_channel = [
        (Cell(str(name)), *(skill_cell(crps[crps["channel"] == name], h) for h in horizons))
        for name in order
    ]
    columns = tuple(f"{horizon} steps" for horizon in horizons)
    return [
        Table(
            "skill",
            "Skill of tsmemory over all channels, with intervals",
            ("metric", *columns),
            tuple(by_metric),
            data=records(skill[skill["channel"] == "all"]),
        ),
        Table.bounded(
            "skill_by_channel",
            "CRPS skill of tsmemory by channel, with intervals, the lowest at the longest horizon "
            "first",
            ("channel", *columns),
            by_channel,
            data=records(ours[ours["channel"] != "all"]),
        ),
    ]


def calibration_tables(leaderboard: pd.DataFrame, calibration: pd.DataFrame) -> list[Table]:
    """Coverage of the 80 % interval, and of each level, for frozen and fused.

    Args:
        leaderboard: Holds the coverage.
        calibration: Table ``method, horizon, level, observed``.

    Returns:
        Two tables.
    """
    lines = leaderboard[leaderboard["metric"] == "coverage_80"]
    horizons = choose_horizons(calibration["horizon"].tolist())
    band = []
    for method in in_order(lines["method"].unique().tolist()):
        own = lines[lines["method"] == method]
        cells = (_coverage_cell(own[own["horizon"] == horizon]) for horizon in horizons)
        band.append((Cell(style_of(method).label), *cells))
    two = calibration[calibration["method"].isin(("frozen", "tsmemory"))]
    pairs = [(horizon, method) for horizon in horizons for method in ("frozen", "tsmemory")]
    shares = {
        pair: grid(two[two["method"] == pair[1]], "level", "horizon", "observed") for pair in pairs
    }
    levels = [
        (
            Cell(percent(level)),
            *(Cell(percent(shares[pair].get((level, pair[0]), math.nan))) for pair in pairs),
        )
        for level in sorted(set(two["level"].tolist()))
    ]
    return [
        Table(
            "coverage_80",
            "Share of test targets inside the 80 % interval, with intervals",
            ("method", *(f"{horizon} steps" for horizon in horizons)),
            tuple(band),
            data=records(lines.drop(columns="metric")),
        ),
        Table.bounded(
            "calibration",
            "Share of test targets at or below each quantile: nominal, and observed up to each "
            "horizon",
            ("level", *(f"{style_of(m).label}, {h} steps" for h, m in pairs)),
            levels,
            data=records(calibration),
            folded=True,
        ),
    ]


def _by_method(lines: pd.DataFrame, metric: str, words: str) -> Table:
    """One metric: a row for each method, a column for each horizon and for their mean."""
    horizons = choose_horizons(lines["horizon"].tolist())
    known = sorted(set(lines["horizon"].tolist()))
    values = grid(lines, "method", "horizon", "value")
    present = lines["method"].unique().tolist()
    means = {name: sum(values[name, h] for h in known) / len(known) for name in present}
    best = {h: np.nanmin([math.inf, *(values[name, h] for name in present)]) for h in known}
    rows: list[Row] = []
    for method in in_order([*REQUIRED, *sorted(set(present) - set(REQUIRED))]):
        own = lines[lines["method"] == method].drop_duplicates("horizon").set_index("horizon")
        if own.empty:
            cells = [_NOT_RUN] * (len(horizons) + (len(known) > 1))
            rows.append((Cell(style_of(method).label), *cells))
            continue
        cells = [_marked(values[method, h], best[h], _notes(own, h)) for h in horizons]
        if len(known) > 1:
            cells.append(_marked(means[method], np.nanmin([math.inf, *means.values()])))
        rows.append((_name_cell(method, int(own["seeds"].iloc[0])), *cells))
    columns = ["method", *(f"{horizon} steps" for horizon in horizons)]
    columns += [f"mean of {len(known)}"] if len(known) > 1 else []
    return Table(
        f"leaderboard_{metric}",
        words,
        tuple(columns),
        tuple(rows),
        data=records(lines.drop(columns="metric")),
    )


def _other_metrics(lines: pd.DataFrame, horizon: int) -> Table:
    """All further metrics at one horizon."""
    metrics = lines["metric"].drop_duplicates().tolist()
    values = grid(lines, "method", "metric", "value")
    rows = [
        (Cell(style_of(method).label), *(Cell(number(values[method, name])) for name in metrics))
        for method in in_order(lines["method"].unique().tolist())
    ]
    return Table(
        f"further_metrics_{horizon}",
        f"Further metrics, {horizon} steps",
        ("method", *(_LABELS.get(name, name.replace("_", " ")) for name in metrics)),
        tuple(rows),
        data=records(lines),
        folded=True,
    )


def _name_cell(method: str, seeds: int) -> Cell:
    return Cell(style_of(method).label, f"mean of {seeds} seeds" if seeds > 1 else "")


def _notes(lines: pd.DataFrame, horizon: int) -> str:
    """The interval of a value and its Diebold-Mariano p-value, as far as they are known."""
    low, high, p = (float(lines[name].to_dict()[horizon]) for name in ("low", "high", "dm_p"))
    return " · ".join(note for note in (interval(low, high), p_value(p)) if note)


def _marked(value: float, best: float, note: str = "") -> Cell:
    """A value that stands out where, as it is printed, none is lower."""
    is_best = not math.isnan(value) and number(value) == number(best)
    return Cell(number(value), note, "best" if is_best else "")


def skill_cell(lines: pd.DataFrame, horizon: int) -> Cell:
    """Skill at one horizon; good or bad only where its interval says so."""
    line = lines[lines["horizon"] == horizon]
    if line.empty:
        return Cell(MISSING, tone="faint")
    skill, low, high = line[["skill", "low", "high"]].iloc[0].astype(float)
    tone: Tone = "good" if low > 0 else "bad" if high < 0 else ""
    return Cell(percent(skill, signed=True), percent_interval(low, high) or "no interval", tone)


def _coverage_cell(lines: pd.DataFrame) -> Cell:
    if lines.empty:
        return Cell(MISSING, tone="faint")
    value, low, high = lines[["value", "low", "high"]].iloc[0].astype(float)
    return Cell(percent(value), percent_interval(low, high, signed=False))
