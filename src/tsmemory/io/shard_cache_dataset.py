"""A catalog entry for the scratch space of work that runs in shards."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io.core import AbstractDataset, DatasetError

from tsmemory.scaleout.shards import ShardCache


class ShardCacheDataset(AbstractDataset[NoReturn, ShardCache]):
    """Hands a node its :class:`ShardCache`: a free input of the pipeline, never an output.

    What lies in the cache is no input of the computation, only a head start, so that it takes no
    part in fingerprints.

    Example:
        ```yaml
        teacher_shards:
          type: tsmemory.io.ShardCacheDataset
          filepath: data/05_teacher/my_domain/shards
        ```
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder.

        Args:
            filepath: Scratch folder. (By this name Kedro makes it absolute in the project that
                runs.)
            metadata: Free; Kedro-Viz reads its layer here.
        """
        self._folder = Path(filepath)
        self.metadata = metadata

    def load(self) -> ShardCache:
        """Return the cache; the folder is made when the cache is opened."""
        return ShardCache(self._folder)

    def save(self, data: NoReturn) -> None:
        """Refuse: shards are written by the work itself.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(
            f"the shard cache {self._folder} cannot be saved; make it an input of the node, "
            "which writes its shards by tsmemory.scaleout.shards.map_shards"
        )

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"folder": self._folder}
