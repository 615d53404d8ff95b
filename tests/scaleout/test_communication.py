"""Ways to exchange gradients, on four ranks of this machine, against one process."""

import re
from dataclasses import replace

import numpy as np
import pytest
import rank_jobs
import torch

from tsmemory.scaleout import communication
from tsmemory.scaleout.communication import SharedModel
from tsmemory.scaleout.config import CommunicationConfig
from tsmemory.scaleout.errors import ScaleoutError
from tsmemory.scaleout.groups import Ranks, check_group_size, warn_of_idle_groups
from tsmemory.scaleout.parallel import fit_parallel


@pytest.fixture(scope="module")
def found():
    """All that four ranks are started for, once."""
    names = [*rank_jobs.EXACT, *rank_jobs.ROUGH]
    return fit_parallel(rank_jobs.whole_check, names, devices=4)


@pytest.fixture(scope="module")
def alone():
    """Weights that one process comes to on whole batches."""
    return rank_jobs.flat(rank_jobs.train(Ranks()))


@pytest.mark.parametrize("name", rank_jobs.EXACT)
def test_exact_ways_give_the_weights_of_one_process(found, alone, name):
    np.testing.assert_allclose(found[name], np.tile(alone, (4, 1)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [*rank_jobs.EXACT, *rank_jobs.ROUGH])
def test_all_ranks_end_with_the_same_weights(found, name):
    assert (found[name] == found[name][0]).all()


@pytest.mark.parametrize(("name", "most"), [("fp16", 2e-3), ("fp16, hierarchical", 2e-3)])
def test_half_precision_comes_close(found, alone, name, most):
    away = np.abs(found[name][0] - alone).max()
    assert 0 < away < most


@pytest.mark.parametrize("name", [n for n in ("powersgd", "post-local") if n in rank_jobs.ROUGH])
def test_rough_ways_come_nearer_to_the_goal_than_the_start(found, alone, name):
    start = rank_jobs.flat(rank_jobs.network(seed=0))
    away = np.linalg.norm(found[name][0] - alone)
    assert 0 < away < np.linalg.norm(start - alone) / 2


def test_sums_by_groups_are_plain_sums(found):
    assert (found["sums"] < 2e-6).all()  # of sums of four, about 4 at most


def test_groups_are_of_consecutive_ranks(found):
    assert found["leaders"].ravel().tolist() == [0, 0, 2, 2]


def test_gradients_held_back_count_at_the_next_exchange(found):
    one = rank_jobs.flat(rank_jobs.accumulate(Ranks()))
    np.testing.assert_allclose(found["accumulated"], np.tile(one, (4, 1)), rtol=0, atol=1e-6)


def test_local_training_that_goes_on_is_local_at_once_and_ends_together(found):
    assert (found["resumed"] == found["resumed"][0]).all()


@pytest.mark.skipif("powersgd" not in rank_jobs.ROUGH, reason="there is a GPU")
def test_low_rank_training_that_goes_on_is_low_rank_almost_at_once(found, alone):
    """Two steps go whole, as at the beginning: DDP lays its buckets out anew meanwhile."""
    weights = found["powersgd, resumed"]
    assert (weights == weights[0]).all()
    assert np.abs(weights[0] - alone).max() > 1e-4


def test_groups_are_made_once(found):
    assert found["groups made once"].all()


def test_all_ranks_hear_the_first_one(found):
    assert found["agreed"].ravel().tolist() == [10, 10, 10, 10]


def test_seeds_differ_and_the_first_rank_keeps_the_given_one(found):
    seeds = found["seeds"].ravel()
    assert seeds[0] == 3
    assert len(set(seeds)) == 4


@pytest.mark.parametrize(("count", "size"), [(22, 4), (8, 4), (3, 4), (1, 2), (7, 1)])
def test_weighted_shares_add_up_to_the_mean_of_the_batch(count, size):
    rows = np.random.default_rng(count).normal(size=count)
    shares = [Ranks(rank=rank, size=size).share(count) for rank in range(size)]
    mean = np.mean([share.weight * rows[share.rows].mean() for share in shares])
    assert mean == pytest.approx(rows.mean())
    covered = np.concatenate([np.arange(count)[s.rows] for s in shares if s.weight > 0])
    assert covered.tolist() == list(range(count))


def test_groups_have_to_come_out_even():
    ranks = Ranks(size=6, local_size=6, communication=CommunicationConfig(group_size=4))
    with pytest.raises(ScaleoutError, match=r"groups of 4: set communication.group_size"):
        check_group_size(ranks)
    assert check_group_size(replace(ranks, communication=CommunicationConfig())) == 6


def test_alone_nothing_is_wrapped():
    model = torch.nn.Linear(2, 1)
    shared = SharedModel(model, Ranks())
    x = torch.ones(3, 2)
    with shared.holding_back():
        assert torch.equal(shared(x), model(x))
    shared.stepped()
    shared.settle()
    assert list(model.state_dict()) == ["weight", "bias"]


def test_low_rank_factors_on_the_cpu_are_refused_beside_a_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    ranks = Ranks(size=2, communication=CommunicationConfig(compression="powersgd"))
    with pytest.raises(ScaleoutError, match=r"device cpu .* hide the GPU with CUDA_VISIBLE_DEV"):
        SharedModel(torch.nn.Linear(2, 1), ranks)


@pytest.mark.parametrize("size", [None, 25.0])
def test_the_size_of_buckets_is_handed_through(monkeypatch, size):
    given = {}
    monkeypatch.setattr(
        communication, "DistributedDataParallel", lambda model, **settings: given.update(settings)
    )
    config = CommunicationConfig(bucket_cap_mb=size)
    SharedModel(torch.nn.Linear(2, 1), Ranks(size=2, communication=config))
    assert given["bucket_cap_mb"] == size


def test_ranks_wait_for_each_other_with_two_backends():
    """As on GPUs; a group of one stands for them here."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("cpu:gloo,cuda:gloo", store=store, rank=0, world_size=1)
    try:
        assert Ranks(size=2).wait() is None
    finally:
        torch.distributed.destroy_process_group()


HIERARCHICAL = CommunicationConfig(reduce="hierarchical")
APART = CommunicationConfig(average_every=4)


@pytest.mark.parametrize(
    ("config", "size", "said"),
    [
        (HIERARCHICAL, 2, "communication.reduce hierarchical changes nothing with 2 ranks in gro"),
        (replace(HIERARCHICAL, group_size=1), 4, "4 ranks in groups of 1: set .* from 2 to half"),
        (APART, 4, "communication.average_every 4 changes nothing with 4 ranks in groups of 4"),
        (HIERARCHICAL, 1, None),
        (replace(HIERARCHICAL, group_size=2), 4, None),
        (replace(APART, group_size=1), 2, None),
        (CommunicationConfig(), 4, None),
    ],
)
def test_groups_that_change_nothing_are_warned_of(caplog, config, size, said):
    warn_of_idle_groups(Ranks(size=size, local_size=size, communication=config))
    assert len(caplog.messages) == (said is not None)
    assert said is None or re.search(said, caplog.text)
