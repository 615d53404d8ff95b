"""Ranks that share every step of distillation, against one process with the same batches."""

import pickle
from dataclasses import replace

import learning_jobs as jobs
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from builders import LEVELS
from tsmemory.backbones.protocol import BackboneError
from tsmemory.memory.config import ObjectiveConfig
from tsmemory.memory.learner import share_out
from tsmemory.memory.objective import Batch, Portion, objective
from tsmemory.scaleout.groups import Ranks
from tsmemory.scaleout.parallel import fit_parallel
from tsmemory.teacher.synthesis import TeacherTargets

try:
    import pytorch_optimizer  # noqa: F401

    WAYS = list(jobs.WAYS)
except ModuleNotFoundError:
    WAYS = [name for name in jobs.WAYS if name != "LAMB"]


@pytest.fixture(scope="module")
def gappy():
    return jobs.gappy_domain()


@pytest.fixture(scope="module")
def closed_form(gappy):
    return jobs.closed_form_of(gappy)


@pytest.fixture(scope="module")
def shared():
    """What three ranks have learnt."""
    return fit_parallel(jobs.every_way, WAYS, devices=3)


@pytest.fixture(scope="module")
def alone():
    return jobs.every_way(Ranks(), WAYS)


def test_batches_do_not_come_out_even_and_windows_differ(gappy):
    assert len(gappy.train.windows) % jobs.TRAINING.batch_size in (1, 2)  # fewer than ranks
    assert jobs.TRAINING.batch_size % 3 > 0
    known = jobs.course_of(gappy, jobs.closed_form_of(gappy), Ranks()).lessons.known_steps
    targets = gappy.train.windows.targets(gappy.series)
    np.testing.assert_array_equal(known, (~np.isnan(targets)).sum(axis=1))
    assert len(set(known)) > 3


@pytest.mark.parametrize("name", WAYS)
def test_ranks_learn_one_process_s_weights(shared, alone, name):
    np.testing.assert_allclose(shared[name], alone[name], rtol=0, atol=1e-5)
    np.testing.assert_allclose(shared[f"{name}, terms"], alone[f"{name}, terms"], rtol=1e-4)


def test_parts_of_a_step_are_the_step(alone):
    np.testing.assert_allclose(alone["in three parts"], alone["default"], rtol=0, atol=1e-5)


def test_dropout_differs_between_ranks_and_follows_from_the_seed(shared, alone):
    np.testing.assert_array_equal(shared["dropout"], shared["dropout, again"])
    assert np.abs(shared["dropout"] - alone["dropout"]).max() > 1e-3


def test_distillation_on_ranks_is_that_of_one_process():
    training = replace(jobs.TRAINING, epochs=3, rehearse=True, batch_size=64, learning_rate=1e-2)
    domain, sizes = jobs.large_domain(), replace(jobs.DEFAULT, base="ridge")
    closed_form = jobs.closed_form_of(domain)
    (one, curve), (two, shared) = (
        jobs.distil(domain, closed_form, replace(training, devices=devices), sizes=sizes)
        for devices in (1, 2)
    )
    assert one.report["3"]["rehearsed_epochs"] > 0
    assert [line["best"] for line in curve] == [line["best"] for line in shared]
    for seed in (3, 1):
        here, there = (jobs.flat(adapters.adapters[seed]) for adapters in (one, two))
        np.testing.assert_allclose(there, here, rtol=0, atol=1e-5)
        kept = [adapters.report[str(seed)]["trained_part_kept"] for adapters in (one, two)]
        assert kept == [True, True]
    for line, other in zip(curve, shared, strict=True):
        assert {n: v for n, v in line.items() if v == v} == pytest.approx(
            {n: v for n, v in other.items() if v == v}, abs=1e-5
        )


def test_targets_travel_without_their_index(gappy):
    targets = TeacherTargets(gappy.teacher, gappy.train.windows, gappy.neighbours, memory_limit=0)
    again = pickle.loads(pickle.dumps(targets))
    which = np.arange(0, len(gappy.train.windows), 7)
    np.testing.assert_array_equal(again.quantiles(which), targets.quantiles(which))
    assert len(pickle.dumps(targets)) < len(pickle.dumps(gappy.teacher))
    assert again.quantiles(which).shape[1] == len(LEVELS)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_shares_add_up_to_the_batch(count, size, parts, seed):
    rng = np.random.default_rng(seed)
    known = rng.integers(0, 4, 50)
    chosen = np.sort(rng.choice(50, count, replace=False))
    by_rank = [share_out(chosen, known, Ranks(rank, size), parts) for rank in range(size)]
    assert {len(pieces) for pieces in by_rank} == {min(parts, count)}
    every = [piece for pieces in by_rank for piece in pieces]
    assert all(len(piece.windows) for piece in every)
    counted = [piece.windows for piece in every if piece.portion.windows > 0]
    np.testing.assert_array_equal(np.sort(np.concatenate(counted)), chosen)
    assert sum(piece.portion.windows for piece in every) == pytest.approx(size)
    steps = sum(piece.portion.steps for piece in every)
    assert steps == pytest.approx(size if known[chosen].any() else 0)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_terms_of_parts_add_up_to_those_of_the_whole(form):
    rng = np.random.default_rng(1)

    def draw(*shape):
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    memory, fused, backbone, teacher = (draw(9, 9, 6) for _ in range(4))
    target = draw(9, 6)
    target[rng.random((9, 6)) < 0.3] = torch.nan
    target[4:6] = torch.nan
    teacher[2] = torch.nan
    confidence = draw(9).abs().clamp_max(1)

    def terms(rows, portion):
        given = (target, backbone, teacher, confidence)
        return objective(
            memory[rows],
            fused[rows],
            Batch(*(values[rows] for values in given)),
            levels=torch.tensor(LEVELS),
            median=4,
            config=ObjectiveConfig(form=form),
            can_cross=True,
            portion=portion,
        )

    known = (~torch.isnan(target)).sum(dim=1)
    whole, total = terms(slice(None), Portion()), {}
    for rows in (slice(0, 4), slice(4, 6), slice(6, 9)):
        portion = Portion(len(known[rows]) / 9, float(known[rows].sum() / known.sum()))
        for name, value in terms(rows, portion).items():
            total[name] = total.get(name, 0.0) + float(value)
    assert total == pytest.approx({name: float(value) for name, value in whole.items()}, rel=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(gappy, closed_form):
    with pytest.raises(BackboneError, match="there is no CUDA device: use cpu"):
        jobs.distil(gappy, closed_form, replace(jobs.TRAINING, device="cuda"))
