"""What shards give is put together: the same however it is cut, and shared through files."""

from dataclasses import dataclass

import numpy as np
import pytest

from tsmemory.scaleout.config import ShardsConfig
from tsmemory.scaleout.gathering import gather_shards
from tsmemory.scaleout.payload import pack, unpack
from tsmemory.scaleout.shards import ShardCache

ROWS = np.random.default_rng(0).normal(size=(23, 400)).astype(np.float32)


@dataclass(frozen=True)
class Halves:
    """Halves of rows, and their sums."""

    rows: np.ndarray

    def __call__(self, part):
        rows = self.rows[part]
        return {"half": rows / 2, "sum": rows.reshape(-1, 20, 20).sum(axis=1)}


def gathered(rows=ROWS, size=5, cache=None, **options):
    options = {"key": "k", "cache": cache, "description": "Halving"} | options
    return gather_shards(Halves(rows), len(rows), size, **options)


@pytest.mark.parametrize("size", [1, 5, 23, 100])
@pytest.mark.parametrize("cached", [False, True])
def test_equals_one_call(tmp_path, size, cached):
    found = gathered(size=size, cache=ShardCache(tmp_path) if cached else None)
    expected = Halves(ROWS)(slice(None))
    assert found.arrays.keys() == expected.keys()
    for name, array in expected.items():
        assert found.arrays[name].dtype == np.float32
        np.testing.assert_array_equal(found.arrays[name], array)


def test_workers_do_the_same(tmp_path):
    config = ShardsConfig("processes", workers=2)
    found = gathered(cache=ShardCache(tmp_path), config=config)
    np.testing.assert_array_equal(found.arrays["half"], ROWS / 2)


def test_nothing_is_gathered_of_no_rows(tmp_path):
    assert gathered(ROWS[:0], cache=ShardCache(tmp_path)).arrays == {}


def test_others_map_the_same_files(tmp_path):
    found = gathered(cache=ShardCache(tmp_path))
    for name, array in found.arrays.items():
        assert array.mode == "r"
        assert found.folder / f"{name}.npy" == array.filename
    packed = pack(found.arrays, same_machine=True)
    assert len(packed) < ROWS.nbytes / 20
    np.testing.assert_array_equal(unpack(packed)["half"], ROWS / 2)


def test_an_earlier_file_that_something_is_linked_to_is_left_alone(tmp_path):
    first = gathered(cache=ShardCache(tmp_path / "shards"))
    link = tmp_path / "link.npy"
    link.hardlink_to(first.folder / "half.npy")
    written = link.stat().st_ino
    again = gathered(cache=ShardCache(tmp_path / "shards"))
    assert (again.folder / "half.npy").stat().st_ino != written
    np.testing.assert_array_equal(np.load(link), ROWS / 2)
