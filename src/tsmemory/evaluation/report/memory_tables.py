"""Tables of a report on the memory itself: fusion and guard, teacher, cost."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from tsmemory.evaluation.house_style import style_of
from tsmemory.evaluation.report.formats import MISSING, number, p_value, percent, size, times
from tsmemory.evaluation.report.parts import Cell, Row, Table, grid, records
from tsmemory.evaluation.summary import choose_horizons

_WEIGHTS = {
    "memory": "median: memory",
    "last_value": "median: last value",
    "seasonal_naive": "median: seasonal naive",
    "long_run": "median: long-run level",
    "width_memory": "spread: memory",
    "width_residuals": "spread: residuals",
    "factor": "factor on spread",
}
_ALWAYS = ("memory", "width_memory", "factor")
_VERDICT = ("skill", "p_value", "pooled", "judged_on")
_VERDICT_COLUMNS = ("skill", "test", "decision", "seeds fused")
_WORDS = {
    "mae": "MAE of the teacher",
    "backbone_mae": "MAE of the backbone",
    "overlap_share": "neighbours that overlap the target",
}


def fusion_tables(fusion: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """Weights and the guard's decision in each horizon block, of the seed that is shipped.

    Args:
        fusion: Fusions by seed, as :meth:`tsmemory.memory.fusion.Fusion.to_json` writes them.

    Returns:
        One table; its data hold every seed.
    """
    seed, shipped = next(iter(fusion.items()))
    by_seed = {name: fusion_blocks(value) for name, value in fusion.items()}
    weights = [
        name
        for name in _WEIGHTS
        if name in _ALWAYS or any(line[name] for lines in by_seed.values() for line in lines)
    ]
    rows = [
        _block_row(line, weights, [lines[place] for lines in by_seed.values()])
        for place, line in enumerate(by_seed[seed])
    ]
    caption = (
        f"Shares of the forecast by horizon block, seed {seed} (which is shipped), and what the "
        "guard found on validation"
    )
    if own := shipped.get("channels"):
        caption += f"; {len(own)} channels have weights of their own"
    columns = ("steps", *(_WEIGHTS[name] for name in weights), *_VERDICT_COLUMNS)
    data = [{"seed": name, **line} for name, lines in by_seed.items() for line in lines]
    tables = [Table.bounded("fusion", caption, columns, rows, data=data)]
    tables += [_channel_table(own)] if own else []
    gate = {name: value for name, value in shipped.get("gate", {}).items() if value is not None}
    return [*tables, *([facts("gate", "Thresholds of the gate", gate)] if gate else [])]


def fusion_blocks(fusion: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line for each horizon block: its steps, what is mixed there, the guard's verdict.

    Args:
        fusion: One seed's fusion, as :meth:`tsmemory.memory.fusion.Fusion.to_json` writes it.

    Returns:
        Steps and shares as :meth:`~tsmemory.memory.fusion.Fusion.explain` names them; ``factor`` on
        the memory's spread; whether anything but the backbone is ``used``; and the guard's
        ``skill, p_value, pooled, judged_on``, ``None`` where it said nothing.
    """
    from tsmemory.memory.fusion import Fusion

    verdicts = {
        verdict["block"]: verdict
        for verdict in fusion.get("report", {}).get("guard", {}).get("whole", ())
    }
    return [
        {
            **shares,
            "factor": fusion["factor"][place],
            "used": shares["backbone"] < 1 or shares["width_backbone"] < 1,
            **{name: verdicts.get(place, {}).get(name) for name in _VERDICT},
        }
        for place, shares in enumerate(Fusion.from_json(fusion).explain())
    ]


def oracle_table(oracle_gap: pd.DataFrame) -> Table:
    """The fused median's error beside that of the weights that the test split would have chosen.

    Those are never used; they tell what choosing without the test split costs.

    Args:
        oracle_gap: Table ``quantity, first_step, last_step, chosen, oracle, gap``.

    Returns:
        The errors by horizon block; its data hold the weights too.
    """
    *blocks, whole = records(oracle_gap[oracle_gap["quantity"] == "mse"])
    steps = [f"{line['first_step']}-{line['last_step']}" for line in blocks]
    rows = [
        (
            Cell(name),
            *(Cell(number(line[column])) for column in ("chosen", "oracle")),
            Cell(MISSING if line["gap"] is None else percent(line["gap"])),
        )
        for name, line in zip([*steps, "all"], [*blocks, whole], strict=True)
    ]
    return Table.bounded(
        "oracle_gap",
        "Squared error of the fused median, and what weights chosen on the test split itself, "
        "which are used nowhere, would have made of it",
        ("steps", "chosen without the test split", "oracle", "gap"),
        rows,
        data=records(oracle_gap),
        folded=True,
    )


def teacher_tables(summary: Mapping[str, Any], diagnosis: pd.DataFrame) -> list[Table]:
    """The teacher under each embargo beside validation, and its neighbours' figures.

    Args:
        summary: Single figures, and in ``leak`` by horizon the teacher's error under each embargo,
            on validation, and the ratio of the latter to the published setting's.
        diagnosis: Table ``split, embargo, horizon, metric, value, queries``.

    Returns:
        The leak, a table for each of at most four horizons, and one of single figures.
    """
    tables = [_leak_table(summary["leak"])] if summary.get("leak") else []
    for horizon in choose_horizons(diagnosis["horizon"].tolist()):
        lines = diagnosis[diagnosis["horizon"] == horizon]
        metrics = lines["metric"].drop_duplicates().tolist()
        groups = lines.groupby(["split", "embargo"], sort=False, dropna=False)
        rows = [
            (
                Cell(f"{split}, embargo {embargo}" if split == "train" else str(split)),
                *(_figure(part, metric) for metric in metrics),
            )
            for (split, embargo), part in groups
        ]
        tables.append(
            Table(
                f"teacher_{horizon}",
                f"The teacher, up to {horizon} steps",
                ("queries", *(_WORDS.get(name, name.replace("_", " ")) for name in metrics)),
                tuple(rows),
                data=records(lines),
            )
        )
    single = {k: v for k, v in summary.items() if not isinstance(v, (Mapping, list))}
    return [*tables, facts("teacher_figures", "Neighbours of the training windows", single)]


def cost_tables(cost: pd.DataFrame) -> list[Table]:
    """Latency side by side, and sizes.

    Args:
        cost: Table ``method, horizon, batch, metric, value``.

    Returns:
        Two tables; the first is missing where the backbone looks its forecasts up.
    """
    timed = cost[cost["batch"].notna() & (cost["batch"] != "")]
    calls = (
        timed[["batch", "horizon"]].astype(int).drop_duplicates().sort_values(["batch", "horizon"])
    )
    rows: list[Row] = []
    for batch, horizon in calls.to_numpy().tolist():
        same = (timed["batch"].astype(int) == batch) & (timed["horizon"].astype(int) == horizon)
        found = grid(timed[same], "metric", "method", "value")
        frozen, fused, ratio = (
            found.get(key, math.nan)
            for key in (
                ("latency_ms_per_window", "frozen"),
                ("latency_ms_per_window", "tsmemory"),
                ("latency_ratio", "tsmemory"),
            )
        )
        name = f"batch {batch}, {horizon} steps"
        rows.append((Cell(name), Cell(number(frozen)), Cell(number(fused)), Cell(times(ratio))))
    sizes = cost.drop(timed.index)
    named = {_size_name(line): _size(line) for line in sizes.to_dict("records")}
    columns = ("call", "frozen backbone", "tsmemory", "ratio")
    latency = Table.bounded(
        "latency",
        "Milliseconds for each window, and the median of the paired ratios",
        columns,
        rows,
        data=records(timed),
    )
    return [
        *([latency] if rows else []),
        facts("sizes", "Sizes", named, data=records(sizes)),
    ]


def facts(
    name: str, caption: str, values: Mapping[str, Any], *, data: Any = None, folded: bool = False
) -> Table:
    """A table of names and values."""
    rows = tuple((Cell(_words(key)), Cell(_said(value))) for key, value in values.items())
    kept = dict(values) if data is None else data
    return Table(name, caption, ("", "value"), rows, data=kept, folded=folded, prose=True)


def _words(key: str) -> str:
    return key if "." in key else key.replace("_", " ")


def _said(value: Any) -> str:
    """A value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_said(part) for part in value) or "none"
    return number(value)


def _channel_table(channels: Mapping[str, Mapping[str, Sequence[float]]]) -> Table:
    """Weights of channels that have their own, each as its mean over the horizon."""
    names = list(next(iter(channels.values())))
    rows = [
        (Cell(channel), *(Cell(f"{fmean(weights[name]):.2f}") for name in names))
        for channel, weights in channels.items()
    ]
    return Table.bounded(
        "fusion_by_channel",
        "Weights of single channels, seed that is shipped, mean over the horizon",
        ("channel", *(name.replace("_", " ") for name in names)),
        rows,
        data={name: dict(weights) for name, weights in channels.items()},
    )


def _block_row(
    line: Mapping[str, Any], weights: Sequence[str], seeds: Sequence[Mapping[str, Any]]
) -> Row:
    """One block of the shipped seed, and in how many seeds it is used."""
    p, skill = line["p_value"], line["skill"]
    return (
        Cell(f"{line['first_step']} to {line['last_step']}"),
        *(Cell(f"{line[name]:.2f}") for name in weights),
        Cell(MISSING if skill is None else percent(float(skill), signed=True)),
        Cell(
            MISSING if p is None else p_value(float(p)), "blocks pooled" if line["pooled"] else ""
        ),
        Cell(
            "fused" if line["used"] else "backbone alone", tone="good" if line["used"] else "faint"
        ),
        Cell(f"{sum(bool(other['used']) for other in seeds)} of {len(seeds)}"),
    )


def _leak_table(leak: Mapping[str, Mapping[str, float]]) -> Table:
    """What the published setting hides, a row for each horizon."""
    names = list(next(iter(leak.values())))
    rows = [
        (Cell(f"{horizon} steps"), *(Cell(number(errors[name])) for name in names))
        for horizon, errors in leak.items()
    ]
    return Table.bounded(
        "leak",
        "MAE of the teacher on training queries by embargo, and on validation",
        ("horizon", *(name.replace("_", " ") for name in names)),
        rows,
        data={horizon: dict(errors) for horizon, errors in leak.items()},
    )


def _size_name(line: Mapping[Any, Any]) -> str:
    """What a size is of."""
    name = f"{style_of(line['method']).label}: {line['metric'].replace('_', ' ')}"
    given = line["horizon"] not in ("", None) and not pd.isna(line["horizon"])
    return f"{name}, {int(line['horizon'])} steps" if given else name


def _size(line: Mapping[Any, Any]) -> str:
    value = float(line["value"])
    return size(value) if "bytes" in line["metric"] else number(value)


def _figure(lines: pd.DataFrame, metric: str) -> Cell:
    """One figure of the teacher; shares in percent."""
    value = float(lines.loc[lines["metric"] == metric, "value"].sum(min_count=1))
    is_share = "share" in metric or metric.startswith(("gate", "coverage"))
    return Cell(percent(value) if is_share else number(value))
