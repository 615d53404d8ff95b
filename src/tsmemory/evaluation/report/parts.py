"""What a report is made of: cells, tables, charts, sections."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

MOST_ROWS = 24  # of a table on the page; the data hold all
Tone = Literal["", "best", "faint", "good", "bad"]


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What it says.
        note: What it says in small print, for example an interval.
        tone: How it stands out; the page says it in words too.
    """

    text: str
    note: str = ""
    tone: Tone = ""


Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table of the page, and its figures as data.

    Attributes:
        name: Name among the data.
        caption: What it shows.
        columns: Heads; the first column names the rows.
        rows: At most ``MOST_ROWS`` lines.
        data: All figures behind it, values that JSON knows.
        left_out: Lines that the page has no room for.
        folded: Whether the page shows it only when asked.
        prose: Whether cells hold words rather than numbers.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    data: Any
    left_out: int = 0
    folded: bool = False
    prose: bool = False

    @classmethod
    def bounded(
        cls, name: str, caption: str, columns: tuple[str, ...], rows: Sequence[Row], **more: Any
    ) -> "Table":
        """A table of as many lines as there is room for, half from either end."""
        left_out = len(rows) - MOST_ROWS
        if left_out > 0:
            rows = [*rows[: MOST_ROWS // 2], *rows[-MOST_ROWS // 2 :]]
        return cls(name, caption, columns, tuple(rows), left_out=max(left_out, 0), **more)


@dataclass(frozen=True)
class Chart:
    """A figure of the page.

    Attributes:
        name: Its name on the page.
        caption: What it shows, for everybody; readers of screens get nothing else.
        figure: A plotly figure.
    """

    name: str
    caption: str
    figure: Any


@dataclass(frozen=True)
class Tile:
    """One figure that is worth large print."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: Its anchor, and its name among the data.
        title: A few words.
        text: Paragraphs above its tables.
        tables: Tables, in order.
        charts: Figures, above the tables.
    """

    name: str
    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything that a report says.

    Attributes:
        domain: Name of the dataset.
        made_at: When, UTC.
        verdict: Two sentences.
        warnings: What a reader has to know before trusting the tables.
        tiles: The figures that matter most.
        sections: The rest, in the order in which a forecaster reads.
        figures: File beside the page that holds the figures behind its tables.
    """

    domain: str
    made_at: str
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]
    tiles: tuple[Tile, ...] = ()
    sections: tuple[Section, ...] = field(default=())
    figures: str = "report.json"


def grid(frame: pd.DataFrame, row: str, column: str, value: str) -> dict[tuple[Any, Any], float]:
    """Values of a table by the names of two of its columns."""
    cells = zip(frame[row].tolist(), frame[column].tolist(), frame[value].tolist(), strict=True)
    return {(first, second): float(number) for first, second, number in cells}


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Lines of a table as values that JSON knows, missing ones as ``None``."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [
        {str(k): v.item() if hasattr(v, "item") else v for k, v in line.items()}
        for line in plain.to_dict("records")
    ]
