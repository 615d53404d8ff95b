"""The raw file as a Kedro dataset, so that it has its place in the graph."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from tsmemory.fingerprint import sha256_of_file
from tsmemory.series.reading import RawTable, read_raw, read_table
from tsmemory.series.sources import Source, locate


class RawTableDataset(AbstractDataset[NoReturn, RawTable]):
    """Reads a CSV or Parquet file, fetched from its source if its user agrees.

    Example:
        .. code-block:: yaml

            raw_table:
              type: tsmemory.io.raw_table_dataset.RawTableDataset
              filepath: data/01_raw/ETTh1.csv
              download: false
              source: {url: "https://…/ETTh1.csv", sha256: …, variable: TSMEMORY_ETTH1}
    """

    def __init__(
        self,
        *,
        filepath: str,
        source: dict[str, str] | None = None,
        download: bool = False,
        metadata: dict[str, Any] | None = None,
    ):
        """Describe the file.

        Args:
            filepath: Where the file is or should be.
            source: ``url``, ``sha256`` and perhaps ``variable`` of a public copy.
            download: Whether a missing file may be downloaded.
            metadata: Ignored; for kedro-viz.
        """
        self._filepath = Path(filepath)
        self._source = None if source is None else Source(**source)
        self._download = download
        self.metadata = metadata

    def load(self) -> RawTable:
        """Read the file.

        Returns:
            The table, its path and its checksum.

        Raises:
            DatasetError: The file is missing or unreadable; says what to do.
        """
        return read_raw(locate(self._filepath, source=self._source, download=self._download))

    def save(self, data: NoReturn) -> None:
        """Refuse: raw data are never written.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{self._filepath}: raw data are read, never written")

    def preview(self, nrows: int = 5) -> TablePreview:
        """First rows of the file, for kedro-viz; never downloads.

        Args:
            nrows: Number of rows.

        Returns:
            Columns and rows as text and numbers.
        """
        head = read_table(self._filepath).head(nrows)
        plain = head.astype(dict.fromkeys(head.select_dtypes(exclude="number"), str))
        shown = plain.astype(object).where(head.notna(), None)
        return TablePreview(shown.to_dict(orient="split"))

    def content_fingerprint(self) -> str | None:
        """Checksum of the file, by which a resumed run knows whether it changed.

        Returns:
            The file's SHA-256; that of its source where it will be downloaded; ``None`` otherwise.
        """
        if self._filepath.is_file():
            return sha256_of_file(self._filepath)
        return self._source.sha256 if self._source is not None and self._download else None

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._filepath.as_posix(),
            "source": None if self._source is None else self._source.url,
            "download": self._download,
        }
