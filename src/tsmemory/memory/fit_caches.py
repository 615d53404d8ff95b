"""Where a fit keeps its long work."""

from pathlib import Path
from typing import NamedTuple

from tsmemory.scaleout.content_cache import ContentCache
from tsmemory.scaleout.shards import ShardCache


class Caches(NamedTuple):
    """Where long work is kept.

    Attributes:
        workspace: Unfinished work.
        answers: What the backbone said; ``None`` where no later fit will find it.
    """

    workspace: ShardCache
    answers: ContentCache | None

    @classmethod
    def under(cls, folder: Path, *, lasting: bool) -> "Caches":
        """Below a folder; ``lasting`` if that will be there at the next fit."""
        answers = ContentCache(folder / "backbone_answers") if lasting else None
        return cls(ShardCache(folder / "workspace"), answers)

    def answers_of(self, part: str) -> ContentCache | None:
        """Where a part of the backbone's answers is kept."""
        return None if self.answers is None else self.answers.part(part)
