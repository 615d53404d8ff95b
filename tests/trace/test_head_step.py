import numpy as np
import pytest
import torch

from tsmemory.trace.head_step import Seen, kept_share

STEPS, SKIP = 60, 0.25
EVERYWHERE = torch.ones(STEPS, dtype=torch.bool)


def seen(wanted, seed, *, count=20, noise=0.0):
    """Windows whose targets lie ``wanted`` of the way from the backbone to the head."""
    rng = np.random.default_rng(seed)
    own, native = (torch.from_numpy(rng.normal(size=(count, STEPS))) for _ in range(2))
    targets = native + torch.as_tensor(wanted) * (own + (SKIP - 1) * native)
    targets = targets + noise * torch.from_numpy(rng.normal(size=targets.shape))
    return Seen(targets, torch.from_numpy(rng.uniform(0.5, 2, count)), own, native)


def test_the_step_is_cut_to_the_shortest_that_any_stretch_wants():
    stretches = [seen(wanted, number) for number, wanted in enumerate((1.3, 0.9, 0.4))]
    kept = kept_share(stretches, SKIP, torch.ones(STEPS), EVERYWHERE)
    torch.testing.assert_close(kept, torch.full((STEPS,), 0.4))


@pytest.mark.parametrize(("wanted", "expected"), [((1.3, 1.2, 1.1), 1.0), ((0.9, 0.8, -0.5), 0.0)])
def test_the_step_is_never_longer_than_whole_nor_backwards(wanted, expected):
    stretches = [seen(length, number) for number, length in enumerate(wanted)]
    kept = kept_share(stretches, SKIP, torch.ones(STEPS), EVERYWHERE)
    torch.testing.assert_close(kept, torch.full((STEPS,), expected))


def test_blocks_have_cuts_of_their_own_drawn_half_way_to_the_whole():
    wanted = torch.cat([torch.full((24,), 0.8), torch.full((24,), 0.2), torch.full((12,), 0.2)])
    stretches = [seen(wanted, number, count=4000) for number in range(3)]
    kept = kept_share(stretches, SKIP, torch.ones(STEPS), EVERYWHERE)
    whole = 0.8 * 24 / STEPS + 0.2 * 36 / STEPS
    expected = torch.cat(
        [torch.full((24,), (0.8 + whole) / 2), torch.full((36,), (0.2 + whole) / 2)]
    )
    torch.testing.assert_close(kept, expected, atol=0.02, rtol=0)


def test_two_stretches_cannot_tell():
    kept = kept_share([seen(0.1, 0), seen(0.2, 1)], SKIP, torch.ones(STEPS), EVERYWHERE)
    assert (kept == 1).all()


def test_nothing_is_cut_where_the_backbone_does_not_forecast():
    known = torch.arange(STEPS) < 30
    wanted = torch.where(known, 0.5, 3.0)
    stretches = [seen(wanted, number) for number in range(3)]
    kept = kept_share(stretches, SKIP, torch.ones(STEPS), known)
    torch.testing.assert_close(kept, torch.where(known, 0.5, 1.0))


def test_unknown_steps_count_as_nothing_and_residuals_follow_the_cut():
    part = seen(0.5, 0)
    part.targets[:5, 3] = torch.nan
    holes = [part, seen(0.5, 1), seen(0.5, 2)]
    kept = kept_share(holes, SKIP, torch.ones(STEPS), EVERYWHERE)
    torch.testing.assert_close(kept, torch.full((STEPS,), 0.5))
    residuals = part.residuals(kept, SKIP)
    assert residuals[:5, 3].isnan().all()
    torch.testing.assert_close(
        residuals.nan_to_num(), torch.zeros_like(residuals), atol=1e-6, rtol=0
    )
