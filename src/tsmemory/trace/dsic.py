"""Importance of each LoRA site under random masks (TRACE, Gated DSIC; METHOD, section 2.2)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tsmemory.trace.config import MaskConfig
from tsmemory.trace.errors import TraceError
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.masks import Masks, draw_masks

Estimator = Literal["serial", "per_row"]
Score = Literal["abs_mean", "mean_abs", "signed"]
Weighting = Literal["plain", "taylor"]
Figures = npt.NDArray[np.float64]
Batch = Tensor | Sequence[Tensor]
LossOfRows = Callable[[Batch], Tensor]


@dataclass(frozen=True)
class SiteScores:
    """How much each site matters.

    Attributes:
        names: Names of the sites.
        score: Importance; more is better. Shape ``(n_sites,)``.
        standard_error: Of the score, over masks (``serial``) or rows with their masks
            (``per_row``); NaN after a single draw. Shape ``(n_sites,)``.
        passes: Forward and backward passes over the scoring windows.
        seconds: Wall time.
    """

    names: tuple[str, ...]
    score: Figures
    standard_error: Figures
    passes: int
    seconds: float


def score_sites(
    gated: GatedLora,
    loss_of_rows: LossOfRows,
    batches: Sequence[Batch],
    *,
    estimator: Estimator = "per_row",
    passes: int = 8,
    score: Score = "mean_abs",
    weighting: Weighting = "plain",
    masks: MaskConfig,
    generator: np.random.Generator,
) -> SiteScores:
    """Score all sites, closed ones too, by the gradient of a loss with respect to their gates.

    The published score is ``I_i = 1/M sum_m |dL(g * z_m) / dg_i|`` over ``M`` masks ``z_m``. The
    derivative is taken with respect to the product ``g_i z_mi``, so that a closed gate tells as
    well what opening it would do: its chain-rule derivative is 0, whatever the site is worth, and
    scores would vary with the number of masks that happen to close a site. On a site that half of
    the masks close, the mean is the trapezoidal rule for the loss that closing it costs.

    ``serial`` makes a pass over all windows for every mask. ``per_row`` makes a single one: rows do
    not interact, so that each may have a mask of its own. The absolute values of ``mean_abs`` are
    of means over rows; for it the rows are dealt to ``passes`` groups with a mask each, whose means
    are noisier than those over all rows: its standard error counts that in full.

    No weight is changed, and the model stays in the mode, training or inference, that it is in.

    Args:
        gated: The adapter. While ``B = 0`` every score is 0: train a little first.
        loss_of_rows: Loss of each row of a batch under the present gates. Shape ``(B,)``.
        batches: Scoring windows: tensors, or tuples of tensors whose first axis is the row.
        estimator: ``serial`` or ``per_row``.
        passes: Number ``M`` of masks, or of groups.
        score: Mean of absolute values, absolute value of the mean, or ``signed``: by how much the
            loss falls as the gate opens further.
        weighting: The gradient itself, or ``taylor``: times the gate.
        masks: How masks are drawn.
        generator: Source of randomness.

    Returns:
        The scores.

    Raises:
        TraceError: No window to score on, fewer than one mask, or merged LoRA.
    """
    rows, sites = sum(_rows(batch) for batch in batches), len(gated.sites)
    if passes < 1 or rows == 0:
        raise TraceError("scoring needs at least one mask and one window of the scoring part")
    started = time.perf_counter()
    serial, noise = estimator == "serial", np.zeros(sites)
    with gated.all_open(), torch.enable_grad():
        if serial:
            drawn = draw_masks(masks, passes, sites, generator)
            found = np.stack([_mean_gradient(gated, loss_of_rows, batches, z) for z in drawn])
        else:
            # Neighbouring windows go to different groups, which then all span the whole time.
            group = np.arange(rows) % (min(passes, rows) if score == "mean_abs" else rows)
            drawn = draw_masks(masks, group.max() + 1, sites, generator)
            found = _row_gradients(gated, loss_of_rows, batches, drawn[group])
            if score == "mean_abs":
                found, noise = _group_means(found, group)
        gates = gated.gates.detach().double().cpu().numpy()
    factor = gates if weighting == "taylor" else np.ones(sites)
    figures = _summary(found * factor, noise * factor**2, score)
    seconds = time.perf_counter() - started
    return SiteScores(gated.names, *figures, passes=passes if serial else 1, seconds=seconds)


def _mean_gradient(
    gated: GatedLora, loss_of_rows: LossOfRows, batches: Sequence[Batch], mask: Masks
) -> Figures:
    """Gradient of the mean loss under one mask. Shape ``(n_sites,)``."""
    total, rows = np.zeros(len(mask)), 0
    with gated.effective(gated.gates * torch.from_numpy(mask).to(gated.gates)) as gates:
        for batch in batches:
            loss = loss_of_rows(batch)
            total += _gradient(loss, gates)
            rows += len(loss)
    return total / rows


def _row_gradients(
    gated: GatedLora, loss_of_rows: LossOfRows, batches: Sequence[Batch], masks: Masks
) -> Figures:
    """Gradient of each row's loss under its own mask. Shape ``(rows, n_sites)``."""
    found, first = [], 0
    for batch in batches:
        own = torch.from_numpy(masks[first : first + _rows(batch)]).to(gated.gates)
        with gated.effective(gated.gates * own) as gates:
            found.append(_gradient(loss_of_rows(batch), gates))
        first += len(own)
    return np.concatenate(found)


def _gradient(loss: Tensor, gates: Tensor) -> Figures:
    (gradient,) = torch.autograd.grad(loss.sum(), gates)
    found: Figures = gradient.double().cpu().numpy()
    return found


def _group_means(rows: Figures, group: npt.NDArray[np.int64]) -> tuple[Figures, Figures]:
    """Mean of each group ``(groups, n_sites)``, and its sampling variance in the mean over them."""
    parts = [rows[group == number] for number in range(group.max() + 1)]
    noise = [part.var(axis=0) / max(len(part) - 1, 1) for part in parts]
    return np.stack([part.mean(axis=0) for part in parts]), np.mean(noise, axis=0)


def _summary(draws: Figures, noise: Figures, score: Score) -> tuple[Figures, Figures]:
    """Score and standard error from draws ``(draws, n_sites)`` and what blurs every one of them."""
    draws = np.abs(draws) if score == "mean_abs" else draws
    mean, count = draws.mean(axis=0), len(draws)
    spread = draws.var(axis=0, ddof=1) / count if count > 1 else np.full(len(mean), np.nan)
    return -mean if score == "signed" else np.abs(mean), np.sqrt(spread + noise)


def _rows(batch: Batch) -> int:
    return len(batch) if isinstance(batch, Tensor) else len(batch[0])
