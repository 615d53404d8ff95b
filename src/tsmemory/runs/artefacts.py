"""What the catalog's datasets are on disk: path, version, whether they outlive the run."""

from pathlib import Path
from typing import Any

from kedro.io import CachedDataset, CatalogProtocol
from kedro.io.core import AbstractDataset, AbstractVersionedDataset, Version

from tsmemory.io.content_cache_dataset import ContentCacheDataset
from tsmemory.io.shard_cache_dataset import ShardCacheDataset
from tsmemory.io.study_journal_dataset import StudyJournalDataset

Catalog = CatalogProtocol[Any, Any]
Dataset = AbstractDataset[Any, Any]


def base_name(name: str) -> str:
    """Name without Kedro's transcoding suffix: ``table@pandas`` and ``table@spark`` are one."""
    return name.split("@", 1)[0]


def dataset_of(catalog: Catalog, name: str) -> Dataset | None:
    """Look a dataset up, seeing through a cache; ``None`` where the catalog has none."""
    dataset = catalog.get(name)
    return dataset._dataset if isinstance(dataset, CachedDataset) else dataset


def is_workspace(dataset: Dataset | None) -> bool:
    """Whether it is scratch space, a cache or a journal, which is no input of the computation."""
    return isinstance(dataset, (ContentCacheDataset, ShardCacheDataset, StudyJournalDataset))


def is_persistent(dataset: Dataset | None) -> bool:
    """Whether it outlives the run; datasets outside the catalog live in memory."""
    return dataset is not None and not dataset._EPHEMERAL and not is_workspace(dataset)


def pinned_version(dataset: Dataset | None) -> str | None:
    """The version that the user asks to load, if any."""
    if not isinstance(dataset, AbstractVersionedDataset) or not dataset._version:
        return None
    return dataset._version.load or None


def pin_version(dataset: Dataset | None, version: str | None) -> None:
    """Make a versioned dataset load the given version from now on."""
    if version and isinstance(dataset, AbstractVersionedDataset) and dataset._version:
        dataset._version = Version(version, dataset._version.save)
        dataset._clear_version_cache()


def saved_version(dataset: Dataset) -> str | None:
    """The version that this run saves, or has just saved; ``None`` where there are no versions."""
    if isinstance(dataset, AbstractVersionedDataset):
        return dataset.resolve_save_version()
    return None


def artefact_path(dataset: Dataset | None, version: str | None) -> Path | None:
    """Where an artefact lies on this machine.

    Args:
        dataset: Entry of the catalog.
        version: Kedro's version, ``None`` for an unversioned dataset.

    Returns:
        Its file or folder; ``None`` for what is in memory, remote, or has no path.
    """
    if not is_persistent(dataset) or getattr(dataset, "_protocol", "file") != "file":
        return None
    is_versioned = isinstance(dataset, AbstractVersionedDataset) and dataset._version is not None
    if is_versioned != (version is not None):
        return None  # the catalog's entry has become versioned, or no longer is
    if version is not None:
        return Path(dataset._get_versioned_path(version))  # type: ignore[union-attr]
    path = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
    return None if path is None else Path(path)
