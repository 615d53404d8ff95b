"""Tables of any layout, wide or long, as one long table of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tsmemory.series.errors import IngestionError, columns_found, find_column, first_of, first_rows
from tsmemory.series.names import POOLED, stem
from tsmemory.series.timestamps import to_timestamps

KEYS = ("item_id", "timestamp")
_NEARLY = 0.9  # share of numbers from which a column of text is meant as one of numbers
_TIME_NAMES = ("date", "ds", "datetime", "time")


@dataclass(frozen=True)
class LayoutReport:
    """What became of a table's columns.

    Attributes:
        channels: Columns taken as channels, in the table's order.
        ignored: Reason for each column left out.
        notes: Sentences on what was changed.
    """

    channels: tuple[str, ...]
    ignored: dict[str, str]
    notes: tuple[str, ...]


def to_long(
    table: pd.DataFrame,
    *,
    path: str | Path,
    timestamp_column: str | None = None,
    item_id_column: str | None = None,
    target_columns: Sequence[str] | None = None,
) -> tuple[pd.DataFrame, LayoutReport]:
    """Bring a wide or long table into the form ``item_id, timestamp, <channels>``.

    Args:
        table: One row for each timestamp, or for each series and timestamp.
        path: The file it came from; its stem names the series where there is no item column.
        timestamp_column: Column of the timestamps; ``None`` takes ``timestamp``, else the only one
            of ``date, ds, datetime, time`` (in any case).
        item_id_column: Column that tells series apart; ``None`` takes ``item_id`` if there is one.
        target_columns: Columns to take as channels; ``None`` takes all numeric ones.

    Returns:
        The long table in the order of its rows: ``item_id`` as text, ``timestamp`` as
        ``datetime64[ns]`` without a zone, channels as float64 with NaN where missing; and what
        became of the columns.

    Raises:
        IngestionError: A column is missing or misnamed, or holds dates, numbers or infinities
            that cannot be used.
    """
    columns = [str(column) for column in table.columns]
    time_name = _timestamp_column(columns, timestamp_column)
    item_name = _item_id_column(columns, item_id_column)
    targets, ignored = _targets(table, columns, (time_name, item_name), target_columns)
    _refuse_pooled(targets)
    timestamp, note = to_timestamps(table[time_name])
    data: dict[str, object] = {
        "item_id": _items(table, item_name, stem(path)),
        "timestamp": timestamp.to_numpy(),
    }
    data |= {name: _numbers(table[name]) for name in targets}
    long = pd.DataFrame(data)
    for name in targets:
        _refuse_infinities(long, name)
    notes = () if note is None else (note,)
    return long, LayoutReport(channels=tuple(targets), ignored=ignored, notes=notes)


def _timestamp_column(columns: Sequence[str], wanted: str | None) -> str:
    """Find the column of the timestamps."""
    if wanted is not None:
        return find_column(wanted, columns, "ingestion.timestamp_column")
    named = [column for column in columns if column.casefold() == "timestamp"]
    alike = [column for column in columns if column.casefold() in _TIME_NAMES]
    for candidates in (named, alike):
        if len(candidates) == 1:
            return candidates[0]
    which = f"several could be ({', '.join(named or alike)})" if named or alike else "none is known"
    raise IngestionError(
        f"which column holds the timestamps? {which}; {columns_found(columns)}. "
        "Name it in ingestion.timestamp_column"
    )


def _item_id_column(columns: Sequence[str], wanted: str | None) -> str | None:
    """Find the column that tells series apart, if there is one."""
    if wanted is not None:
        return find_column(wanted, columns, "ingestion.item_id_column")
    return "item_id" if "item_id" in columns else None


def _items(table: pd.DataFrame, name: str | None, default: str) -> np.ndarray:
    """Series of each row. Shape ``(N,)``."""
    if name is None:
        return np.full(len(table), default, dtype=object)
    column = table[name]
    missing = column.isna().to_numpy()
    if missing.any():
        raise IngestionError(
            f"column {name!r} names no series at {first_rows(missing, column)}; fill or remove "
            "these rows"
        )
    return column.map(str).to_numpy(dtype=object)


def _targets(
    table: pd.DataFrame,
    columns: Sequence[str],
    keys: tuple[str | None, ...],
    wanted: Sequence[str] | None,
) -> tuple[list[str], dict[str, str]]:
    """Columns to take as channels, and the reason for each one left out."""
    others = [column for column in columns if column not in keys]
    if wanted is not None:
        chosen = [find_column(name, columns, "ingestion.target_columns") for name in wanted]
        if clash := [name for name in chosen if name in keys or name in KEYS]:
            raise IngestionError(
                f"ingestion.target_columns names {', '.join(clash)}, which cannot be a channel: "
                "timestamps, series and the names item_id and timestamp are reserved"
            )
        return chosen, {name: "not asked for" for name in others if name not in chosen}
    reasons = {name: _why_not(name, table[name]) for name in others}
    ignored = {name: reason for name, reason in reasons.items() if reason is not None}
    targets = [name for name in others if name not in ignored]
    if not targets:
        listed = "; ".join(f"{name}: {reason}" for name, reason in ignored.items())
        raise IngestionError(
            f"no numeric column to forecast; {columns_found(columns)}. Left out: {listed or '-'}. "
            "Give numbers, or name the columns in ingestion.target_columns"
        )
    return targets, ignored


def _refuse_pooled(targets: Sequence[str]) -> None:
    """Raise if a channel is called what tables call all channels together."""
    if POOLED in targets:
        raise IngestionError(
            f"a column is called {POOLED!r}, which names all channels together in every table: "
            "rename it in the file, or leave it out of ingestion.target_columns"
        )


def _why_not(name: str, column: pd.Series) -> str | None:
    """Why a column is no channel by default; ``None`` if it is one."""
    if name in KEYS:
        return "its name is reserved"
    if column.isna().all():
        return "empty"
    if pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        return "flag"
    if pd.api.types.is_numeric_dtype(column.dtype):
        return None
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "date"
    if _NEARLY <= pd.to_numeric(column.dropna(), errors="coerce").notna().mean() < 1:
        _numbers(column)  # says which cells are no numbers: a column is not lost to a few of them
    return f"text, such as {str(column.dropna().iloc[0])!r}"


def _numbers(column: pd.Series) -> np.ndarray:
    """A column as float64, NaN where missing. Shape ``(N,)``."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = pd.to_numeric(column, errors="coerce")
    blank = column.isna() | (column.map(str).str.strip() == "")
    date = pd.api.types.is_datetime64_any_dtype(column.dtype)
    bad = (~blank if date else numbers.isna() & ~blank).to_numpy()
    if bad.any():
        raise IngestionError(
            f"column {column.name!r} holds what is no number, first at {first_rows(bad, column)}; "
            "correct it, leave the cell empty where a value is missing, or leave the column out of "
            "ingestion.target_columns"
        )
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _refuse_infinities(long: pd.DataFrame, name: str) -> None:
    """Raise if a channel holds an infinite value."""
    bad = long.loc[np.isinf(long[name].to_numpy()), ["item_id", "timestamp"]]
    if len(bad):
        rows = (f"series {row.item_id!r} at {row.timestamp}" for row in bad.itertuples())
        raise IngestionError(
            f"column {name!r} holds infinite values: {first_of(rows, len(bad))}; write them as "
            "empty cells if they are missing, else correct them"
        )
