from dataclasses import replace

import numpy as np
import pytest
import torch

from domains import small_domain
from tsmemory.memory.closed_form import fit_closed_form
from tsmemory.memory.config import AdapterSizes, FusionConfig, GuardConfig, ObjectiveConfig
from tsmemory.memory.course import held_fusion
from tsmemory.memory.objective import Batch, gate
from tsmemory.memory.rehearsal import recall
from tsmemory.tuning.gates.bench import sizes_for
from tsmemory.tuning.gates.quadratic import Quadratic, Taught
from tsmemory.tuning.gates.stand_in import Stage, start_adapter

FUSION = FusionConfig(block=4, guard=GuardConfig(samples=100))
SMALL = AdapterSizes(patch_length=8, patch_width=4, width=6)


@pytest.fixture(scope="module")
def domain():
    return small_domain()


@pytest.fixture(scope="module")
def closed_form(domain):
    return fit_closed_form(
        domain.train_windows,
        domain.train,
        domain.validation_windows,
        penalties=(10.0, 1e3),
        folds=3,
        config=FUSION,
    )


@pytest.fixture(scope="module")
def sizes(domain):
    return sizes_for(domain.train, SMALL, FUSION)


@pytest.fixture(scope="module")
def held(sizes, closed_form):
    return held_fusion(sizes, closed_form)


@pytest.fixture(scope="module")
def stage(domain, closed_form, sizes):
    return Stage.prepare(domain.train, closed_form, sizes, seed=0)


@pytest.fixture(scope="module")
def taught(domain):
    futures = domain.teacher.aligned_futures(
        domain.train_windows, domain.neighbours, domain.train_windows.horizon
    )
    mean = np.einsum("bk,bkh->bh", domain.neighbours.weight, futures)
    confidence = torch.from_numpy(domain.neighbours.confidence)
    return Taught(torch.from_numpy(mean.astype(np.float32)), confidence)


def terms_of(stage, taught, held, objective, closed_form, sizes):
    plain = recall(start_adapter(sizes, closed_form, 0), stage.seen)
    levels = stage.train.forecasts.levels
    return plain, Quadratic.of(stage.seen, plain, taught, held, objective, levels)


def test_the_heads_minimise_the_parabola(stage, taught, held, closed_form, sizes):
    """The objective of the module, written out step by step, has no slope at the solution."""
    objective = ObjectiveConfig(align=2.0, delta=0.7, anchor=0.3, gamma=0.5)
    plain, terms = terms_of(stage, taught, held, objective, closed_form, sizes)
    rows = np.arange(len(stage.hidden))
    head = terms.heads(stage.hidden, rows, [1e-8])[0].double().requires_grad_()
    seen = stage.seen
    line, backbone = plain[:, 4].double(), seen.quantiles[:, 4].double()
    teacher = (taught.mean - seen.level).double()
    batch = Batch(seen.target, seen.quantiles[:, [4]], teacher[:, None].float(), taught.confidence)
    omega = gate(batch, objective, 0)[:, None].double()
    assert 0 < omega.mean() < 1
    weight = torch.tensor(held.location).repeat_interleave(held.block)[: line.shape[1]]
    fused = held.apply(seen.quantiles, plain, 4, seen.contexts)[:, 4].double()
    residual = seen.target - fused
    by_block = [residual[:, first : first + 4] for first in range(0, line.shape[1], 4)]
    sigma = torch.stack([part.square().mean().sqrt() for part in by_block])
    kappa = (0.2820947918 / sigma).repeat_interleave(4)[: line.shape[1]]
    move = seen.normal.scale.double() * (stage.hidden.double() @ head)
    loss = (
        kappa * (residual - weight * move) ** 2
        + 2.0 * 1.7 * omega * (line + move - teacher) ** 2
        + 0.3 * (1 - omega) * (line + move - backbone) ** 2
    ).sum()
    loss.backward()
    start = torch.zeros_like(head, requires_grad=True)
    (-2 * stage.seen.normal.scale * terms.force * (stage.hidden @ start.float())).sum().backward()
    assert head.grad.abs().max() < 1e-3 * start.grad.abs().max()


def test_a_heavy_weight_draws_the_memory_to_the_teacher(stage, taught, held, closed_form, sizes):
    apart = []
    for align in (0.0, 1.0, 1000.0):
        objective = ObjectiveConfig(align=align, anchor=0.0, gamma=0.0, gate="none")
        plain, terms = terms_of(stage, taught, held, objective, closed_form, sizes)
        rows = np.concatenate(stage.stretches)
        head = terms.heads(stage.hidden, rows, [1e-3])[0]
        median = plain[:, 4] + stage.seen.normal.scale * (stage.hidden @ head)
        gap = (median - (taught.mean - stage.seen.level))[rows]
        apart.append(float(gap.nan_to_num().square().mean()))
    assert apart[0] > apart[1] > apart[2]


def test_a_heavy_anchor_draws_the_memory_to_the_backbone(stage, taught, held, closed_form, sizes):
    apart = []
    for anchor in (0.0, 1.0, 1000.0):
        objective = ObjectiveConfig(align=0.0, anchor=anchor, confidence_threshold=1.0)
        plain, terms = terms_of(stage, taught, held, objective, closed_form, sizes)
        rows = np.concatenate(stage.stretches)
        head = terms.heads(stage.hidden, rows, [1e-3])[0]
        median = plain[:, 4] + stage.seen.normal.scale * (stage.hidden @ head)
        apart.append(float((median - stage.seen.quantiles[:, 4])[rows].square().mean()))
    assert apart[0] > apart[1] > apart[2]


def test_a_correction_is_kept_only_if_it_helps_where_it_was_not_fitted(
    stage, taught, held, closed_form, sizes
):
    away = taught._replace(mean=taught.mean + 50)
    objective = ObjectiveConfig(align=100.0, anchor=0.0, gamma=0.0, gate="none")
    found = stage.fit(away, closed_form, held, objective, sizes)
    assert (found.penalty, found.rehearsed, found.skill) == (None, (), 0.0)
    assert not found.adapter.has_learnt


def test_what_the_hidden_layer_can_tell_is_learnt(stage, taught, held, closed_form, sizes):
    """Targets that a head explains: it is found, and found to help where it was not fitted."""
    plain = recall(start_adapter(sizes, closed_form, 0), stage.seen)
    head = torch.randn(stage.hidden.shape[1], 10, generator=torch.Generator().manual_seed(0))
    weight = torch.tensor(held.location).repeat_interleave(held.block)[:10]
    fused = held.apply(stage.seen.quantiles, plain, 4, stage.seen.contexts)[:, 4]
    target = fused + weight * stage.seen.normal.scale * (stage.hidden @ head)
    knowing = replace(stage, seen=stage.seen._replace(target=target))
    objective = ObjectiveConfig(align=0.0, anchor=0.0)
    found = knowing.fit(taught, closed_form, held, objective, sizes, penalties=(1e-6, 10.0))
    assert weight.min() > 0.1
    assert found.penalty == 1e-6
    assert found.skill > 0.1
    assert found.adapter.has_learnt
    torch.testing.assert_close(found.adapter.step.bias, head[0], atol=0.1, rtol=0.1)
    torch.testing.assert_close(found.adapter.step.weight, head[1:].T, atol=0.1, rtol=0.1)
    assert len(found.rehearsed) == len(stage.stretches)
    for number, adapter in enumerate(found.rehearsed):
        memory = found.recall(stage.seen, number)
        assert torch.equal(memory, recall(adapter, stage.seen))
        assert (memory.diff(dim=1) >= -1e-5).all()


def test_the_rehearsed_do_not_know_their_stretch(stage, taught, held, closed_form, sizes):
    """Other targets in a stretch leave the pulls on all other windows, but for their unit."""
    objective = ObjectiveConfig(align=0.0, anchor=0.0)
    target = stage.seen.target.clone()
    unknown = np.setdiff1d(np.arange(len(target)), stage.others[0])
    assert set(stage.stretches[0]) <= set(unknown)
    target[unknown] *= -5
    other = replace(stage, seen=stage.seen._replace(target=target))
    _, before = terms_of(stage, taught, held, objective, closed_form, sizes)
    _, after = terms_of(other, taught, held, objective, closed_form, sizes)
    rows = stage.others[0]
    ratio = after.force[rows] / before.force[rows]  # of sigma, one for each horizon block
    by_step = torch.nanmedian(ratio, dim=0).values
    assert (by_step < 0.9).all()
    torch.testing.assert_close(after.force[rows], by_step * before.force[rows])


def test_missing_targets_and_teachers_pull_nothing(stage, taught, held, closed_form, sizes):
    target, mean = stage.seen.target.clone(), taught.mean.clone()
    target[::2], mean[::3] = torch.nan, torch.nan
    other = replace(stage, seen=stage.seen._replace(target=target))
    _, terms = terms_of(
        other, taught._replace(mean=mean), held, ObjectiveConfig(anchor=0.0), closed_form, sizes
    )
    assert torch.isfinite(terms.force).all()
    assert (terms.force[::6] == 0).all()
    found = other.fit(
        taught._replace(mean=mean), closed_form, held, ObjectiveConfig(anchor=0.0), sizes
    )
    assert np.isfinite(found.skill)
    assert torch.isfinite(recall(found.adapter, stage.seen)).all()


def test_a_training_split_too_short_to_rehearse_has_no_stage(domain, closed_form, sizes):
    assert Stage.prepare(domain.train, replace(closed_form, cross_fit=None), sizes, seed=0) is None
