"""JSON files are whole or absent."""

import json

import pytest
from kedro.io.core import DatasetError, Version

from tsmemory.io import AtomicJSONDataset


def test_round_trip_and_versions(tmp_path):
    path = tmp_path / "deep/down/metrics.json"
    AtomicJSONDataset(filepath=str(path)).save({"mse": 0.5})
    assert AtomicJSONDataset(filepath=str(path)).load() == {"mse": 0.5}
    assert [p.name for p in path.parent.iterdir()] == ["metrics.json"]
    versioned = AtomicJSONDataset(filepath=str(tmp_path / "v.json"), version=Version(None, "1"))
    versioned.save([1])
    assert json.loads((tmp_path / "v.json/1/v.json").read_text()) == [1]
    assert json.loads(versioned.preview()) == [1]


def test_a_save_that_breaks_leaves_the_old_file(tmp_path):
    dataset = AtomicJSONDataset(filepath=str(tmp_path / "metrics.json"))
    dataset.save({"mse": 0.5})
    with pytest.raises(DatasetError):
        dataset.save({"mse": object()})
    assert dataset.load() == {"mse": 0.5}
