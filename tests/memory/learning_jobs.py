"""What spawned ranks learn in tests; they import it by name."""

from dataclasses import replace

import numpy as np
import torch

from builders import LEVELS
from domains import Domain, H, L
from tsmemory.memory.adapter import AdapterConfig
from tsmemory.memory.closed_form import fit_closed_form
from tsmemory.memory.config import FusionConfig, GuardConfig, ObjectiveConfig, TrainingConfig
from tsmemory.memory.course import Course, held_fusion, ridges_of
from tsmemory.memory.lessons import Lessons
from tsmemory.memory.paper_adapter import PaperConfig
from tsmemory.memory.training import distil_seeds
from tsmemory.scaleout.groups import Ranks
from tsmemory.teacher.synthesis import TeacherTargets

FUSION = FusionConfig(block=4, guard=GuardConfig(enabled=False))
TRAINING = TrainingConfig(epochs=2, patience=2, batch_size=109, learning_rate=3e-3, rehearse=False)
DEFAULT = AdapterConfig(
    L, H, LEVELS, 32, block=4, patch_length=8, patch_width=4, width=16, dropout=0.0
)
PAPER = PaperConfig(
    L,
    H,
    LEVELS,
    patch_length=8,
    width=16,
    heads=2,
    feedforward=32,
    encoder_layers=1,
    decoder_layers=1,
    dropout=0.0,
)
# Each is a changed part of what is learnt by default.
WAYS = {
    "default": {},
    "in three parts": {"training": replace(TRAINING, accumulate=3)},
    "LAMB": {"training": replace(TRAINING, optimizer="lamb", warmup=0.5)},
    "paper profile": {"sizes": PAPER, "objective": ObjectiveConfig(form="paper")},
    "paper profile, code": {"sizes": PAPER, "objective": ObjectiveConfig(form="code")},
    "backbone alone": {"sizes": replace(DEFAULT, base="backbone")},
}


def learnable_rows(lengths):
    """Steps of either sign after a spike of either height: no linear map of the context knows."""
    rng = np.random.default_rng(0)
    rows = []
    for length in lengths:
        row = rng.normal(0, 0.05, length)
        for at in range(0, length - 16, 16):
            big = rng.random() < 0.5
            row[at : at + 2] += (4.0 if big else 2.0) * np.array([1, -1])
            row[at + 2 : at + 16] += 1.5 if big else -1.5
        rows.append(row.astype(np.float32))
    return rows


def gappy_domain() -> Domain:
    """As many known target steps as a window has differ from window to window."""
    rng = np.random.default_rng(1)
    rows = learnable_rows((400, 390))
    for row in rows:
        row[rng.choice(len(row), len(row) // 20, replace=False)] = np.nan
        row[60:67] = np.nan
    return Domain(rows, 260, season=16)


def large_domain() -> Domain:
    """Enough to learn what helps on stretches that were left out."""
    return Domain(learnable_rows((600, 600, 600)), 400, season=16)


def closed_form_of(domain):
    return fit_closed_form(
        domain.train_windows,
        domain.train,
        domain.validation_windows,
        penalties=(10.0,),
        folds=3,
        config=FUSION,
    )


def sized(domain, sizes):
    if isinstance(sizes, PaperConfig):
        return sizes
    return replace(sizes, key_length=domain.train.forecasts.keys.shape[1])


def course_of(domain, closed_form, ranks, *, training=TRAINING, sizes=DEFAULT, objective=None):
    sizes = sized(domain, sizes)
    targets = TeacherTargets(domain.teacher, domain.train.windows, domain.neighbours)
    held, ridges = held_fusion(sizes, closed_form), ridges_of(sizes, closed_form)
    objective = objective or ObjectiveConfig()
    lessons = Lessons.prepare(domain.train, targets, objective, held, ridges)
    return Course(lessons, domain.validation, closed_form, sizes, training, FUSION, 1, ranks)


def learn(course, *, passes=1):
    """Weights after some passes, and the terms of the last one."""
    with course.seeded(3) as rng:
        model = course.start()
        learner = course.teach(model)
        for epoch in range(passes):
            terms = learner.learn("Learning", rng.permutation(len(course.lessons)), epoch)
    return flat(model), np.array(list(terms.values()))


def flat(model):
    """All weights, but for biases of attention's keys.

    Softmax does not see those: their gradients are rounding, of which Adam makes whole steps.
    """
    weights = []
    for name, weight in model.named_parameters():
        parts = weight.detach().cpu().reshape(-1)
        if name.endswith("in_proj_bias"):
            query, _, value = parts.chunk(3)
            parts = torch.cat([query, value])
        weights.append(parts)
    return torch.cat(weights).numpy()


def every_way(ranks: Ranks, names: list[str]) -> dict[str, np.ndarray]:
    """Weights and terms of each way; and the weights with dropout, twice."""
    domain = gappy_domain()
    closed_form = closed_form_of(domain)
    found = {}
    for name in names:
        weights, terms = learn(course_of(domain, closed_form, ranks, **WAYS[name]))
        found |= {name: weights, f"{name}, terms": terms}
    dropping = course_of(domain, closed_form, ranks, sizes=replace(DEFAULT, dropout=0.5))
    found["dropout"], found["dropout, again"] = (learn(dropping)[0] for _ in range(2))
    return found


def distil(domain, closed_form, training, *, sizes=DEFAULT):
    return distil_seeds(
        domain.train,
        domain.validation,
        TeacherTargets(domain.teacher, domain.train.windows, domain.neighbours),
        closed_form=closed_form,
        adapter=sized(domain, sizes),
        objective_config=ObjectiveConfig(),
        config=training,
        fusion=FUSION,
        stride=1,
        seeds=(3, 1),
    )
