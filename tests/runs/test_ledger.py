"""The ledger keeps what was saved and tells whether it is still whole."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tsmemory.fingerprint import sha256_of_path
from tsmemory.runs.ledger import Entry, Ledger, Recipe, size_of


@pytest.fixture
def entry(tmp_path) -> Entry:
    path = tmp_path / "panel.json"
    path.write_text("[1, 2, 3]")
    return Entry(
        dataset="panel",
        fingerprint="f" * 16,
        path="panel.json",
        version=None,
        sha256=sha256_of_path(path),
        bytes=size_of(path),
        made_at="2026-01-01T00:00:00+00:00",
        node="clean",
        recipe=Recipe({"teacher.k": 3}, {"raw": "abc"}, {"tsmemory": "1"}, {"numpy": "2"}),
    )


def test_entries_survive_the_file(tmp_path, entry):
    ledger = Ledger(tmp_path / "deep/ledger.json")
    assert ledger.entries() == []
    ledger.add(entry)
    other = dataclasses.replace(entry, dataset="other", version="v1")
    ledger.add(other)
    assert Ledger(ledger.path).entries() == [entry, other]
    assert ledger.entries("other") == [other]
    assert [path.name for path in ledger.path.parent.iterdir()] == ["ledger.json"]


def test_an_entry_of_the_same_recipe_and_version_gives_way(tmp_path, entry):
    ledger = Ledger(tmp_path / "ledger.json")
    ledger.add(entry)
    ledger.add(dataclasses.replace(entry, fingerprint="0" * 16))
    newer = dataclasses.replace(entry, made_at="2026-01-02T00:00:00+00:00")
    ledger.add(newer)
    assert [e.fingerprint for e in ledger.entries()] == ["0" * 16, "f" * 16]
    assert ledger.entries()[-1] == newer


def test_threads_do_not_lose_entries(tmp_path, entry):
    ledger = Ledger(tmp_path / "ledger.json")
    entries = [dataclasses.replace(entry, dataset=f"d{i}") for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ledger.add, entries))
    assert sorted(e.dataset for e in ledger.entries()) == sorted(e.dataset for e in entries)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 99, "made": []}', '{"format": 1, "made": [{"a": 1}]}']
)
def test_an_unreadable_ledger_is_empty_and_says_so(tmp_path, caplog, text, entry):
    ledger = Ledger(tmp_path / "ledger.json")
    ledger.path.write_text(text)
    assert ledger.entries() == []
    assert "cannot be read, so nothing is reused" in caplog.text
    ledger.add(entry)
    assert ledger.entries() == [entry]


def test_wholeness(tmp_path, entry):
    path = tmp_path / "panel.json"
    assert entry.is_whole(path)
    path.write_text("[1, 2, 4]")  # the same size
    assert not entry.is_whole(path)
    path.write_text("[1, 2")
    assert not entry.is_whole(path)
    path.unlink()
    assert not entry.is_whole(path)


def test_wholeness_of_a_folder(tmp_path, entry):
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/weights.bin").write_bytes(b"12345")
    (folder / "config.json").write_text("{}")
    saved = dataclasses.replace(entry, sha256=sha256_of_path(folder), bytes=size_of(folder))
    assert saved.bytes == 7
    assert saved.is_whole(folder)
    (folder / "config.json").rename(folder / "renamed.json")
    assert not saved.is_whole(folder)


def test_differences_are_named(entry):
    now = Recipe(
        {"teacher.k": 4, "teacher.metric": "l2"}, {"raw": "new"}, {"tsmemory": "2"}, {"numpy": "3"}
    )
    assert entry.recipe.differences(now) == [
        "teacher.k: 3 -> 4",
        "teacher.metric: (unset) -> l2",
        "the content of raw changed",
        "package numpy: 2 -> 3",
        "the source code changed",
    ]
    assert entry.recipe.differences(entry.recipe) == []


def test_the_file_is_plain_json(tmp_path, entry):
    ledger = Ledger(tmp_path / "ledger.json")
    ledger.add(entry)
    (line,) = json.loads(ledger.path.read_text())["made"]
    assert line["recipe"]["parameters"] == {"teacher.k": 3}
