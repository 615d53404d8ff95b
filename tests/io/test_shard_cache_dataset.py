"""The shard cache in the catalog: scratch space for nodes, never an output."""

import pytest
from kedro.io import DataCatalog
from kedro.io.core import DatasetError

from tsmemory.io import ShardCacheDataset
from tsmemory.scaleout.shards import ShardCache


def test_it_gives_the_cache_without_making_the_folder(tmp_path):
    catalog = DataCatalog.from_config(
        {"shards": {"type": "tsmemory.io.ShardCacheDataset", "filepath": str(tmp_path / "shards")}}
    )
    assert catalog.exists("shards")
    assert catalog.load("shards") == ShardCache(tmp_path / "shards")
    assert not (tmp_path / "shards").exists()


def test_it_cannot_be_saved(tmp_path):
    with pytest.raises(DatasetError, match="make it an input of the node"):
        ShardCacheDataset(filepath=str(tmp_path)).save({})
