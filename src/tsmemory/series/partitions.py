"""A table in one file or in many: new data, of which one file at a time is held."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tsmemory.fingerprint import digest, known_sha256
from tsmemory.series.errors import IngestionError, first_of
from tsmemory.series.names import stem
from tsmemory.series.reading import SUFFIXES, read_table


@dataclass(frozen=True)
class Partition:
    """One file.

    Attributes:
        name: Its place in the folder without the ending, ``north/shop_1``.
        path: The file.
        keys: Columns that its folders name, as in ``region=north/shop_1.parquet``.
    """

    name: str
    path: Path
    keys: tuple[tuple[str, str], ...] = ()

    def read(self) -> pd.DataFrame:
        """Read the table; a column that only a folder names is added.

        Raises:
            IngestionError: See :func:`tsmemory.series.reading.read_table`.
        """
        table = read_table(self.path)
        return table.assign(**{key: v for key, v in self.keys if key not in table.columns})


@dataclass(frozen=True)
class Partitions:
    """The files of a table.

    Attributes:
        path: The file, or the folder that was searched.
        files: At least one, by name.
    """

    path: Path
    files: tuple[Partition, ...]

    def fingerprint(self) -> str:
        """Digest of names and contents."""
        return digest({file.path.name + file.name: known_sha256(file.path) for file in self.files})


def find_partitions(path: str | Path) -> Partitions:
    """Find the tables in a file or, however deep, in a folder.

    Args:
        path: A ``.csv``, ``.csv.gz`` or ``.parquet`` file, or a folder of such; in a folder, other
            files and what begins with ``.`` or ``_`` are left alone.

    Returns:
        The files, of which nothing has been read yet.

    Raises:
        IngestionError: There is nothing, or no table in the folder.
    """
    path = Path(path)
    if not path.exists():
        raise IngestionError(
            f'{path}: no such file or folder; put it there, or say where it is with --params "'
            'forecasting.path=<file or folder>"'
        )
    if not path.is_dir():
        return Partitions(path, (Partition(stem(path), path),))
    files = sorted(file for file in path.rglob("*") if _is_table(file, path))
    if not files:
        others = sorted(file.name for file in path.iterdir())
        found = f"found: {first_of(others, len(others))}" if others else "it is empty"
        raise IngestionError(
            f"{path}: no table in this folder ({found}); put files there that end in "
            f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        )
    bare = Counter(_bare(file, path) for file in files)
    return Partitions(path, tuple(_partition(file, path, bare) for file in files))


def _is_table(file: Path, root: Path) -> bool:
    parts = file.relative_to(root).parts
    hidden = any(part.startswith((".", "_")) for part in parts)
    return not hidden and file.name.lower().endswith(SUFFIXES) and file.is_file()


def _bare(file: Path, root: Path) -> str:
    """Place in the folder, without the ending."""
    return (file.relative_to(root).parent / stem(file)).as_posix()


def _partition(file: Path, root: Path, bare: Counter[str]) -> Partition:
    """Two files that differ only in their endings keep them in their names."""
    place = file.relative_to(root)
    name = _bare(file, root) if bare[_bare(file, root)] == 1 else place.as_posix()
    pairs = (part.partition("=") for part in place.parent.parts)
    return Partition(name, file, tuple((key, value) for key, mark, value in pairs if mark and key))
