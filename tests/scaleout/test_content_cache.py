import json
import os

import numpy as np
import pytest

from tsmemory.scaleout.content_cache import CHECKSUMS, ContentCache, link_or_save


@pytest.fixture
def cache(tmp_path):
    return ContentCache(tmp_path / "cache").part("train")


def writing(**files):
    def write(folder):
        for name, text in files.items():
            (folder / name).write_text(text)

    return write


def test_an_entry_is_found_by_its_key_alone(cache):
    assert cache.find("a") is None
    entry = cache.store("a", writing(x="one", y="two"))
    assert cache.find("a") == entry
    assert (entry / "x").read_text() == "one"
    assert cache.find("b") is None
    assert ContentCache(cache.folder).find("a") == entry


def test_a_part_holds_the_latest_entry_and_no_part_knows_another(cache):
    other = ContentCache(cache.folder.parent).part("test")
    other.store("a", writing(x="other"))
    cache.store("a", writing(x="one"))
    cache.store("b", writing(x="two"))
    assert cache.find("a") is None
    assert cache.find("b") is not None
    assert [path.name for path in cache.folder.iterdir()] == ["b"]
    assert (other.find("a") / "x").read_text() == "other"
    other.forget()
    assert other.find("a") is None
    assert cache.find("b") is not None


DAMAGES = {
    "truncated": lambda entry: (entry / "x").write_text("on"),
    "one byte": lambda entry: (entry / "x").write_text("ome"),
    "gone": lambda entry: (entry / "x").unlink(),
    "one too many": lambda entry: (entry / "z").write_text("three"),
    "no checksums": lambda entry: (entry / CHECKSUMS).unlink(),
    "half of the checksums": lambda entry: (entry / CHECKSUMS).write_text('{"x": {'),
    "empty checksums": lambda entry: (entry / CHECKSUMS).write_text("{}"),
    "a list": lambda entry: (entry / CHECKSUMS).write_text("[]"),
    "no sizes": lambda entry: (entry / CHECKSUMS).write_text(json.dumps({"x": {}, "y": {}})),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_entry_is_not_found_and_can_be_written_again(cache, caplog, damage):
    damage(cache.store("a", writing(x="one", y="two")))
    assert cache.find("a") is None
    assert "is damaged, so it is worked out again" in caplog.text
    entry = cache.store("a", writing(x="one", y="two"))
    assert cache.find("a") == entry
    assert (entry / "x").read_text() == "one"


def test_a_kill_while_writing_leaves_nothing_that_could_be_found(cache):
    def killed(folder):
        (folder / "x").write_text("on")
        raise KeyboardInterrupt

    cache.store("a", writing(x="one"))
    with pytest.raises(KeyboardInterrupt):
        cache.store("b", killed)
    assert cache.find("b") is None
    assert cache.find("a") is not None
    ContentCache(cache.folder.parent).clear()
    assert [path.name for path in cache.folder.iterdir()] == ["a"]
    cache.store("b", writing(x="two"))
    assert (cache.find("b") / "x").read_text() == "two"


def test_what_is_mapped_from_a_lasting_file_is_linked(tmp_path):
    whole, linked = tmp_path / "whole.npy", tmp_path / "linked.npy"
    np.save(whole, np.arange(6.0).reshape(2, 3))
    link_or_save(np.load(whole, mmap_mode="r"), linked, source=whole)
    assert os.path.samefile(whole, linked)


@pytest.mark.parametrize("what", ["memory", "part", "another file", "reversed"])
def test_anything_else_is_written(tmp_path, what):
    whole, other, made = (tmp_path / f"{name}.npy" for name in ("whole", "other", "made"))
    np.save(whole, np.arange(6.0).reshape(2, 3))
    np.save(other, np.ones((2, 3)))
    array = {
        "memory": np.zeros((2, 3)),
        "part": np.load(whole, mmap_mode="r")[:, :2],
        "another file": np.load(other, mmap_mode="r"),
        "reversed": np.load(whole, mmap_mode="r")[::-1],
    }[what]
    link_or_save(array, made, source=whole)
    assert not os.path.samefile(whole, made)
    np.testing.assert_array_equal(np.load(made), array)


def test_without_links_it_is_a_copy(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    whole, made = tmp_path / "whole.npy", tmp_path / "made.npy"
    np.save(whole, np.arange(3.0))
    monkeypatch.setattr(os, "link", refuse)
    link_or_save(np.load(whole, mmap_mode="r"), made, source=whole)
    assert not os.path.samefile(whole, made)
    np.testing.assert_array_equal(np.load(made), np.arange(3.0))
