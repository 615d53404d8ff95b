"""What training windows say that a ridge has not seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import LEVELS, series_of
from domains import Domain, H
from tsmemory.memory.closed_form import ClosedForm, fit_closed_form
from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion_parts import between_knots, residual_unit
from tsmemory.memory.instance_norm import context_scale
from tsmemory.memory.out_of_fold import STATES
from tsmemory.memory.out_of_fold_fit import cross_fit_parts
from tsmemory.metrics import season_length

CONFIG = FusionConfig(block=4)
MEDIAN = LEVELS.index(0.5)


def learn(domain, config=CONFIG, folds=3):
    return fit_closed_form(
        domain.train_windows,
        domain.train,
        domain.validation_windows,
        penalties=(100.0,),
        folds=folds,
        config=config,
    )


@pytest.fixture(scope="module")
def closed_form(domain):
    return learn(domain)


@pytest.fixture(scope="module")
def parts(domain, closed_form):
    known = closed_form.cross_fit
    return list(cross_fit_parts(domain.train, known, closed_form.ridge, known.members())())


@pytest.fixture(scope="module")
def walk():
    rng = np.random.default_rng(4)
    rows = [np.cumsum(rng.normal(size=600)).astype(np.float32) for _ in range(3)]
    return Domain(rows, 450)


def test_a_random_walk_is_left_to_the_last_value(walk):
    memory, last_value, seasonal, long_run = learn(walk).out_of_fold.mixed
    assert (last_value > 0.8).all()
    assert (memory + seasonal + long_run < 0.2).all()
    assert (long_run < 0.05).all()


def reverting_rows(rng, count, length, keep=0.95):
    """Rows that lose a twentieth of their distance from 0 at every step."""
    rows = np.zeros((count, length))
    for step in range(1, length):
        rows[:, step] = keep * rows[:, step - 1] + rng.normal(0, (1 - keep**2) ** 0.5, count)
    return [row.astype(np.float32) for row in rows]


def test_what_comes_home_is_told_from_what_wanders():
    """The backbone repeats the season; only the level outside tells of the way home."""
    domain = Domain(reverting_rows(np.random.default_rng(5), 16, 900), 750)
    unwanted = replace(CONFIG, last_value=False, seasonal_naive=False)
    long_run = learn(domain, unwanted, folds=5).out_of_fold.mixed[3]
    assert (np.diff(long_run) > 0).all()  # the farther ahead, the farther home
    assert long_run[2] > 0.1
    without = learn(domain, replace(CONFIG, long_run=False), folds=5)
    assert not without.out_of_fold.mixed[3].any()


def test_windows_are_seen_through_ridges_and_levels_of_other_stretches(domain, closed_form, parts):
    known, train = closed_form.cross_fit, domain.train
    order = np.concatenate(known.members())
    fold, row = known.fold[order], train.windows.row[order]
    level = known.level[fold, row][:, None]
    contexts = train.windows.contexts(train.series)[order] - level
    found = np.concatenate([part.contexts.numpy() for part in parts])
    np.testing.assert_allclose(found, contexts, atol=1e-6)
    target = np.concatenate([part.target.numpy() for part in parts])
    np.testing.assert_allclose(
        target, train.windows.targets(train.series)[order] - level, atol=1e-6
    )
    mean, std = (f(contexts, axis=1, keepdims=True) for f in (np.mean, np.std))
    z = (contexts - mean) / std
    weight, bias = known.weight.numpy()[fold], known.bias.numpy()[fold]
    line = mean + std * (np.einsum("bl,blh->bh", z, weight) + bias)
    point = np.concatenate([part.memory[:, MEDIAN].numpy() for part in parts])
    np.testing.assert_allclose(point, line, atol=1e-3)
    spread = np.concatenate([part.memory.diff(dim=1).numpy() for part in parts])
    expected = np.diff(train.forecasts.quantiles[order], axis=1)
    np.testing.assert_allclose(spread, expected, atol=1e-4)


def test_a_candidate_that_is_not_wanted_has_no_weight(walk):
    found = learn(walk, replace(CONFIG, last_value=False)).out_of_fold
    assert not found.mixed[1].any()
    assert not found.alone[1:].any()


def test_residuals_are_quantiles_of_the_out_of_fold_errors(closed_form, parts, domain):
    found = closed_form.out_of_fold
    assert found.season == season_length(domain.series.freq)
    offsets = between_knots(found.knots, found.offsets, H)
    assert (np.diff(offsets, axis=0) >= 0).all()
    assert (offsets[MEDIAN] == 0).all()
    memory, last_value, seasonal, long_run = (np.repeat(w, 4)[:H] for w in found.mixed)
    errors = []
    for part in parts:
        x, b = part.contexts.numpy(), part.backbone[:, MEDIAN].numpy()
        season = np.tile(x[:, -found.season :], 2)[:, :H]
        fused = b + memory * (part.memory[:, MEDIAN].numpy() - b)
        fused += last_value * (x[:, -1:] - b) + seasonal * (season - b)
        fused -= long_run * x.mean(axis=1, keepdims=True).clip(-3, 3)
        unit = np.sqrt(x.std(axis=1, keepdims=True))
        np.testing.assert_allclose(unit, residual_unit(context_scale(part.contexts)), rtol=1e-5)
        errors.append((part.target.numpy() - fused) / unit)
    errors = np.concatenate(errors)
    expected = np.quantile(errors, LEVELS, axis=0)
    expected -= expected[MEDIAN]
    steps = found.knots[:4]  # a step each up there
    np.testing.assert_allclose(offsets[:, steps], expected[:, steps], atol=1e-3)
    covered = np.abs(errors - np.median(errors, axis=0)) <= offsets[-1]
    assert 0.7 < covered.mean() < 0.9


def test_channels_have_residuals_of_their_own_size():
    rng = np.random.default_rng(6)
    wave = 3 * np.sin(np.arange(420) / 5)
    rows = [(wave + size * rng.normal(size=420)).astype(np.float32) for size in (0.2, 1.0)]
    domain = Domain(rows, 300)
    named = series_of(rows, channels=["calm", "wild"])
    domain.series = named
    for name in ("train", "validation"):
        setattr(domain, name, replace(getattr(domain, name), series=named))
    found = learn(domain).out_of_fold
    assert found.channels == ("calm", "wild")
    assert (found.scale_of("calm") < 0.7).all()
    assert (found.scale_of("wild") > 1.1).all()
    assert (found.scale_of("another") == 1.0).all()


def test_losses_are_those_of_the_states(closed_form, parts):
    found = closed_form.out_of_fold
    windows = sum(len(part.target) for part in parts)
    assert found.losses.shape == (len(STATES), windows, 3)
    level = np.array(LEVELS)[:, None]
    frozen = []
    for part in parts:
        error = (part.target[:, None] - part.backbone).numpy()
        frozen.append(np.maximum(level * error, (level - 1) * error).mean(axis=1))
    expected = np.concatenate(frozen)[:, :4].mean(axis=1)
    np.testing.assert_allclose(found.losses[0, :, 0], expected, rtol=1e-4)
    means = found.losses.mean(axis=(1, 2))
    assert means[STATES.index("naive")] <= means[STATES.index("frozen")]


def test_evidence_compares_states_block_by_block(closed_form):
    found = closed_form.out_of_fold
    evidence = found.evidence(["memory", "channels", ""], ["frozen", "memory", "frozen"], 5.0)
    np.testing.assert_array_equal(evidence.loss[:, 0], found.losses[1, :, 0])
    np.testing.assert_array_equal(evidence.reference[:, 0], found.losses[0, :, 0])
    np.testing.assert_array_equal(evidence.loss[:, 1], found.losses[2, :, 1])
    assert np.isnan(evidence.loss[:, 2]).all()
    assert found.evidence(["channels"] * 3, ["naive"] * 3, 5.0) is None
    assert found.evidence(["memory"] * 3, ["frozen"] * 3, 0.0) is None


def test_it_is_saved_with_the_closed_form(closed_form, tmp_path):
    closed_form.save_pretrained(tmp_path)
    found = ClosedForm.from_pretrained(tmp_path).out_of_fold
    for name in ("alone", "mixed", "knots", "offsets", "channel_scale", "losses", "origin_time"):
        np.testing.assert_array_equal(
            getattr(found, name), getattr(closed_form.out_of_fold, name), err_msg=name
        )
    assert found.channels == closed_form.out_of_fold.channels
    assert found.season == closed_form.out_of_fold.season


def test_a_training_split_too_short_to_leave_anything_out_says_nothing(closed_form, tmp_path):
    replace(closed_form, out_of_fold=None).save_pretrained(tmp_path)
    assert ClosedForm.from_pretrained(tmp_path).out_of_fold is None


def test_scale_is_that_of_the_context(parts):
    scale = context_scale(parts[0].contexts)
    np.testing.assert_allclose(scale[:, 0], parts[0].contexts.numpy().std(axis=1), rtol=1e-5)
    gaps = parts[0].contexts.clone()
    gaps[0, :5] = torch.nan
    assert context_scale(gaps)[0, 0].item() == pytest.approx(
        float(gaps[0, 5:].numpy().std()), rel=1e-5
    )
