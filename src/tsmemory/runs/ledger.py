"""The ledger: what each saved artefact was made from, and what it looked like when it was whole."""

import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tsmemory.fingerprint import sha256_of_path

FORMAT = 1
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Everything that an artefact depends on, however far upstream; kept for readable messages.

    Attributes:
        parameters: Values by their dotted path.
        sources: Content fingerprints of the data that no pipeline makes, by dataset name.
        code: Digests of the source code, by package or file.
        packages: Versions of the libraries that matter.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str | None] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)

    def differences(self, now: "Recipe") -> list[str]:
        """Say in words what has changed since this recipe.

        Args:
            now: The recipe that is asked for.

        Returns:
            One short text for each difference: parameters first, by their dotted paths.
        """
        texts = _changes(self.parameters, now.parameters)
        for name in sorted({*self.sources, *now.sources}):
            if self.sources.get(name) != now.sources.get(name):
                texts.append(f"the content of {name} changed")
        texts += [f"package {text}" for text in _changes(self.packages, now.packages)]
        if self.code != now.code:
            texts.append("the source code changed")
        return texts


@dataclass(frozen=True)
class Entry:
    """One artefact as it was saved.

    Attributes:
        dataset: Name in the catalog.
        fingerprint: Digest of its recipe (see :mod:`tsmemory.runs.plan`).
        path: Where it lies, relative to the project where possible.
        version: Kedro's version, or ``None`` for an unversioned dataset.
        sha256: Digest of the content.
        bytes: Size on disk.
        made_at: Time of saving, ISO 8601, UTC.
        node: Node that made it.
        recipe: What it was made from.
    """

    dataset: str
    fingerprint: str
    path: str
    version: str | None
    sha256: str
    bytes: int
    made_at: str
    node: str
    recipe: Recipe

    def is_whole(self, path: Path) -> bool:
        """Whether the content at ``path`` is still what was saved."""
        return path.exists() and size_of(path) == self.bytes and sha256_of_path(path) == self.sha256


class Ledger:
    """Entries of one domain in one JSON file, rewritten in one step at every change."""

    def __init__(self, path: Path) -> None:
        """Name the file; it need not exist yet."""
        self.path = path
        self._lock = threading.Lock()

    def entries(self, dataset: str | None = None) -> list[Entry]:
        """Read the entries, oldest first.

        Args:
            dataset: Only those of one dataset.

        Returns:
            The entries; none, with a warning, where the file cannot be read.
        """
        try:
            record = json.loads(self.path.read_text(encoding="utf-8"))
            if record["format"] != FORMAT:
                raise ValueError(f"format {record['format']}, expected {FORMAT}")
            lines = [
                Entry(**line | {"recipe": Recipe(**line["recipe"])}) for line in record["made"]
            ]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be read, so nothing is reused: %s", self.path, error)
            return []
        return [line for line in lines if dataset in (None, line.dataset)]

    def add(self, entry: Entry) -> None:
        """Remember an artefact; an older entry of the same recipe and version gives way."""
        with self._lock:
            key = (entry.dataset, entry.fingerprint, entry.version)
            kept = [e for e in self.entries() if (e.dataset, e.fingerprint, e.version) != key]
            record = {"format": FORMAT, "made": [asdict(e) for e in [*kept, entry]]}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.saving")
            partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            os.replace(partial, self.path)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describe how two flat mappings differ."""
    texts = []
    for key in sorted({*old, *new}):
        before, after = old.get(key, "(unset)"), new.get(key, "(unset)")
        if before != after:
            texts.append(f"{key}: {before} -> {after}")
    return texts
