"""What may not be there yet is read as nothing, and counts by its content."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kedro.io.core import DatasetError

from tsmemory.io import FolderDataset, OptionalFolderDataset


@dataclass
class Note:
    """Saves a text."""

    text: str

    def save_pretrained(self, folder: Path) -> None:
        (folder / "note.txt").write_text(self.text)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Note":
        return cls((folder / "note.txt").read_text())

    def summary(self) -> dict[str, Any]:
        return {"text": self.text}


KIND = f"{__name__}.Note"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[FolderDataset, OptionalFolderDataset]:
    """Who writes, and who reads what may be there."""
    place = {"filepath": str(tmp_path / "note"), "kind": KIND}
    return FolderDataset(**place), OptionalFolderDataset(**place)


def test_nothing_is_none_and_something_is_read(pair):
    writer, reader = pair
    assert reader.load() is None
    assert json.loads(reader.preview()) is None
    writer.save(Note("there"))
    assert reader.load() == Note("there")
    assert json.loads(reader.preview()) == {"text": "there"}


def test_it_counts_by_its_content(pair):
    writer, reader = pair
    found = [reader.content_fingerprint()]
    for text in ("one", "two", "one"):
        writer.save(Note(text))
        found.append(reader.content_fingerprint())
    assert found[1] == found[3]
    assert len(set(found)) == 3


def test_it_is_written_under_another_name(pair):
    with pytest.raises(DatasetError, match="written under another name"):
        pair[1].save(Note("no"))
