"""What large parts of a payload become: files that all workers of a machine map."""

import numpy as np
import pytest

from tsmemory.scaleout.payload import pack, unpack

LARGE = np.arange(600_000, dtype=np.float32)


@pytest.mark.parametrize(
    "array",
    [LARGE, LARGE.reshape(600, 1000).T, LARGE[::2], LARGE[:10], np.empty((0, 5))],
    ids=["whole", "transposed", "strided", "small", "empty"],
)
def test_arrays_come_back_as_they_were(tmp_path, array):
    found = unpack(pack({"a": array, "again": array}, same_machine=True, folder=tmp_path))
    np.testing.assert_array_equal(found["a"], array)
    assert found["again"] is found["a"]
    files = list(tmp_path.iterdir())
    assert len(files) == (array.nbytes >= 1 << 20)
    assert isinstance(found["a"], np.memmap) == bool(files)


def test_without_a_folder_arrays_travel(tmp_path):
    data = pack(LARGE, same_machine=True)
    assert len(data) > LARGE.nbytes
    np.testing.assert_array_equal(unpack(data), LARGE)


def test_objects_are_not_written_as_arrays(tmp_path):
    names = np.array(["a", "b"] * 100_000, dtype=object)
    found = unpack(pack(names, same_machine=True, folder=tmp_path))
    np.testing.assert_array_equal(found, names)
    assert not list(tmp_path.iterdir())
