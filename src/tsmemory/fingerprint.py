"""Fingerprints: short, stable digests that tie an artefact to what it was made from."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_CHUNK = 1 << 20


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
        sha.update(array.tobytes())
    return sha.hexdigest()[:16]


def sha256_of_file(path: str | Path) -> str:
    """Return the full SHA-256 of a file's bytes in hexadecimal."""
    sha = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def sha256_of_path(path: str | Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files with their relative names."""
    path = Path(path)
    if path.is_file():
        return sha256_of_file(path)
    sha = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        sha.update(f"{file.relative_to(path).as_posix()}:{sha256_of_file(file)}\n".encode())
    return sha.hexdigest()


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
