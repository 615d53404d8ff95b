"""Folders are whole or absent."""

import inspect
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog
from kedro.io.core import DatasetError, Version

from tsmemory.io import FolderDataset


@dataclass
class Box:
    """Saves a number in two files."""

    number: int
    fails: bool = False

    def save_pretrained(self, folder: Path) -> None:
        (folder / "one.txt").write_text(str(self.number))
        if self.fails:
            raise RuntimeError("the disk is full")
        (folder / "two.txt").write_text(str(self.number))

    @classmethod
    def from_pretrained(cls, folder: Path, *, times: int = 1) -> "Box":
        numbers = {(folder / name).read_text() for name in ("one.txt", "two.txt")}
        assert len(numbers) == 1
        return cls(times * int(numbers.pop()))

    def summary(self) -> dict[str, Any]:
        return {"number": self.number}


KIND = f"{__name__}.Box"


@pytest.fixture
def dataset(tmp_path: Path) -> FolderDataset:
    return FolderDataset(filepath=str(tmp_path / "boxes/box"), kind=KIND)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_round_trip(dataset, tmp_path):
    assert not dataset.exists()
    dataset.save(Box(3))
    assert dataset.exists()
    assert dataset.load() == Box(3)
    assert _names(tmp_path / "boxes") == ["box"]
    assert _names(tmp_path / "boxes/box") == ["one.txt", "summary.json", "two.txt"]


def test_arguments_of_loading_reach_the_class(dataset, tmp_path):
    dataset.save(Box(3))
    place = str(tmp_path / "boxes/box")
    assert FolderDataset(filepath=place, kind=KIND, load_args={"times": 2}).load() == Box(6)


def test_a_second_save_replaces_the_first_wholly(dataset, tmp_path):
    dataset.save(Box(3))
    (tmp_path / "boxes/box/rest.txt").write_text("of an older layout")
    dataset.save(Box(4))
    assert dataset.load() == Box(4)
    assert _names(tmp_path / "boxes/box") == ["one.txt", "summary.json", "two.txt"]
    assert _names(tmp_path / "boxes") == ["box"]


def test_a_save_that_breaks_midway_leaves_the_old_one_intact(dataset, tmp_path):
    dataset.save(Box(3))
    with pytest.raises(DatasetError, match="the disk is full"):
        dataset.save(Box(4, fails=True))
    assert dataset.load() == Box(3)
    assert _names(tmp_path / "boxes") == ["box"]


def test_a_first_save_that_breaks_midway_leaves_nothing(dataset, tmp_path):
    with pytest.raises(DatasetError, match="the disk is full"):
        dataset.save(Box(4, fails=True))
    assert not dataset.exists()
    assert _names(tmp_path / "boxes") == []


def test_what_a_killed_save_left_is_no_obstacle(dataset, tmp_path):
    left = tmp_path / "boxes/.box.saving"
    left.mkdir(parents=True)
    (left / "stray.txt").write_text("half")
    assert not dataset.exists()
    dataset.save(Box(3))
    assert _names(tmp_path / "boxes/box") == ["one.txt", "summary.json", "two.txt"]
    assert _names(tmp_path / "boxes") == ["box"]


def test_versions_lie_where_kedro_puts_them(tmp_path):
    for version, number in (("2026-01-01", 1), ("2026-01-02", 2)):
        FolderDataset(
            filepath=str(tmp_path / "box"), kind=KIND, version=Version(None, version)
        ).save(Box(number))
    assert (tmp_path / "box/2026-01-01/box/one.txt").read_text() == "1"
    latest = FolderDataset(filepath=str(tmp_path / "box"), kind=KIND, version=Version(None, None))
    assert latest.load() == Box(2)
    first = Version("2026-01-01", None)
    assert FolderDataset(filepath=str(tmp_path / "box"), kind=KIND, version=first).load() == Box(1)
    again = FolderDataset(
        filepath=str(tmp_path / "box"), kind=KIND, version=Version(None, "2026-01-01")
    )
    with pytest.raises(DatasetError, match="must not exist"):
        again.save(Box(9))


def test_a_version_that_was_never_finished_does_not_count(tmp_path):
    make = Version(None, "2026-01-01")
    broken = FolderDataset(filepath=str(tmp_path / "box"), kind=KIND, version=make)
    with pytest.raises(DatasetError):
        broken.save(Box(1, fails=True))
    assert not FolderDataset(
        filepath=str(tmp_path / "box"), kind=KIND, version=Version(None, None)
    ).exists()


def test_preview_reads_the_summary_alone(dataset, tmp_path):
    dataset.save(Box(3))
    (tmp_path / "boxes/box/one.txt").unlink()
    assert json.loads(dataset.preview()) == {"number": 3}
    # Kedro-Viz chooses how to show a preview by the name of the annotation.
    assert inspect.signature(dataset.preview).return_annotation.__name__ == "JSONPreview"


def test_the_catalog_makes_it_without_importing_the_class(tmp_path):
    catalog = DataCatalog.from_config(
        {
            "box": {
                "type": "tsmemory.io.FolderDataset",
                "filepath": str(tmp_path / "box"),
                "kind": "no_such_package.Box",
                "versioned": True,
                "metadata": {"kedro-viz": {"layer": "models"}},
            }
        }
    )
    assert not catalog.exists("box")
    with pytest.raises(DatasetError, match=r"cannot import 'no_such_package.Box'"):
        catalog.save("box", Box(1))


def test_errors_say_what_is_wrong(dataset):
    with pytest.raises(DatasetError, match=r"boxes/box does not exist; run the pipeline"):
        dataset.load()
    with pytest.raises(DatasetError, match=r"expected a .*Box, got a dict"):
        dataset.save({"number": 3})


def test_a_kill_between_the_two_moves_loses_nothing(dataset, tmp_path, monkeypatch):
    dataset.save(Box(3))
    whole, moves = os.replace, []

    def killed(*places):
        moves.append(places)
        if len(moves) == 2:
            raise KeyboardInterrupt
        whole(*places)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            dataset.save(Box(4))
    assert _names(tmp_path / "boxes") == [".box.old"]
    assert dataset.exists()
    assert dataset.load() == Box(3)
    assert json.loads(dataset.preview()) == {"number": 3}
    with pytest.raises(DatasetError, match="the disk is full"):
        dataset.save(Box(5, fails=True))
    assert dataset.load() == Box(3)
    dataset.save(Box(6))
    assert dataset.load() == Box(6)
    assert _names(tmp_path / "boxes") == ["box"]
