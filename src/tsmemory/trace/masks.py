"""Random masks over the gates that imitate the pruned model (METHOD, section 2.2)."""

import math

import numpy as np
import numpy.typing as npt

from tsmemory.trace.config import MaskConfig

Masks = npt.NDArray[np.float32]
Shares = npt.NDArray[np.float64]


_STRATA = 8


def draw_masks(config: MaskConfig, draws: int, sites: int, rng: np.random.Generator) -> Masks:
    """Draw masks that close a share of the sites.

    ``bernoulli`` closes each site by its own coin; ``exact`` closes ``round(p * sites)`` of them,
    but leaves one open. A site's turns are spread evenly over the draws: consecutive draws, which
    are neighbouring windows where every row has its own mask, do not all close it. Each mask by
    itself is as random as it would be alone.

    Args:
        config: Kind and share ``p``; ``uniform`` draws ``p`` from ``U(0, 1)`` for each mask, which
            weighs all sizes of the pruned model alike, as a Shapley value does.
        draws: Number of masks.
        sites: Number of sites.
        rng: Source of randomness.

    Returns:
        1 where open, 0 where closed. Shape ``(draws, sites)``.
    """
    share = config.closed_share
    closed = _spread(draws, 1, rng)[:, 0] if share == "uniform" else np.full(draws, share)
    if config.kind == "exact":
        return _exact(closed, sites, rng)
    return (_spread(draws, sites, rng) >= closed[:, None]).astype(np.float32)


def _spread(draws: int, columns: int, rng: np.random.Generator) -> Shares:
    """Uniform numbers; every few consecutive ones of a column lie in different strata of (0, 1)."""
    blocks = math.ceil(draws / _STRATA)
    strata = rng.permuted(np.tile(np.arange(_STRATA), (blocks, columns, 1)), axis=-1)
    by_draw = strata.swapaxes(1, 2).reshape(-1, columns)[:draws]
    return (by_draw + rng.random(by_draw.shape)) / _STRATA


def _exact(closed: Shares, sites: int, rng: np.random.Generator) -> Masks:
    masks = np.zeros((len(closed), sites), dtype=np.float32)
    turns = np.zeros(sites)
    for mask, share in zip(masks, closed, strict=True):
        # Whose turns were fewest comes first, and chance decides among equals.
        order = np.argsort(turns + rng.random(sites))
        kept = order[: max(1, sites - round(share * sites))]
        mask[kept] = 1.0
        turns[kept] += 1
    return masks
