"""The content cache in the catalog: kept from run to run, but no input of the computation."""

import pytest
from kedro.io import DataCatalog
from kedro.io.core import DatasetError

from tsmemory.io import ContentCacheDataset
from tsmemory.runs.artefacts import artefact_path, dataset_of, is_persistent, is_workspace
from tsmemory.scaleout.content_cache import ContentCache


@pytest.fixture
def catalog(tmp_path):
    entry = {"type": "tsmemory.io.ContentCacheDataset", "filepath": str(tmp_path / "answers")}
    return DataCatalog.from_config({"answers": entry})


def test_it_gives_the_cache_without_making_the_folder(catalog, tmp_path):
    assert catalog.exists("answers")
    assert catalog.load("answers") == ContentCache(tmp_path / "answers")
    assert not (tmp_path / "answers").exists()


def test_it_cannot_be_saved(tmp_path):
    with pytest.raises(DatasetError, match="make it an input of the node"):
        ContentCacheDataset(filepath=str(tmp_path)).save({})


def test_it_takes_no_part_in_fingerprints(catalog):
    dataset = dataset_of(catalog, "answers")
    assert is_workspace(dataset)
    assert not is_persistent(dataset)
    assert artefact_path(dataset, None) is None
