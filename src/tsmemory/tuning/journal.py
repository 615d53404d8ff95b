"""The file that all studies of a domain share."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StudyJournal:
    """Where studies are kept. What lies there is a head start: it takes no part in fingerprints.

    Attributes:
        path: The journal, which ``optuna-dashboard`` reads as well.
    """

    path: Path

    def clear(self) -> None:
        """Nothing: finished studies stay, to be looked at and prolonged."""

    def shown(self) -> str:
        """The path as people should read it: from the working folder where it lies inside."""
        here = Path.cwd()
        path = self.path.relative_to(here) if self.path.is_relative_to(here) else self.path
        return path.as_posix()
