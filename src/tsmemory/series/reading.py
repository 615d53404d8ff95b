"""Reading of CSV and Parquet files into tables."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tsmemory.fingerprint import sha256_of_file
from tsmemory.series.errors import IngestionError

SUFFIXES = (".csv", ".csv.gz", ".parquet")


@dataclass(frozen=True)
class RawTable:
    """A table as its file holds it.

    Attributes:
        path: The file.
        sha256: SHA-256 of the file's bytes, in hexadecimal.
        frame: Its rows and columns, untouched.
    """

    path: Path
    sha256: str
    frame: pd.DataFrame


def read_raw(path: str | Path) -> RawTable:
    """Read a file together with its checksum; errors are those of :func:`read_table`."""
    frame = read_table(path)
    return RawTable(path=Path(path), sha256=sha256_of_file(path), frame=frame)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV (plain or gzip) or Parquet file.

    Args:
        path: A ``.csv``, ``.csv.gz`` or ``.parquet`` file; the case of the ending does not matter.

    Returns:
        The table. A named index that a Parquet file carries becomes ordinary columns.

    Raises:
        IngestionError: The file is missing, of another kind, unreadable or empty.
    """
    path = Path(path)
    if not path.name.lower().endswith(SUFFIXES):
        raise IngestionError(
            f"{path}: cannot tell the format from the name; give a file that ends in "
            f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        )
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "no such file"
        raise IngestionError(f"{path}: {what}; put it there or correct ingestion.path")
    frame = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    frame.columns = frame.columns.map(str)
    if frame.empty:
        raise IngestionError(f"{path}: the table has no rows; give a file that holds data")
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file, refusing what pandas cannot make a table of."""
    gzipped = path.suffix.lower() == ".gz"
    try:
        # Every name of a missing value is known to pandas; low_memory would type by chunks.
        return pd.read_csv(path, low_memory=False, compression="gzip" if gzipped else None)
    except pd.errors.EmptyDataError as error:
        raise IngestionError(f"{path}: the file is empty; give a file that holds data") from error
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, EOFError) as error:
        raise IngestionError(
            f"{path}: not readable as CSV ({_brief(error)}); save it as comma-separated UTF-8 text "
            "with one header line"
        ) from error


def _read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file, refusing damaged ones."""
    import pyarrow as pa

    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise IngestionError(
            f"{path}: not readable as Parquet ({_brief(error)}); write the file again"
        ) from error
    return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()


def _brief(error: BaseException) -> str:
    """First line of an error's message."""
    lines: list[Any] = str(error).strip().splitlines()
    return str(lines[0]) if lines else type(error).__name__
