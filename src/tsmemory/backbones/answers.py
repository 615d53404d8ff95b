"""What identifies the answers of a backbone: whatever could change them, and nothing else."""

import ast
import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tsmemory.fingerprint import digest, installed_versions, sha256_of_file
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows

_LIBRARIES = ("chronos-forecasting", "numpy", "torch", "transformers")
_BATCH = 4096  # contexts in memory at a time


class Fingerprinted(Protocol):
    """A backbone, as far as it is asked about here."""

    fingerprint: str


def answers_key(
    backbone: Fingerprinted,
    windows: Windows,
    series: SeriesSet,
    *,
    horizon: int | None,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Digest all that a backbone's answers about windows follow from.

    Only the values of the contexts count, not where they lie: rows that are appended to a series,
    other windows, and the rest of the project's code change nothing. A backbone that looks its
    forecasts up depends on the place as well.

    Args:
        backbone: The backbone.
        windows: N windows.
        series: The rows they lie on.
        horizon: Steps that are forecast; ``None`` for embeddings alone.
        settings: What it was loaded with, as far as its fingerprint does not say it.

    Returns:
        The digest.
    """
    settings = dict(settings or {})
    device = settings.pop("device", None) or getattr(backbone, "device", "")
    kinds = list(_kinds_in(backbone))
    parts: dict[str, Any] = {
        "backbone": backbone.fingerprint,
        "kinds": [f"{kind.__module__}.{kind.__qualname__}" for kind in kinds],
        "settings": settings,
        # The second of two GPUs answers as the first one does.
        "device": str(device).partition(":")[0],
        "code": [_code_digest(kind.__module__) for kind in kinds],
        "libraries": installed_versions(_LIBRARIES),
        "contexts": _contexts_digest(windows, series),
        "horizon": horizon,
    }
    if getattr(backbone, "needs_origins", False):
        parts["places"] = [windows.fingerprint(series), _rows(series)]
    return digest(parts)


def _kinds_in(backbone: Fingerprinted) -> Iterator[type]:
    """Classes of a backbone and of those that it is wrapped around."""
    yield type(backbone)
    for value in getattr(backbone, "__dict__", {}).values():
        if hasattr(value, "fingerprint") and hasattr(value, "encode_and_predict"):
            yield from _kinds_in(value)


def source_files(module: str) -> dict[str, Path]:
    """The source of a module and of everything that it imports from its own package.

    Imports inside functions count. The package's own ``__init__`` does not: it only names what lies
    elsewhere.

    Args:
        module: Full name of the module.

    Returns:
        Files by the names of their modules.
    """
    package = module.partition(".")[0]
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = None if name in found else _file_of(name)
        if path is None or (name == package != module):
            continue
        found[name] = path
        waiting.append(name.rpartition(".")[0] or package)
        imported = _imports(name, path)
        waiting += [other for other in imported if other.partition(".")[0] == package]
    return found


@functools.cache
def _code_digest(module: str) -> str:
    # Once in a process: it runs the code that it has imported, whatever is edited meanwhile.
    return digest({name: sha256_of_file(path) for name, path in source_files(module).items()})


def _file_of(name: str) -> Path | None:
    """Source file of a module; ``None`` for a name inside of one and for compiled modules."""
    try:
        spec = find_spec(name)
    except (ModuleNotFoundError, ValueError):
        return None
    source = None if spec is None else spec.origin
    return Path(source) if source is not None and source.endswith(".py") else None


def _imports(name: str, path: Path) -> Iterator[str]:
    """Full names of what a module imports: modules, and perhaps names inside of them."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = resolve_name(base, package) if node.level else base
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _contexts_digest(windows: Windows, series: SeriesSet) -> str:
    """SHA-256 of the contexts, one after another."""
    sha = hashlib.sha256(f"{len(windows)}x{windows.context_length}".encode())
    for part in windows.batches(_BATCH):
        sha.update(np.ascontiguousarray(part.contexts(series)).tobytes())
    return sha.hexdigest()


def _rows(series: SeriesSet) -> dict[str, list[str]]:
    """All that is known of the rows but their values, which the windows' fingerprint covers."""
    known = {field.name: getattr(series, field.name) for field in fields(series)}
    del known["flat"]
    return {
        name: [str(entry) for entry in np.asarray(value).ravel().tolist()]
        for name, value in known.items()
    }
