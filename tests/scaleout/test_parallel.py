"""One function on one rank and on several, and what is said when a rank fails."""

import os

import numpy as np
import pytest
import rank_jobs
import torch

from tsmemory.errors import UserError
from tsmemory.scaleout.config import CommunicationConfig
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.groups import Ranks
from tsmemory.scaleout.parallel import fit_parallel
from tsmemory.scaleout.payload import pack, unpack


@pytest.fixture
def mapped(tmp_path):
    np.save(tmp_path / "table.npy", np.arange(12, dtype=np.float32).reshape(6, 2))
    return np.load(tmp_path / "table.npy", mmap_mode="r")


def test_one_device_runs_here_alone():
    seen = []
    result = fit_parallel(lambda ranks, task: seen.append(ranks) or task, "task")
    assert result == "task"
    assert seen == [Ranks()]
    assert not torch.distributed.is_initialized()


def test_spawned_ranks_join_this_process(mapped, caplog):
    threads = torch.get_num_threads()
    lone_group = CommunicationConfig(reduce="hierarchical")
    found = fit_parallel(
        rank_jobs.describe, {"mapped": mapped}, devices=2, communication=lone_group
    )
    assert [text for text in caplog.messages if "changes nothing with 2 ranks" in text]
    told = found["told"]
    assert told[:, :3].tolist() == [[0, 2, 2], [1, 2, 2]]
    assert told[0, 4] == os.getpid() != told[1, 4]
    assert found["mapped"].tolist() == [[1, 66], [1, 66]]  # by name, not as a copy
    assert torch.get_num_threads() == threads
    assert not torch.distributed.is_initialized()
    assert "GLOO_SOCKET_IFNAME" not in os.environ


def test_another_rank_s_failure_is_told_in_its_own_words(capfd):
    with pytest.raises(ScaleoutError, match=r"(?s)rank 1 of 2 has failed:.*a rank's own trouble"):
        fit_parallel(rank_jobs.fail_at, 1, devices=2)
    assert not torch.distributed.is_initialized()
    said = capfd.readouterr().err  # where the first rank may not come to tell
    assert "Rank 1 has failed:" in said
    assert "a rank's own trouble" in said


def test_a_killed_rank_is_named():
    with pytest.raises(ScaleoutError, match=r"rank 1 has ended: .*SIGKILL"):
        fit_parallel(rank_jobs.die_at, 1, devices=2)


def test_the_first_rank_s_own_refusal_comes_first():
    with pytest.raises(UserError, match="refused by rank 0"):
        fit_parallel(rank_jobs.refuse, None, devices=2)


@pytest.mark.parametrize(
    ("device", "devices", "message"),
    [
        ("cpu", 0, "devices must be at least 1"),
        ("cuda:1", 2, "cannot be shared by 2 ranks: use cuda"),
        ("cuda", 64, "64 CUDA devices were asked for"),
    ],
)
def test_devices_that_are_not_there_are_refused(device, devices, message):
    with pytest.raises(ScaleoutError, match=message):
        fit_parallel(rank_jobs.refuse, None, device=device, devices=devices)


def test_mapped_arrays_and_parts_of_them_go_by_name(mapped):
    parts = {"whole": mapped, "part": mapped[2:5], "plain": np.asarray(mapped)[1:2]}
    back = unpack(pack(parts, same_machine=True))
    for name, part in parts.items():
        assert isinstance(back[name], np.memmap)
        np.testing.assert_array_equal(back[name], part)


def test_arrays_that_are_no_piece_of_a_file_are_copied(mapped, tmp_path):
    changed = np.load(tmp_path / "table.npy", mmap_mode="c")
    changed[0] = -1
    parts = {"column": mapped[:, 1], "changed": changed, "own": np.ones(3), "none": mapped[:0]}
    back = unpack(pack(parts, same_machine=True))
    for name, part in parts.items():
        assert not isinstance(back[name], np.memmap) or back[name].base is None
        np.testing.assert_array_equal(back[name], part)


def test_another_machine_gets_the_content(mapped, tmp_path):
    data = pack(mapped, same_machine=False)
    (tmp_path / "table.npy").unlink()
    assert unpack(data).sum() == 66
