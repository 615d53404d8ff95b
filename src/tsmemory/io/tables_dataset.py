"""New data, in one file or in many, as a Kedro dataset that reads none of them yet."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from tsmemory.series.partitions import Partitions, find_partitions


class TablesDataset(AbstractDataset[NoReturn, Partitions]):
    """Finds the CSV and Parquet files of a folder, or takes a single one.

    Example:
        .. code-block:: yaml

            new_tables:
              type: tsmemory.io.TablesDataset
              filepath: data/01_raw/new_sales
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the file or folder.

        Args:
            filepath: A ``.csv``, ``.csv.gz`` or ``.parquet`` file, or a folder of such.
            metadata: Ignored; for kedro-viz.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Partitions:
        """Find the files.

        Raises:
            IngestionError: There is none.
        """
        return find_partitions(self._filepath)

    def save(self, data: NoReturn) -> None:
        """Refuse: raw data are never written.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{self._filepath}: new data are read, never written")

    def preview(self, nrows: int = 5) -> TablePreview:
        """First rows of the first file, for kedro-viz.

        Args:
            nrows: Number of rows.

        Returns:
            Columns and rows as text and numbers.
        """
        head = find_partitions(self._filepath).files[0].read().head(nrows)
        plain = head.astype(dict.fromkeys(head.select_dtypes(exclude="number"), str))
        shown = plain.astype(object).where(head.notna(), None)
        return TablePreview(shown.to_dict(orient="split"))

    def content_fingerprint(self) -> str | None:
        """Digest of all files, by which a resumed run knows whether one changed."""
        return find_partitions(self._filepath).fingerprint() if self._exists() else None

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}
