"""Text files are whole or absent."""

import os

import pytest
from kedro.io.core import DatasetError, Version

from tsmemory.io import AtomicTextDataset


def test_round_trip_and_versions(tmp_path):
    path = tmp_path / "deep/down/report.html"
    dataset = AtomicTextDataset(filepath=str(path))
    assert not dataset.exists()
    dataset.save("<p>größer\n</p>\n")
    assert dataset.exists()
    assert dataset.load() == path.read_bytes().decode() == "<p>größer\n</p>\n"
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    versioned = AtomicTextDataset(filepath=str(tmp_path / "v.html"), version=Version(None, "1"))
    versioned.save("one")
    assert (tmp_path / "v.html/1/v.html").read_text() == "one"


def test_a_save_that_breaks_leaves_the_old_file(tmp_path, monkeypatch):
    dataset = AtomicTextDataset(filepath=str(tmp_path / "report.html"))
    dataset.save("old")
    with pytest.raises(DatasetError, match="expected text, got a bytes"):
        dataset.save(b"new")

    def fail(*_):
        raise OSError("killed")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DatasetError, match="killed"):
        dataset.save("new")
    assert dataset.load() == "old"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"report\.html does not exist"):
        AtomicTextDataset(filepath=str(tmp_path / "report.html")).load()
