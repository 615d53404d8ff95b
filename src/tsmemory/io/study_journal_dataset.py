"""A catalog entry for the file that studies are kept in."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io.core import AbstractDataset, DatasetError

from tsmemory.tuning.journal import StudyJournal


class StudyJournalDataset(AbstractDataset[NoReturn, StudyJournal]):
    """Hands a node its :class:`StudyJournal`: a free input of the pipeline, never an output.

    A study in it is continued only by runs that would have begun it themselves, so that it takes no
    part in fingerprints.

    Example:
        ```yaml
        studies:
          type: tsmemory.io.StudyJournalDataset
          filepath: data/06_models/my_domain/studies.journal
        ```
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the file.

        Args:
            filepath: The journal. (By this name Kedro makes it absolute in the project that runs.)
            metadata: Free; Kedro-Viz reads its layer here.
        """
        self._path = Path(filepath)
        self.metadata = metadata

    def load(self) -> StudyJournal:
        """Return the journal; the file is made when a study begins."""
        return StudyJournal(self._path)

    def save(self, data: NoReturn) -> None:
        """Refuse: trials are written by the studies themselves.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(
            f"the journal {self._path} cannot be saved; make it an input of the node, whose study "
            "writes to it"
        )

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path}
