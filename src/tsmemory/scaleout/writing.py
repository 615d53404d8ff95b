"""Files that are written in one step."""

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a text file, in a folder that is made if need be; a kill leaves the old one or none.

    Args:
        path: The file.
        text: All of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.saving")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
