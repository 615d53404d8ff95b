"""Kedro datasets of our own, each imported when it is first asked for."""

from importlib import import_module
from typing import Any

_HOMES = {
    "AtomicJSONDataset": "json_dataset",
    "AtomicTextDataset": "text_dataset",
    "ContentCacheDataset": "content_cache_dataset",
    "FolderDataset": "folder_dataset",
    "ForecasterDataset": "forecaster_dataset",
    "ForecastsDataset": "forecasts_dataset",
    "OptionalFolderDataset": "optional_folder_dataset",
    "RawTableDataset": "raw_table_dataset",
    "ShardCacheDataset": "shard_cache_dataset",
    "StudyJournalDataset": "study_journal_dataset",
    "TablesDataset": "tables_dataset",
}
__all__ = [
    "AtomicJSONDataset",
    "AtomicTextDataset",
    "ContentCacheDataset",
    "FolderDataset",
    "ForecasterDataset",
    "ForecastsDataset",
    "OptionalFolderDataset",
    "RawTableDataset",
    "ShardCacheDataset",
    "StudyJournalDataset",
    "TablesDataset",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
