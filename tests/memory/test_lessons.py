"""Training windows as the adapter sees them: from outside."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import LEVELS
from domains import H, L
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.closed_form import fit_closed_form
from tsmemory.memory.config import FusionConfig, ObjectiveConfig
from tsmemory.memory.course import held_fusion
from tsmemory.memory.lessons import Lessons
from tsmemory.memory.objective import Batch, objective
from tsmemory.teacher.synthesis import TeacherTargets

MEDIAN = LEVELS.index(0.5)


@pytest.fixture(scope="module")
def closed_form(domain):
    return fit_closed_form(
        domain.train_windows,
        domain.train,
        domain.validation_windows,
        penalties=(10.0,),
        folds=3,
        config=FusionConfig(block=4),
    )


@pytest.fixture(scope="module")
def targets(domain):
    return TeacherTargets(domain.teacher, domain.train.windows, domain.neighbours)


@pytest.fixture
def model(domain, closed_form):
    keys = domain.train.forecasts.keys.shape[1]
    torch.manual_seed(0)
    adapter = MemoryAdapter(
        AdapterConfig(L, H, LEVELS, keys, block=4, patch_length=8, width=8, dropout=0.0)
    )
    adapter.start_from(closed_form.ridge, torch.tensor(closed_form.start.factor))
    for head in (adapter.step, adapter.trust, adapter.widen):
        torch.nn.init.normal_(head.weight, std=0.1)
    return adapter.train()


def prepare(domain, targets, closed_form):
    held = held_fusion(AdapterConfig(L, H, LEVELS, 1, block=4), closed_form)
    return Lessons.prepare(domain.train, targets, ObjectiveConfig(), held, closed_form)


CHOSEN = np.array([3, 90, 91, 200, 310])


def test_terms_are_those_of_ridges_and_levels_of_other_stretches(
    domain, targets, closed_form, model
):
    known, train = closed_form.cross_fit, domain.train
    fold = known.fold[CHOSEN]
    assert len(set(fold)) > 1
    level = torch.from_numpy(known.level[fold, train.windows.row[CHOSEN]])[:, None]
    contexts, target, quantiles, keys = train.take(CHOSEN).tensors()
    contexts, target, quantiles = contexts - level, target - level, quantiles - level[:, None]
    memory = []
    for row, number in enumerate(fold):  # as if each stretch's ridge were the adapter's own
        model.weight.copy_(known.weight[number])
        model.bias.copy_(known.bias[number])
        memory.append(model(contexts[[row]], quantiles[[row]], keys[[row]]))
    memory = torch.cat(memory)
    lessons = prepare(domain, targets, closed_form)
    expected = objective(
        memory,
        lessons.held.apply(quantiles, memory, MEDIAN, contexts),
        Batch(
            target=target,
            backbone=quantiles,
            teacher=torch.from_numpy(targets.quantiles(CHOSEN)) - level[:, None],
            confidence=torch.from_numpy(targets.confidence[CHOSEN]),
            advantage=None,
        ),
        levels=torch.tensor(LEVELS),
        median=MEDIAN,
        config=ObjectiveConfig(),
        can_cross=model.can_cross,
    )
    found = lessons.terms(model, CHOSEN)
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_the_ridge_that_knows_a_window_is_not_asked(domain, targets, closed_form, model):
    lessons = prepare(domain, targets, closed_form)
    terms = lessons.terms(model, CHOSEN)
    model.bias.add_(100.0)
    assert torch.equal(lessons.terms(model, CHOSEN)["total"], terms["total"])
    bare = Lessons.prepare(domain.train, targets, ObjectiveConfig(), lessons.held)
    assert bare.terms(model, CHOSEN)["total"] > 10 * terms["total"]


def test_where_no_stretch_was_left_out_the_own_ridge_is_all_there_is(
    domain, targets, closed_form, model
):
    alone = prepare(domain, targets, replace(closed_form, cross_fit=None))
    bare = Lessons.prepare(domain.train, targets, ObjectiveConfig(), alone.held)
    terms = alone.terms(model, CHOSEN)
    assert torch.equal(terms["total"], bare.terms(model, CHOSEN)["total"])
