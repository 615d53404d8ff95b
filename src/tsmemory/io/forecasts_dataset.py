"""Forecasts of many tables: a folder of Parquet files, whole or absent."""

from pathlib import Path
from typing import Any

from kedro_datasets._typing import TablePreview

from tsmemory.io.folder_dataset import FolderDataset, whole_folder

KIND = "tsmemory.memory.forecast_tables.ForecastTables"


class ForecastsDataset(FolderDataset):
    """Keeps forecasts where ``pandas.read_parquet(<folder>)`` reads them all.

    Example:
        .. code-block:: yaml

            forecasts:
              type: tsmemory.io.ForecastsDataset
              filepath: data/07_model_output/my_domain/forecasts
    """

    summary_name = "_summary.json"  # readers of a folder of Parquet leave such a name alone

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Describe the folder; nothing is imported or read yet.

        Args:
            filepath: The folder.
            metadata: Free; Kedro-Viz reads its layer here.
        """
        super().__init__(filepath=filepath, kind=KIND, metadata=metadata)

    def preview(self, nrows: int = 5) -> TablePreview:
        """First forecasts of the first table, for kedro-viz.

        Args:
            nrows: Number of rows.

        Returns:
            Columns and rows as text and numbers.
        """
        folder = whole_folder(Path(self._get_load_path()))
        head = self._class().from_pretrained(folder).head(nrows)
        return TablePreview(head.assign(timestamp=head["timestamp"].astype(str)).to_dict("split"))
