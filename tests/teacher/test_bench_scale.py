"""The command's folders, files and defaults; what it measures is run in tests/benchmarks."""

import json

import pytest

from tsmemory.teacher import bench_scale


@pytest.fixture
def asked(monkeypatch):
    calls = []

    def measure(scale, folder, sharing):
        calls.append((folder, sharing))
        return {"windows": scale.windows}

    monkeypatch.setattr(bench_scale, "measure", measure)
    return calls


def test_folders_are_made(asked, tmp_path):
    folder, out = tmp_path / "new" / "shards", tmp_path / "tables" / "found.json"
    arguments = ["--folder", str(folder), "--out", str(out), "--windows", "1000", "2000"]
    bench_scale.main(arguments)
    assert json.loads(out.read_text()) == [{"windows": 1000}, {"windows": 2000}]
    assert [used.parent for used, _ in asked] == [folder, folder]


@pytest.mark.parametrize(
    ("arguments", "executor", "workers"),
    [
        (["--workers", "3"], "processes", 3),
        (["--device", "cuda", "--workers", "3"], "inline", None),
        (["--device", "cuda", "--executor", "processes"], "processes", None),
    ],
)
def test_work_off_the_cpu_stays_in_this_process_unless_asked_for(
    asked, arguments, executor, workers
):
    bench_scale.main(arguments)
    ((_, sharing),) = asked
    assert (sharing.executor, sharing.workers) == (executor, workers)
