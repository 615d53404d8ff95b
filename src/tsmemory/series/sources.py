"""Where a raw file is, and how it is fetched if its user agrees."""

import logging
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from uuid import uuid4

from tsmemory.fingerprint import sha256_of_file
from tsmemory.series.errors import IngestionError

logger = logging.getLogger(__name__)

_TIMEOUT = 30.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """Where a public file can be had.

    Attributes:
        url: Its address.
        sha256: SHA-256 that its bytes must have, in hexadecimal.
        variable: Environment variable that may hold the path of a local copy.
    """

    url: str
    sha256: str
    variable: str | None = None


def locate(path: str | Path, *, source: Source | None = None, download: bool = False) -> Path:
    """Return the path of a raw file that exists.

    Args:
        path: Where the file should be.
        source: Where it can be had if it is missing.
        download: Whether the user agrees to a download.

    Returns:
        ``path``. A file that differs from its source's checksum is used, with a warning.

    Raises:
        IngestionError: The file is missing and may not, or cannot, be downloaded; says how to
            place it.
    """
    path = Path(path)
    if path.exists():
        _compare(path, source)
        return path
    if source is None:
        raise IngestionError(
            f'{path}: no such file; put it there, or say where it is with --params "ingestion.path='
            '<file>"'
        )
    if not download:
        raise IngestionError(f"{path}: no such file; {_ways(source)}")
    _download(path, source)
    return path


def _compare(path: Path, source: Source | None) -> None:
    """Warn if a file is not the one that its source gives."""
    if source is None or not path.is_file():
        return
    found = sha256_of_file(path)
    if found != source.sha256:
        logger.warning(
            "%s has sha256 %s, the file at %s has %s: results may differ from published ones",
            path,
            found,
            source.url,
            source.sha256,
        )


def _ways(source: Source) -> str:
    """Say how a missing file can be given."""
    variable = f" or the environment variable {source.variable}" if source.variable else ""
    return (
        "(1) put it there; (2) say where it is with "
        f'--params "ingestion.path=<file>"{variable}; or (3) let it be downloaded with '
        f'--params "ingestion.download=true", which fetches {source.url} and checks its sha256'
    )


def _download(path: Path, source: Source) -> None:
    """Fetch a file, check it, and only then put it in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
    logger.info("Downloading %s to %s", source.url, path)
    try:
        with (
            urllib.request.urlopen(source.url, timeout=_TIMEOUT) as response,
            partial.open("wb") as file,
        ):
            while chunk := response.read(_CHUNK):
                file.write(chunk)
        found = sha256_of_file(partial)
        if found != source.sha256:
            raise IngestionError(
                f"{path}: the file at {source.url} has sha256 {found} instead of {source.sha256}; "
                "it was not kept. Get the right file by hand and put it there"
            )
        os.replace(partial, path)
    except (urllib.error.URLError, HTTPException, OSError) as error:
        raise IngestionError(
            f"{path}: could not be downloaded from {source.url} ({error}); check the network, or "
            "get the file by hand and put it there"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
