"""How ranks meet for a function, and what they hear of one that cannot come."""

import json
import logging
import threading
from dataclasses import asdict

import pytest
from torch.distributed import HashStore

from tsmemory.fingerprint import code_digest
from tsmemory.scaleout import jobs
from tsmemory.scaleout.config import CommunicationConfig
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.jobs import Job

CONFIG = CommunicationConfig()


def never(ranks, task):
    raise AssertionError("it must not run")


def job(store, rank):
    return Job(store, rank, 2, rank, 2)


def announce(store, *, code=None, device="cpu"):
    """What the first rank says of a function."""
    header = {"code": code or code_digest(), "device": device, "communication": asdict(CONFIG)}
    store.set("header", json.dumps(header))


def test_a_rank_with_other_code_refuses_and_the_first_hears_why(caplog):
    store = HashStore()
    announce(store, code="another")
    assert job(store, 1).follow() is False
    assert "Rank 1 has failed:" in caplog.text
    with pytest.raises(ScaleoutError, match=r"(?s)rank 1 of 2 .* another version of tsmemory"):
        job(store, 0).lead(never, None, "cpu", CONFIG)


@pytest.mark.parametrize("there", [0, 1])
def test_more_ranks_than_gpus_are_refused_at_the_first_rank(monkeypatch, caplog, there):
    monkeypatch.setattr("torch.cuda.device_count", lambda: there)
    store = HashStore()
    with pytest.raises(ScaleoutError, match=f"2 ranks were started on a machine with {there} CUDA"):
        job(store, 0).lead(never, None, "cuda", CONFIG)
    assert job(store, 1).follow() is False  # it does not wait either
    assert not caplog.messages


def test_more_ranks_than_gpus_are_told_from_another_machine(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    store = HashStore()
    announce(store, device="cuda")
    assert job(store, 1).follow() is False
    with pytest.raises(ScaleoutError, match=r"(?s)rank 1 of 2 has failed:.*with 1 CUDA devices"):
        job(store, 0).lead(never, None, "cpu", CONFIG)


def test_a_rank_that_never_comes_is_not_waited_for_without_end():
    hasty = CommunicationConfig(timeout_minutes=1e-4)
    with pytest.raises(ScaleoutError, match=r"not all of 2 ranks have come .*timeout_minutes"):
        job(HashStore(), 0).lead(never, None, "cpu", hasty)


@pytest.fixture
def ended(monkeypatch):
    """Set when the process would have ended."""
    event = threading.Event()
    monkeypatch.setattr(jobs, "_WATCH_SECONDS", 0.01)
    monkeypatch.setattr(jobs.os, "_exit", lambda status: event.set())
    return event


def test_a_rank_that_cannot_hear_ends_after_another_has_failed(ended, monkeypatch, caplog):
    monkeypatch.setattr(jobs, "_GRACE_SECONDS", 0.01)
    store = HashStore()
    with job(store, 0)._watching():
        assert not ended.is_set()
        store.set("failed", "rank 1 of 2 has failed:\nout of memory")
        assert ended.wait(60)
    assert caplog.record_tuples[-1][1] == logging.CRITICAL
    assert "out of memory" in caplog.text


def test_a_rank_that_can_tell_of_a_failure_itself_does_not_end(ended, caplog):
    store = HashStore()
    store.set("failed", "rank 1 of 2 has failed:\nout of memory")
    with job(store, 0)._watching():
        watch = next(each for each in threading.enumerate() if each.name == "watch-ranks")
    watch.join(60)
    assert not watch.is_alive()
    assert not ended.is_set()
    assert not caplog.messages


def test_what_is_known_of_a_lost_rank_is_kept():
    """Processes tell once that they have ended."""
    lost = iter(["rank 1 has ended: SIGKILL"])
    first = Job(HashStore(), 0, 2, 0, 2, lambda seconds: next(lost, None))
    assert first.failure() == first.failure() == "rank 1 has ended: SIGKILL"
