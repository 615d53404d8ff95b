"""A catalog entry for what is kept by content from run to run."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io.core import AbstractDataset, DatasetError

from tsmemory.scaleout.content_cache import ContentCache


class ContentCacheDataset(AbstractDataset[NoReturn, ContentCache]):
    """Hands a node its :class:`ContentCache`: a free input of the pipeline, never an output.

    Whether the cache holds an answer does not change it, so that it takes no part in fingerprints.

    Example:
        ```yaml
        backbone_answers:
          type: tsmemory.io.ContentCacheDataset
          filepath: data/04_datastore/my_domain/backbone_answers
        ```
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder.

        Args:
            filepath: Folder of the cache. (By this name Kedro makes it absolute in the project that
                runs.)
            metadata: Free; Kedro-Viz reads its layer here.
        """
        self._folder = Path(filepath)
        self.metadata = metadata

    def load(self) -> ContentCache:
        """Return the cache; the folder is made when something is stored."""
        return ContentCache(self._folder)

    def save(self, data: NoReturn) -> None:
        """Refuse: entries are written by the work itself.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(
            f"the cache {self._folder} cannot be saved; make it an input of the node, which stores "
            "its entries by ContentCache.store"
        )

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"folder": self._folder}
