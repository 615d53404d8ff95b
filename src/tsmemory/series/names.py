"""What files and series are called."""

from pathlib import Path

POOLED = "all"  # what tables and the datastore call all channels together

_ENDINGS = (".gz", ".csv", ".parquet")


def stem(path: str | Path) -> str:
    """Return a file's name without folder and endings, ``sales.csv.gz`` being ``sales``."""
    path = Path(path)
    while path.suffix.lower() in _ENDINGS:
        path = path.with_suffix("")
    return path.name
