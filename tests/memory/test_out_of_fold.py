"""What training windows say that a ridge has not seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import LEVELS, series_of
from domains import Domain, H
from tsmemory.memory.closed_form import ClosedForm, fit_closed_form
from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion_parts import between_knots
from tsmemory.memory.instance_norm import context_scale
from tsmemory.memory.out_of_fold import STATES
from tsmemory.memory.out_of_fold_fit import ridge_parts, thin_folds
from tsmemory.memory.ridge import out_of_fold_ridges
from tsmemory.metrics import season_length

CONFIG = FusionConfig(block=4)
MEDIAN = LEVELS.index(0.5)


def learn(domain, config=CONFIG):
    return fit_closed_form(
        domain.train_windows,
        domain.train,
        domain.validation_windows,
        penalties=(100.0,),
        folds=3,
        config=config,
    )


@pytest.fixture(scope="module")
def closed_form(domain):
    return learn(domain)


@pytest.fixture(scope="module")
def parts(domain, closed_form):
    folds = out_of_fold_ridges(
        domain.train_windows, domain.train_windows, domain.series, penalty=100.0, folds=3
    )
    return list(ridge_parts(domain.train, folds)())


@pytest.fixture(scope="module")
def walk():
    rng = np.random.default_rng(4)
    rows = [np.cumsum(rng.normal(size=600)).astype(np.float32) for _ in range(3)]
    return Domain(rows, 450)


def test_a_random_walk_is_left_to_the_last_value(walk):
    memory, last_value, seasonal = learn(walk).out_of_fold.mixed
    assert (last_value > 0.8).all()
    assert (memory + seasonal < 0.2).all()


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
    memory, last_value, seasonal = (np.repeat(w, 4)[:H] for w in found.mixed)
    errors = []
    for part in parts:
        x, b = part.contexts.numpy(), part.backbone[:, MEDIAN].numpy()
        season = np.tile(x[:, -found.season :], 2)[:, :H]
        fused = b + memory * (part.memory[:, MEDIAN].numpy() - b)
        fused += last_value * (x[:, -1:] - b) + seasonal * (season - b)
        errors.append((part.target.numpy() - fused) / x.std(axis=1, keepdims=True))
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


def test_folds_are_thinned_evenly():
    folds = [(np.arange(0, 50), None), (np.arange(50, 90), None)]
    thinned = thin_folds(folds, 10, most=300)
    assert [members.tolist() for members, _ in thinned] == [
        list(range(0, 50, 3)),
        list(range(50, 90, 3)),
    ]
    assert [len(members) for members, _ in thin_folds(folds, 10, most=900)] == [50, 40]


def test_scale_is_that_of_the_context(parts):
    scale = context_scale(parts[0].contexts)
    np.testing.assert_allclose(scale[:, 0], parts[0].contexts.numpy().std(axis=1), rtol=1e-5)
    gaps = parts[0].contexts.clone()
    gaps[0, :5] = torch.nan
    assert context_scale(gaps)[0, 0].item() == pytest.approx(
        float(gaps[0, 5:].numpy().std()), rel=1e-5
    )
