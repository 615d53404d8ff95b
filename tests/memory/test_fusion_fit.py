import numpy as np
import pytest
import torch

from builders import LEVELS
from tsmemory.memory.config import FusionConfig, GuardConfig
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_fit import (
    Part,
    block_losses,
    fit_factor,
    fit_fusion,
    fit_location,
)
from tsmemory.memory.objective import pinball

BLOCK, H, N = 4, 10, 300
MEDIAN = LEVELS.index(0.5)
NORMAL = torch.tensor([torch.special.ndtri(torch.tensor(q, dtype=torch.float64)) for q in LEVELS])


def band(width):
    """Gaussian quantile offsets. Shape ``(1, Q, 1)``."""
    return (NORMAL.float() * width)[None, :, None]


def made_up(seed=0, *, share=0.6, width=1.0, memory_noise=0.0, n=N):
    """The memory knows ``share`` of what the backbone misses; noise of size ``width`` remains."""
    rng = np.random.default_rng(seed)
    known, noise, wrong = (
        torch.from_numpy(rng.normal(size=(n, H)).astype(np.float32)) for _ in range(3)
    )
    target = share * known + width * noise
    backbone = torch.zeros(n, H)[:, None] + band(2.0)
    memory = (known + memory_noise * wrong)[:, None] + band(1.0)
    return Part(target, backbone, memory)


def parts_of(part, size=64):
    def run():
        for first in range(0, len(part.target), size):
            yield Part(*(v if v is None else v[first : first + size] for v in part))

    return run


def fit(part, *, shrinkage=0.0, stride=1, seed=0, **guard):
    return fit_fusion(
        parts_of(part),
        np.arange(len(part.target)) * stride,
        levels=LEVELS,
        horizon=H,
        stride=stride,
        config=FusionConfig(block=BLOCK, shrinkage=shrinkage, guard=GuardConfig(**guard)),
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("shrinkage", [0.0, 0.5, 1.0])
def test_location_is_least_squares_by_block(shrinkage):
    part = made_up()
    part.target[::7, 8:] = torch.nan
    found = fit_location(parts_of(part), block=BLOCK, median=MEDIAN, shrinkage=shrinkage)
    target, step = part.target.double().numpy(), part.memory[:, MEDIAN].double().numpy()
    known = ~np.isnan(target)

    def slope(columns):
        y, m = (a[:, columns][known[:, columns]] for a in (target, step))
        return np.linalg.lstsq(m[:, None], y, rcond=None)[0][0]

    overall = slope(slice(None))
    own = [slope(slice(0, 4)), slope(slice(4, 8)), slope(slice(8, 10))]
    expected = [(1 - shrinkage) * a + shrinkage * overall for a in own]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_factor_is_the_best_on_a_fine_grid():
    part = made_up(width=0.7)
    location = (0.6, 0.6, 0.6)
    found = fit_factor(
        parts_of(part), location, block=BLOCK, levels=LEVELS, median=MEDIAN, shrinkage=0.0
    )
    ones, level = (1.0,) * 3, torch.tensor(LEVELS)
    grid = np.geomspace(0.3, 5, 400)
    losses = []
    for factor in grid:
        fused = Fusion(BLOCK, location, ones, (factor,) * 3).apply(*part[1:3], MEDIAN)
        loss = pinball(part.target, fused, level)
        losses.append([loss[:, a:b].mean() for a, b in ((0, 4), (4, 8), (8, 10))])
    best = grid[np.argmin(losses, axis=0)]
    np.testing.assert_allclose(found, best, rtol=0.08)  # its own grid is 7 % apart
    np.testing.assert_allclose(found, 0.7, rtol=0.2)


def test_full_shrinkage_gives_all_blocks_one_factor():
    part = made_up()
    part.target[:, :4] *= 3
    free, shared = (
        fit_factor(
            parts_of(part), (0.6,) * 3, block=BLOCK, levels=LEVELS, median=MEDIAN, shrinkage=s
        )
        for s in (0.0, 1.0)
    )
    assert free[0] > free[1]
    assert len(set(np.round(shared, 9))) == 1
    assert free[1] < shared[0] < free[0]


def test_blocks_without_targets_take_what_the_others_say():
    part = made_up(width=0.7)
    part.target[:, 4:] = torch.nan
    location = fit_location(parts_of(part), block=BLOCK, median=MEDIAN, shrinkage=0.5)
    assert location[1] == location[2] == pytest.approx(location[0], rel=1e-6)
    factor = fit_factor(
        parts_of(part), location, block=BLOCK, levels=LEVELS, median=MEDIAN, shrinkage=0.5
    )
    assert factor[1] == factor[2] == pytest.approx(factor[0])


def test_without_any_target_nothing_is_changed():
    part = made_up()
    part.target[:] = torch.nan
    factor = fit_factor(
        parts_of(part), (0.0,) * 3, block=BLOCK, levels=LEVELS, median=MEDIAN, shrinkage=0.5
    )
    assert factor == (1.0, 1.0, 1.0)
    assert fit(part).is_idle


def test_block_losses_are_means_over_known_steps():
    part = made_up(n=20)
    part.target[3, :4] = torch.nan
    part.target[5, 1] = torch.nan
    fusion = Fusion(BLOCK, (0.2, 0.4, 0.9), (1.0, 0.5, 0.0), (0.9, 1.1, 1.0))
    losses = block_losses(parts_of(part, 7), fusion, levels=LEVELS)
    each = pinball(part.target, fusion.apply(*part[1:3], MEDIAN), torch.tensor(LEVELS)).numpy()
    each = np.where(np.isnan(part.target.numpy()), np.nan, each)
    assert losses.shape == (20, 3)
    assert np.isnan(losses[3, 0])
    rows = np.arange(20) != 3
    np.testing.assert_allclose(losses[rows, 0], np.nanmean(each[rows, :4], axis=1), rtol=1e-5)
    np.testing.assert_allclose(losses[:, 2], np.nanmean(each[:, 8:], axis=1), rtol=1e-5)


def test_a_memory_that_knows_more_is_used():
    fusion = fit(made_up())
    np.testing.assert_allclose(fusion.location, 0.6, atol=0.1)
    assert fusion.spread == (1.0, 1.0, 1.0)
    np.testing.assert_allclose(fusion.factor, 1.0, rtol=0.15)
    assert fusion.report["chosen_on"] == "validation"
    assert all(line["open"] for line in fusion.report["guard"]["whole"])
    assert set(fusion.report["guard"]) == {"location", "spread", "whole"}


def test_a_memory_whose_median_does_not_help_is_used_for_its_spread_alone():
    fusion = fit(made_up(share=0.0))
    assert fusion.location == (0.0, 0.0, 0.0)
    assert fusion.spread == (1.0, 1.0, 1.0)


def test_a_memory_whose_spread_is_no_better_keeps_the_backbones():
    part = made_up()
    narrow = Part(part.target, part.memory[:, [MEDIAN]] * 0 + band(1.0), part.memory)
    fusion = fit(narrow)
    assert fusion.location[0] > 0
    assert fusion.spread == (0.0, 0.0, 0.0)


def test_a_memory_that_says_nothing_new_leaves_the_backbone_alone():
    part = made_up()
    assert fit(Part(part.target, part.backbone, part.backbone + 0.0)).location == (0.0,) * 3
    right = Part(part.target, torch.zeros(N, 9, H) + band(1.17), part.memory * 0 + band(1.17))
    assert fit(right).is_idle


def test_what_fails_as_a_whole_is_not_used():
    """With a level no test can pass, nothing is."""
    fusion = fit(made_up(), alpha=0.0)
    assert fusion.is_idle
    assert fusion.report["location_before_guard"][0] > 0.4


def test_without_guard_the_fitted_weights_stand():
    fusion = fit(made_up(share=0.05), enabled=False)
    assert list(fusion.location) == fusion.report["location_before_guard"]
    assert fusion.spread == (1.0, 1.0, 1.0)


def test_one_seed_gives_one_answer():
    assert fit(made_up(share=0.1)) == fit(made_up(share=0.1))
