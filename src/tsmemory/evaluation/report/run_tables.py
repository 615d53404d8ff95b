"""Tables of a report on the run: data, backbone, parameters, fingerprints."""

from collections.abc import Mapping, Sequence
from typing import Any

from tsmemory.evaluation.report.formats import number, percent
from tsmemory.evaluation.report.memory_tables import facts
from tsmemory.evaluation.report.parts import Cell, Table

_FIRST_FACTS = ("file", "rows", "items", "freq", "start", "end")
_LAST_FACTS = ("unsorted_rows", "duplicate_rows", "moved_rows")


def data_tables(
    panel: Mapping[str, Any], windows: Mapping[str, Any], skipped: Sequence[Mapping[str, Any]]
) -> list[Table]:
    """The input, its missing values, its windows, and what is left out.

    Args:
        panel: What :func:`tsmemory.series.summary.summarise_panel` returned.
        windows: What :func:`tsmemory.series.windows.count_windows` returned.
        skipped: Lines ``item_id, channel, reason``.

    Returns:
        Up to five tables; those with nothing to say are missing.
    """
    named = {name: panel[name] for name in _FIRST_FACTS}
    named["channels"] = len(panel["channels"])
    gaps = panel["gaps"]
    named["gaps"] = (
        f"{gaps['stretches']}, {gaps['rows']} rows, the longest {gaps['longest']}"
        if gaps["rows"]
        else "none"
    )
    named |= {name: panel[name] for name in _LAST_FACTS}
    missing = sorted(panel["missing_share"].items(), key=lambda part: -part[1])
    shown = [(Cell(name), Cell(percent(share))) for name, share in missing if share > 0]
    tables = [
        facts("input", "The input", named, data=dict(panel)),
        _window_table(windows["splits"]),
        Table.bounded(
            "missing",
            "Missing values by channel",
            ("channel", "missing"),
            shown,
            data=dict(panel["missing_share"]),
        ),
        reasons("skipped", "Series and channels that are left out", skipped),
        reasons(
            "untaught",
            "Series and channels that nothing is learnt from",
            windows["rows_without_training_windows"],
        ),
        facts("ignored_columns", "Columns that are left out", panel["ignored_columns"]),
    ]
    return [table for table in tables if table.rows]


def parameter_table(parameters: Mapping[str, Any]) -> Table:
    """All parameters that results depend on, by their dotted paths."""
    flat = _flatten("", parameters)
    return facts("parameters", "Parameters that results depend on", flat, folded=True)


def fingerprint_table(fingerprints: Mapping[str, Any]) -> Table:
    """What ties the run to its data, model and code."""
    return facts("fingerprints", "Fingerprints and versions", _flatten("", fingerprints))


def backbone_table(card: Mapping[str, Any]) -> Table:
    """What the backbone is, and what it was trained on."""
    named = {name: value for name, value in card.items() if name != "contamination"}
    if named.get("pretraining_datasets") is None:
        named["pretraining_datasets"] = "not known"
    named["benchmark"] = named.get("benchmark") or "none that is known"
    return facts("backbone", "The frozen backbone", named, data=dict(card))


def reasons(name: str, caption: str, lines: Sequence[Mapping[str, Any]]) -> Table:
    """What is left out, each with its reason."""
    rows = [
        (Cell(str(line["item_id"])), Cell(str(line["channel"])), Cell(str(line["reason"])))
        for line in lines
    ]
    return Table.bounded(
        name,
        caption,
        ("series", "channel", "reason"),
        rows,
        data=[dict(line) for line in lines],
        prose=True,
    )


def _window_table(splits: Mapping[str, Mapping[str, int]]) -> Table:
    """How many windows each split has."""
    rows = [
        (Cell(split), Cell(number(count["kept"])), Cell(number(count["left_out"])))
        for split, count in splits.items()
    ]
    return Table(
        "windows",
        "Windows of each split, and those left out for missing values",
        ("split", "kept", "left out"),
        tuple(rows),
        data={split: dict(count) for split, count in splits.items()},
    )


def _flatten(path: str, value: Any) -> dict[str, Any]:
    """Nested mappings as one, by dotted paths."""
    if not isinstance(value, Mapping) or not value:
        return {path: value}
    flat: dict[str, Any] = {}
    for name, part in value.items():
        flat |= _flatten(f"{path}.{name}".lstrip("."), part)
    return flat
