"""What is said when input cannot be used: always what, where, and what to do."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from itertools import compress, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tsmemory.errors import UserError

SHOWN = 3
_ABOUT: ContextVar[str | None] = ContextVar("about", default=None)


class IngestionError(UserError):
    """Input that cannot become a panel; its message says where it fails and what to do."""


@contextmanager
def about_file(path: str | Path) -> Iterator[None]:
    """Put a file's name in front of every ingestion error raised inside, and of warnings.

    Args:
        path: The file that the work inside is about.

    Raises:
        IngestionError: Whatever was raised, with the file named.
    """
    outside = _ABOUT.set(str(path))
    try:
        yield
    except IngestionError as error:
        raise IngestionError(f"{path}: {error}") from error
    finally:
        _ABOUT.reset(outside)


def of_file(sentence: str) -> str:
    """A warning with the name of the file that the work is about, if it is about one."""
    path = _ABOUT.get()
    return sentence if path is None else f"{path}: {sentence}"


def first_of(offenders: Iterable[str], total: int) -> str:
    """Join the first few offenders and count the others.

    Args:
        offenders: Descriptions, the first of which are shown.
        total: Number of offenders in all.

    Returns:
        For instance ``"row 3: 'x'; row 9: 'y'; row 12: 'z' (and 40 more)"``.
    """
    shown = list(islice(offenders, SHOWN))
    more = total - len(shown)
    return "; ".join(shown) + (f" (and {more} more)" if more > 0 else "")


def first_rows(bad: NDArray[np.bool_], values: Iterable[object]) -> str:
    """Show the first offending rows of a column.

    Args:
        bad: Which rows offend. Shape ``(N,)``.
        values: What all rows hold. Shape ``(N,)``.

    Returns:
        Row numbers, counted from 1 without the header, with what they hold.
    """
    numbered = enumerate(compress(values, bad))
    where = np.flatnonzero(bad) + 1
    rows = (f"row {where[i]}: {_shown(value)}" for i, value in numbered)
    return first_of(rows, len(where)) + " (rows counted without the header)"


def _shown(value: object) -> str:
    """A value as a message shows it."""
    text = str(value)
    return "(empty)" if text in ("", "nan", "None", "NaT", "<NA>") else repr(text)


def find_column(name: str, columns: Sequence[str], setting: str) -> str:
    """Return the column if the table has it.

    Args:
        name: The column asked for.
        columns: The columns of the table.
        setting: The setting that names the column, for the message.

    Returns:
        ``name``.

    Raises:
        IngestionError: The table has no such column; lists those it has and the closest one.
    """
    if name in columns:
        return name
    by_fold = {column.casefold(): column for column in columns}
    close = get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.6)
    hint = f" Did you mean {by_fold[close[0]]!r}?" if close else ""
    raise IngestionError(f"no column {name!r} ({setting}); {columns_found(columns)}.{hint}")


def columns_found(columns: Sequence[str]) -> str:
    """Say which columns a table has."""
    found = f"columns found: {', '.join(columns)}"
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        found += " (one column only: separate the fields by commas)"
    return found
