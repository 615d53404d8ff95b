"""Text that is whole or absent."""

import os
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io.core import AbstractVersionedDataset, DatasetError, Version


class AtomicTextDataset(AbstractVersionedDataset[str, str]):
    """A local text file, an HTML page for one, written in one step."""

    def __init__(
        self,
        *,
        filepath: str,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe the file; nothing is read yet.

        Args:
            filepath: The file, UTF-8; when versioned, the folder that holds the versions.
            version: Set by Kedro for ``versioned: true``.
            metadata: Free; Kedro-Viz reads its layer here.
        """
        super().__init__(PurePosixPath(filepath), version)
        self.metadata = metadata

    def load(self) -> str:
        """Read the text.

        Raises:
            DatasetError: The file does not exist.
        """
        path = Path(self._get_load_path())
        if not path.is_file():
            raise DatasetError(f"{path} does not exist; run the pipeline that makes it first")
        return path.read_text(encoding="utf-8")

    def save(self, data: str) -> None:
        """Write beside the place and move there, so that a kill leaves no half of a file.

        Raises:
            DatasetError: The data are no text.
        """
        if not isinstance(data, str):
            raise DatasetError(f"expected text, got a {type(data).__qualname__}")
        path = Path(self._get_save_path())
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.saving")
        partial.write_text(data, encoding="utf-8", newline="")
        os.replace(partial, path)

    def _exists(self) -> bool:
        return Path(self._get_load_path()).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "version": self._version}
