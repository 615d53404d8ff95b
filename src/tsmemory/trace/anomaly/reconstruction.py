"""Scores from reconstruction: how badly a hidden patch is told from the patches around it.

A patch is hidden from the encoder as missing values, and a linear head tells it from its own token
and those beside it. Whoever sees a patch can copy it, anomalous or not; whoever does not must know
what is usual. The head has a closed form. A score looks at both sides of its step, so that it suits
looking back and not raising an alarm.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from tsmemory.series.series_set import Float
from tsmemory.trace.anomaly.residuals import spread_so_far
from tsmemory.trace.encoder import PatchEncoder
from tsmemory.trace.errors import TraceError
from tsmemory.trace.weighted_ridge import LinearMap, WeightedRidge

_BATCH = 256


@dataclass(frozen=True)
class HiddenPatches:
    """How patches are hidden and told again.

    Attributes:
        every: In one pass every so many-th patch is hidden, at least 2.
        shift: Steps between the windows that the head is fitted on; no divisor of usual seasons, so
            that windows begin at every phase.
        held_out: Share at the end of each series' usual part that chooses the penalty.
        penalties: Penalties to try, as shares of the features' mean sum of squares.
    """

    every: int = 3
    shift: int = 7
    held_out: float = 0.25
    penalties: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0, 100.0)

    def __post_init__(self) -> None:
        if self.every < 2 or self.shift < 1 or not 0 < self.held_out < 1 or not self.penalties:
            raise TraceError(
                "hidden patches: every starts at 2, shift at 1, held_out lies between 0 and 1, and "
                "there is a penalty to try"
            )


class _Hidden(NamedTuple):
    """Hidden patches of some windows.

    Attributes:
        features: Their tokens and those beside them. Shape ``(n, 3 * D)``.
        targets: What was hidden, in the windows' instance-normalised unit. Shape ``(n, P)``.
        loc: Shape ``(n, 1)``.
        scale: Shape ``(n, 1)``.
        steps: First step of each patch. Shape ``(n,)``.
    """

    features: torch.Tensor
    targets: torch.Tensor
    loc: torch.Tensor
    scale: torch.Tensor
    steps: torch.Tensor


class Reconstructor:
    """An encoder with a head that tells hidden patches.

    Attributes:
        penalty: Penalty that the held-out part chose.
        errors: Held-out mean squared error of each penalty; 1 is the error of a series' mean.
    """

    def __init__(
        self,
        encoder: PatchEncoder,
        head: LinearMap,
        config: HiddenPatches,
        *,
        penalty: float,
        errors: dict[str, float],
    ) -> None:
        """Put the parts together; :meth:`fit` finds them."""
        self._encoder = encoder
        self._head = head
        self._config = config
        self.penalty = penalty
        self.errors = errors

    @classmethod
    @torch.inference_mode()
    def fit(
        cls, encoder: PatchEncoder, usual: Sequence[Float], config: HiddenPatches
    ) -> "Reconstructor":
        """Fit one head for all series, on what is usual in them.

        Args:
            encoder: Reads patches that do not overlap, three of them or more.
            usual: The part of each series that is taken as usual, NaN where missing. ``(T_i,)``.
            config: How patches are hidden.

        Returns:
            The encoder with its head, in the unit of the windows' instance norm; each window counts
            with its squared scale, in the unit of its series' variance.

        Raises:
            TraceError: An encoder that cannot be read so, or nothing to fit on.
        """
        patch = _patch_length(encoder)
        rows, weights, late = [], [], []
        for values in (each for each in usual if not np.isnan(each).all()):
            for hidden in _hidden(encoder, values, 0, config.shift, config.every):
                known = ~torch.isnan(hidden.targets).any(dim=1)
                spread = float(np.nanstd(values)) or 1.0
                rows.append((hidden.features[known], hidden.targets[known]))
                weights.append((hidden.scale[known, 0] / spread) ** 2)
                border = (1 - config.held_out) * len(values)
                late.append(hidden.steps[known] + patch > border)
        if not rows or not sum(len(each) for each in weights):
            raise TraceError(
                f"no part taken as usual holds {patch} steps in a row without a gap, which one "
                "hidden patch needs; give longer series, or take more of them as usual"
            )
        features, targets = (torch.cat(parts) for parts in zip(*rows, strict=True))
        weight, last = torch.cat(weights), torch.cat(late)
        errors = _errors(features, targets, weight, last, config.penalties)
        best = min(errors, key=lambda penalty: errors[penalty])
        head = WeightedRidge(features, weight).solve(targets, best)
        told = {f"{penalty:g}": error for penalty, error in errors.items()}
        return cls(encoder, head, config, penalty=best, errors=told)

    @torch.inference_mode()
    def score(self, values: Float, *, first: int) -> Float:
        """Score steps by how far they lie from what the hidden patch was told to be.

        Args:
            values: NaN where missing. Shape ``(T,)``.
            first: The first step to score.

        Returns:
            Absolute error over the spread of the values before the step, mean over the windows that
            cover it, NaN where unknown. Shape ``(T,)``.
        """
        patch = _patch_length(self._encoder)
        stride = max(self._encoder.patches - 2, 2) // 2 * patch
        total, count = np.zeros(len(values)), np.zeros(len(values))
        for hidden in _hidden(self._encoder, values, first, stride, self._config.every):
            error = (self._head(hidden.features) - hidden.targets).abs() * hidden.scale
            steps = hidden.steps[:, None].numpy() + np.arange(patch)
            known = ~torch.isnan(error).numpy()
            np.add.at(total, steps[known], error.numpy()[known])
            np.add.at(count, steps[known], 1)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        mean[:first] = np.nan
        return np.asarray(mean / spread_so_far(values), dtype=np.float32)


def _hidden(
    encoder: PatchEncoder, values: Float, first: int, stride: int, every: int
) -> Iterator[_Hidden]:
    """Hide the patches of windows over a series that touch steps from ``first`` on.

    Windows reach beyond both ends by missing values. The outermost patches of a window, which lack
    a neighbour, are never hidden.
    """
    patch, patches, length = _patch_length(encoder), encoder.patches, encoder.context_length
    starts = np.arange(first - (patches - 2) * patch, len(values) - patch, stride)
    padded = np.pad(values, length, constant_values=np.nan)
    views = np.lib.stride_tricks.sliding_window_view(padded, length)
    for begin in range(0, len(starts), _BATCH):
        batch = starts[begin : begin + _BATCH]
        windows = torch.from_numpy(np.ascontiguousarray(views[batch + length]))
        for offset in range(every):
            where = torch.arange(1 + offset, patches - 1, every)
            if len(where):
                yield _hide(encoder, windows, torch.from_numpy(batch), where)


def _hide(
    encoder: PatchEncoder, windows: torch.Tensor, starts: torch.Tensor, where: torch.Tensor
) -> _Hidden:
    """Hide some patches ``(k,)`` of windows ``(B, L)`` that begin at steps ``(B,)``."""
    patch = _patch_length(encoder)
    shown = windows.reshape(len(windows), -1, patch).clone()
    targets = shown[:, where]  # (B, k, P)
    shown[:, where] = torch.nan
    tokens, loc, scale = encoder(shown.flatten(1).to(encoder.model.device))
    beside = torch.stack([where - 1, where, where + 1], dim=1)
    features = tokens[:, beside].flatten(2).float().cpu()  # (B, k, 3 * D)
    loc, scale = loc.float().cpu()[:, None], scale.float().cpu()[:, None]
    level, spread = (each.expand(-1, len(where), -1).flatten(0, 1) for each in (loc, scale))
    steps = starts[:, None] + where * patch
    return _Hidden(
        features.flatten(0, 1),
        ((targets - loc) / scale).flatten(0, 1),
        level,
        spread,
        steps.flatten(),
    )


def _errors(
    features: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    late: torch.Tensor,
    penalties: Sequence[float],
) -> dict[float, float]:
    """Weighted squared error of each penalty on the late rows, fitted on the others."""
    early = ~late
    if not bool(late.any()) or not bool(early.any()):
        early = late = torch.ones_like(late)
    ridge = WeightedRidge(features[early], weights[early])
    share = (weights[late] / len(weights[late]))[:, None]
    found = {}
    for penalty, head in zip(penalties, ridge.path(targets[early], penalties), strict=True):
        squared = (head(features[late]) - targets[late]).square()
        found[float(penalty)] = float((share * squared).sum(dim=0).mean())
    return found


def _patch_length(encoder: PatchEncoder) -> int:
    """P, steps of a patch.

    Raises:
        TraceError: Patches overlap or are too few to hide one.
    """
    config = encoder.model.chronos_config
    size, stride = int(config.input_patch_size), int(config.input_patch_stride)
    if size != stride or encoder.context_length % size or encoder.patches < 3:
        raise TraceError(
            f"reconstruction hides whole patches of {size} steps, at least one of three that do "
            f"not overlap; a context of {encoder.context_length} steps does not hold them so: give "
            f"a multiple of {size} from {3 * size} on"
        )
    return size
