"""Resolvers for the configuration: ``${domain:…}``, ``${data_file:…}`` and ``${first:…}``."""

import os
import re
from pathlib import Path
from typing import Any

from tsmemory.series.names import stem

RAW_FOLDER = "data/01_raw"


def domain(explicit: str | None, path: str | None) -> str:
    """Name the domain that a run serves; its artefacts live under ``data/<layer>/<domain>/``.

    Args:
        explicit: The name that the configuration or the user gives, or nothing.
        path: The input file, whose stem is the domain where no name is given.

    Returns:
        A lower-case name of letters, digits and single underscores; ``data`` where nothing is left.
    """
    name = str(explicit) if explicit else stem(str(path or ""))
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_") or "data"


def data_file(name: str, variable: str) -> str:
    """Locate a raw file that an environment variable may place elsewhere.

    Args:
        name: File name, for example ``ETTh1.csv``.
        variable: Environment variable that holds the file, or the folder that it lies in.

    Returns:
        The variable's file where it is set, otherwise the file in ``data/01_raw``.
    """
    place = os.environ.get(variable)
    if not place:
        return f"{RAW_FOLDER}/{name}"
    path = Path(place).expanduser()
    return (path / name if path.is_dir() else path).as_posix()


def first(*values: Any) -> Any:
    """Take the first value that is given.

    Args:
        *values: For example a runtime parameter, the setting of an environment, a default.

    Returns:
        The first that is not null; ``None`` if all are.
    """
    return next((value for value in values if value is not None), None)
