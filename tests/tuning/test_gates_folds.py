from dataclasses import replace

import numpy as np
import pytest
import torch

from builders import LEVELS
from domains import H, L, small_domain
from tsmemory.memory.config import FusionConfig, GuardConfig
from tsmemory.memory.fusion_fit import fit_fusion
from tsmemory.memory.fusion_windows import Part
from tsmemory.metrics import season_length
from tsmemory.tuning.gates.folds import Folds, distance_to, purge_steps, take_parts
from tsmemory.tuning.gates.sample import sample_windows, spacing
from tsmemory.tuning.gates.scores import mean_metric, metric_sums

CONFIG = FusionConfig(block=5, guard=GuardConfig(samples=100))


@pytest.fixture(scope="module")
def domain():
    return small_domain()


@pytest.fixture(scope="module")
def folds(domain):
    return Folds.cut(domain.validation, blocks=3, horizons=(4, H), metric="crps", seed=7)


@pytest.fixture(scope="module")
def parts(domain):
    """A memory that is nearer to the truth than the backbone, in two batches."""
    contexts, target, quantiles, _ = domain.validation.tensors()
    memory = quantiles + 0.5 * torch.nan_to_num(target[:, None] - quantiles[:, [4]])
    whole = Part(target, quantiles, memory, contexts, domain.validation.channels())
    half = np.arange(len(target)) < len(target) // 2
    return [whole.take(half), whole.take(~half)]


def test_blocks_are_stretches_of_time(folds):
    assert folds.count == 3
    order = np.argsort(folds.origin_time, kind="stable")
    assert (np.diff(folds.block[order]) >= 0).all()
    per_block = np.bincount(folds.block)
    assert per_block.max() - per_block.min() <= len(np.unique(folds.split.windows.row))


def test_nothing_near_the_block_left_out_is_fitted_on(folds):
    for number in range(folds.count):
        fitted = folds.fitted_on(number)
        apart = folds.origin_time[fitted][:, None] - folds.origin_time[folds.block == number]
        assert np.abs(apart).min() >= folds.purge
        assert fitted.sum() >= (folds.block != number).sum() / 3


@pytest.mark.parametrize(("steps", "wanted"), [(400, 50), (400, 500), (30, 500)])
def test_as_much_is_purged_as_leaves_a_third(steps, wanted):
    origin = np.arange(steps)
    block = origin * 4 // steps
    purge = purge_steps(origin, block, wanted)
    assert 0 < purge <= wanted
    left = [
        ((distance_to(origin, block, n) >= purge) & (block != n)).sum() / (block != n).sum()
        for n in range(4)
    ]
    assert min(left) >= 1 / 3
    if purge < wanted:  # one more step would be too many
        left = [
            ((distance_to(origin, block, n) >= purge + 1) & (block != n)).sum() for n in range(4)
        ]
        assert min(left) < (block != 0).sum() / 3 + 1


def test_long_validation_is_purged_by_a_whole_window():
    origin = np.arange(0, 100 * (L + H), 5)
    assert purge_steps(origin, origin * 4 // (origin.max() + 1), L + H) == L + H


def test_scores_are_those_of_fusions_chosen_elsewhere(folds, parts, domain):
    """By hand, block after block."""
    told = []
    found = folds.score(parts, CONFIG, None, lambda number, value: told.append((number, value)))
    windows, sums = domain.validation_windows, []
    whole = Part(*(_joined([part[i] for part in parts]) for i in range(5)))
    for number in range(3):
        fitted, held_out = folds.fitted_on(number), folds.block == number
        fusion = fit_fusion(
            lambda fitted=fitted: [whole.take(fitted)],
            folds.origin_time[fitted],
            levels=LEVELS,
            horizon=H,
            stride=spacing(folds.origin_time),
            config=CONFIG,
            rng=np.random.default_rng([7, number]),
            season=season_length(domain.series.freq),
        )
        mine = whole.take(held_out)
        reached = np.stack([windows.take(held_out).complete(h) for h in (4, H)], axis=1)
        sums.append(
            metric_sums(
                mine.target,
                mine.fuse(fusion, 4),
                metric="crps",
                levels=LEVELS,
                horizons=(4, H),
                complete=reached,
            )
        )
        assert told[number] == (number, pytest.approx(mean_metric(np.concatenate(sums))))
    assert found.value == pytest.approx(mean_metric(np.concatenate(sums)), rel=1e-9)
    assert found.by_block() == pytest.approx([mean_metric(block) for block in sums], rel=1e-9)


def test_the_block_left_out_does_not_choose_its_own_fusion(folds, parts):
    """Other targets in a block change its score by themselves, and no other block's fusion."""
    wild = []
    first = 0
    for part in parts:
        mine = folds.block[first : first + len(part.target)] == 1
        first += len(part.target)
        target = part.target.clone()
        target[torch.from_numpy(mine)] *= -3
        wild.append(part._replace(target=target))
    before, after = [], []
    folds.score(parts, CONFIG, None, lambda number, value: before.append(value))
    folds.score(wild, CONFIG, None, lambda number, value: after.append(value))
    fused = _fusion_of(folds, parts, 1), _fusion_of(folds, wild, 1)
    assert fused[0].to_json() == fused[1].to_json()
    assert before[1] != after[1]


def test_what_the_listener_raises_ends_the_work(folds, parts):
    class EnoughError(Exception):
        pass

    told = []

    def listen(number, value):
        told.append(number)
        raise EnoughError

    with pytest.raises(EnoughError):
        folds.score(parts, CONFIG, None, listen)
    assert told == [0]


def test_parts_are_cut_over_their_borders(parts):
    which = np.zeros(sum(len(part.target) for part in parts), bool)
    which[len(parts[0].target) - 1 :] = True
    taken = take_parts(parts, which)
    assert [len(part.target) for part in taken] == [1, len(parts[1].target)]
    assert torch.equal(taken[0].target, parts[0].target[-1:])


@pytest.mark.parametrize("steps", [1, 500, 2000, 10**6])
def test_a_sample_holds_all_series_at_an_origin_and_half_the_hours(domain, steps):
    windows, series, season = domain.validation_windows, domain.series, 8
    rows = sample_windows(windows, series, steps=steps, season=season)
    calendar = windows.calendar(series)
    assert (np.isin(calendar, calendar[rows]) == np.isin(np.arange(len(windows)), rows)).all()
    gap = np.unique(np.diff(np.unique(calendar[rows])))
    assert len(gap) <= 1
    assert all(np.gcd(g, season) <= 2 for g in gap)
    if steps >= len(windows) * H:
        assert len(rows) == len(windows)
    else:
        assert len(rows) * H <= max(steps, 2 * H)


def _joined(values):
    return np.concatenate(values) if isinstance(values[0], np.ndarray) else torch.cat(values)


def _fusion_of(folds, parts, number):
    fitted = folds.fitted_on(number)
    chosen = take_parts(parts, fitted)
    return fit_fusion(
        lambda: chosen,
        folds.origin_time[fitted],
        levels=LEVELS,
        horizon=H,
        stride=1,
        config=replace(CONFIG),
        rng=np.random.default_rng(0),
    )
