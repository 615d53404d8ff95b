"""Fingerprints: short, stable digests that tie an artefact to what it was made from."""

import functools
import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

_CHUNK = 1 << 20

# Libraries whose version changes numbers.
NUMERIC_PACKAGES = (
    "chronos-forecasting",
    "faiss-cpu",
    "numpy",
    "pandas",
    "torch",
    "transformers",
)


def digest(value: Any) -> str:
    """Digest a JSON-like value, independent of the order of its keys.

    Args:
        value: Anything made of mappings, sequences, strings, numbers, booleans, paths and ``None``.

    Returns:
        The first 16 hexadecimal digits of the SHA-256 of its canonical JSON.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Digest named arrays by their dtype, shape and bytes.

    Args:
        arrays: Arrays by name; memory-mapped ones are read in place.

    Returns:
        The first 16 hexadecimal digits of the SHA-256.
    """
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
        sha.update(array.reshape(-1).view(np.uint8).data)  # in place: it may be large
    return sha.hexdigest()[:16]


def sha256_of_file(path: str | Path) -> str:
    """Return the full SHA-256 of a file's bytes in hexadecimal."""
    sha = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def known_sha256(path: str | Path) -> str:
    """Return :func:`sha256_of_file`, reading a file again only when it was written since.

    For large files that are asked about many times in one process, such as weights.
    """
    about = Path(path).stat()
    seen = (about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
    return _sha256_as_seen(Path(path).resolve(), seen)


@functools.lru_cache(maxsize=256)
def _sha256_as_seen(path: Path, _seen: tuple[int, ...]) -> str:
    return sha256_of_file(path)


def sha256_of_path(path: str | Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files with their relative names."""
    path = Path(path)
    if path.is_file():
        return sha256_of_file(path)
    sha = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        sha.update(f"{file.relative_to(path).as_posix()}:{sha256_of_file(file)}\n".encode())
    return sha.hexdigest()


@functools.cache
def installed_versions(names: tuple[str, ...] = NUMERIC_PACKAGES) -> dict[str, str]:
    """Versions of packages, as far as they are installed."""
    found = {}
    for name in sorted(names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def package_digest() -> str:
    """Digest of this package's files, source and bundled weights, by content."""
    return _digest_of_folder(Path(__file__).parent)


@functools.cache
def _digest_of_folder(root: Path) -> str:
    # Once in a process: it runs the code that it has imported, whatever is edited meanwhile.
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return digest(
        {
            path.relative_to(root).as_posix(): known_sha256(path)
            for path in files
            if "__pycache__" not in path.parts
        }
    )


def code_digest() -> str:
    """Digest of all that computes: this package and the libraries whose version matters."""
    return digest({"tsmemory": package_digest(), "packages": installed_versions()})


def _plain(value: Any) -> Any:
    """Turn values that JSON does not know into ones that it does."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"cannot fingerprint a {type(value).__name__}")
