"""A saved model as its files, to be kept and handed on without being read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CONFIG = "config.json"


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model's folder.

    Attributes:
        files: Content by name; ``config.json`` is among them.
    """

    files: Mapping[str, bytes]

    def summary(self) -> dict[str, Any]:
        """Its configuration and the sizes of its files, for the catalog's preview."""
        sizes = {name: len(content) for name, content in self.files.items()}
        return {"bytes": sizes, "config": json.loads(self.files[_CONFIG])}

    def save_pretrained(self, folder: Path) -> None:
        """Write the files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "ModelFiles":
        """Read the files."""
        return cls({file.name: file.read_bytes() for file in sorted(folder.iterdir())})
