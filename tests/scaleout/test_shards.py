"""Shards: whole ones are never made twice, unreadable and foreign ones are never used."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tsmemory.scaleout.shards import ShardCache, map_shards

WORK = """
import sys, time
from pathlib import Path
import numpy as np
from tsmemory.scaleout.shards import ShardCache, map_shards

folder = Path(sys.argv[1])

def square(shard):
    with (folder / "calls.txt").open("a") as calls:
        calls.write(f"{shard}\\n")
    if shard == 3 and sys.argv[2] == "hang":
        time.sleep(60)
    return {"value": np.full(1000, shard**2)}

cache = ShardCache(folder / "shards").open("print")
total = sum(r["value"].sum() for r in map_shards(square, range(6), cache=cache, description="work"))
(folder / "total.txt").write_text(str(total))
"""


class Counted:
    """Doubles a number and keeps count of its calls."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, shard: int) -> dict[str, np.ndarray]:
        self.calls.append(shard)
        return {"double": np.array([2.0 * shard], dtype=np.float32), "shard": np.array(shard)}


def _values(results) -> list[float]:
    return [float(arrays["double"][0]) for arrays in results]


def test_results_come_in_order_without_a_cache():
    work = Counted()
    results = map_shards(work, [3, 1, 2], cache=None, description="work")
    assert work.calls == []  # nothing happens before the results are asked for
    assert _values(results) == [6.0, 2.0, 4.0]
    assert work.calls == [3, 1, 2]


def test_each_result_is_on_disk_before_the_next_begins(tmp_path):
    cache = ShardCache(tmp_path / "shards").open("one")
    work = Counted()
    for index, _ in enumerate(map_shards(work, range(3), cache=cache, description="work")):
        names = sorted(path.name for path in cache.folder.iterdir())
        assert names == [f"shard_{i:05d}.npz" for i in range(index + 1)]


def test_cached_results_equal_computed_ones(tmp_path):
    cache = ShardCache(tmp_path).open("one")
    first = list(map_shards(Counted(), range(4), cache=cache, description="work"))
    work = Counted()
    again = list(map_shards(work, range(4), cache=cache, description="work"))
    assert work.calls == []
    for one, other in zip(first, again, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
            assert one[name].dtype == other[name].dtype


@pytest.mark.parametrize("length", [0, 10, 200])
def test_a_truncated_shard_is_computed_again(tmp_path, caplog, length):
    cache = ShardCache(tmp_path).open("one")
    list(map_shards(Counted(), range(4), cache=cache, description="work"))
    data = cache.path(2).read_bytes()
    cache.path(2).write_bytes(data[:length])
    work = Counted()
    results = map_shards(work, range(4), cache=cache, description="work")
    assert _values(results) == [0.0, 2.0, 4.0, 6.0]
    assert work.calls == [2]
    assert "computed again" in caplog.text
    assert cache.path(2).read_bytes() == data


def test_a_flipped_byte_is_noticed(tmp_path):
    cache = ShardCache(tmp_path).open("one")
    cache.store(0, {"x": np.arange(1000.0)})
    data = bytearray(cache.path(0).read_bytes())
    data[len(data) // 2] ^= 0xFF
    cache.path(0).write_bytes(bytes(data))
    assert cache.load(0) is None


def test_another_fingerprint_starts_afresh_and_drops_the_old_shards(tmp_path):
    shards = ShardCache(tmp_path / "shards")
    old = shards.open("old")
    list(map_shards(Counted(), range(2), cache=old, description="work"))
    new = shards.open("new")
    assert not old.folder.exists()
    work = Counted()
    list(map_shards(work, range(2), cache=new, description="work"))
    assert work.calls == [0, 1]
    assert shards.open("new").path(0).exists()


def test_clear_removes_everything(tmp_path):
    shards = ShardCache(tmp_path / "shards")
    list(map_shards(Counted(), range(2), cache=shards.open("one"), description="work"))
    shards.clear()
    assert not shards.folder.exists()
    shards.clear()  # twice does no harm


def test_python_objects_are_refused(tmp_path):
    cache = ShardCache(tmp_path).open("one")
    with pytest.raises(ValueError, match="'names' holds Python objects"):
        cache.store(0, {"names": np.array(["a", None], dtype=object)})
    assert list(cache.folder.iterdir()) == []


def test_an_error_leaves_the_whole_shards(tmp_path):
    cache = ShardCache(tmp_path).open("one")

    def breaks(shard: int) -> dict[str, np.ndarray]:
        if shard == 2:
            raise RuntimeError("broken")
        return Counted()(shard)

    with pytest.raises(RuntimeError, match="broken"):
        list(map_shards(breaks, range(4), cache=cache, description="work"))
    work = Counted()
    assert _values(map_shards(work, range(4), cache=cache, description="work")) == [0, 2, 4, 6]
    assert work.calls == [2, 3]


def test_a_killed_process_resumes_without_repeating_whole_shards(tmp_path: Path):
    calls = tmp_path / "calls.txt"
    command = [sys.executable, "-c", WORK, str(tmp_path)]
    with subprocess.Popen([*command, "hang"]) as process:
        deadline = time.monotonic() + 30
        while not (calls.exists() and "3" in calls.read_text()):
            assert time.monotonic() < deadline, "the work did not begin"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "total.txt").exists()
    subprocess.run([*command, "go"], check=True)
    assert calls.read_text().split() == ["0", "1", "2", "3", "3", "4", "5"]
    assert (tmp_path / "total.txt").read_text() == str(1000 * sum(i**2 for i in range(6)))


def test_shards_of_other_code_are_not_used(tmp_path, monkeypatch):
    shards = ShardCache(tmp_path / "shards")
    list(map_shards(Counted(), range(2), cache=shards.open("one"), description="work"))
    monkeypatch.setattr("tsmemory.scaleout.shard_cache.code_digest", lambda: "edited")
    work = Counted()
    list(map_shards(work, range(2), cache=shards.open("one"), description="work"))
    assert work.calls == [0, 1]
