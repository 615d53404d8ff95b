"""A catalog entry for what another pipeline may have made, or not yet."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io.core import DatasetError
from kedro_datasets._typing import JSONPreview

from tsmemory.fingerprint import digest, sha256_of_path
from tsmemory.io.folder_dataset import FolderDataset

NOTHING = "nothing yet"  # stands for the content of what is not there


class OptionalFolderDataset(FolderDataset):
    """Reads what a :class:`FolderDataset` has written; ``None`` where there is nothing.

    It is a free input that counts by its content: a run that finds it changed, or there for the
    first time, does anew what depends on it, and a run without it needs no other pipeline first.

    Example:
        ```yaml
        trace_rows:
          type: tsmemory.io.OptionalFolderDataset
          filepath: data/07_model_output/my_domain/trace_scores
          kind: tsmemory.evaluation.trace_scores.TraceScores
        ```
    """

    def load(self) -> Any:
        """Read the object; ``None`` where there is none."""
        return super().load() if self._exists() else None

    def save(self, data: NoReturn) -> None:
        """Refuse: the pipeline that makes it has an entry of its own.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{self._filepath} is read here, and written under another name")

    def preview(self) -> JSONPreview:
        """The summary as JSON text, for Kedro-Viz; ``null`` where there is nothing."""
        return super().preview() if self._exists() else JSONPreview("null")

    def content_fingerprint(self) -> str:
        """Digest of what is there now, nothing included."""
        return sha256_of_path(self._folder) if self._exists() else digest(NOTHING)

    @property
    def _folder(self) -> Path:
        return Path(self._get_load_path())
