"""The closed-form start of a head, on tokens of the frozen encoder (METHOD 2.3).

What is minimised is the squared error in train z units, as in :mod:`tsmemory.memory.ridge`: each
window counts with its squared scale. For the flat head this is the ridge itself; for heads over
fixed features (``truncation``, ``pooling``) the ridge in these; for ``low_rank`` the reduced-rank
ridge. For ``projection`` and ``depthwise`` the directions come from the flat ridge (see
:mod:`tsmemory.trace.head_directions`) and the rest is the ridge in the projected features. A head
that corrects the backbone's own forecast is solved on what a share of that forecast leaves, and
steps away from it no farther than :mod:`tsmemory.trace.head_step` lets it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import torch

from tsmemory.memory.instance_norm import bridge_gaps
from tsmemory.trace.errors import TraceError
from tsmemory.trace.head_directions import regression_directions, varied_features
from tsmemory.trace.head_parts import LowRank
from tsmemory.trace.head_step import Seen, kept_share
from tsmemory.trace.head_widths import residual_widths
from tsmemory.trace.heads import Head
from tsmemory.trace.reducers import Projection, Truncation
from tsmemory.trace.weighted_ridge import LinearMap, WeightedRidge

_FOLDS = 4
_BATCH = 4096
_SKIPS = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares of the backbone's forecast that are tried

Map = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class HeadRows:
    """What a head is solved or judged on.

    Attributes:
        tokens: Of the frozen encoder, read as the head wants. Shape ``(n, N, D)``.
        targets: In the instance-normalised unit, NaN where unknown. Shape ``(n, H)``.
        weights: Squared scale of each window. Shape ``(n,)``.
    """

    tokens: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor

    def take(self, which: torch.Tensor) -> "HeadRows":
        """The chosen rows."""
        return HeadRows(self.tokens[which], self.targets[which], self.weights[which])


@dataclass(frozen=True)
class HeadStart:
    """How a head's closed-form start was found.

    Attributes:
        penalty: Chosen penalty, as a share of the features' mean weighted sum of squares.
        skip: Chosen share of the backbone's own forecast; 0 where the head does not correct it.
        kept: Mean over steps of the share of the step away from that forecast which no stretch
            of time speaks against; 1 where the head does not correct it.
        validation_mse: Validation MSE (z units) of every penalty tried, at that share of the
            forecast and before the step is cut.
    """

    penalty: float
    skip: float
    kept: float
    validation_mse: dict[str, float]


class _Trial(NamedTuple):
    error: float
    skip: float
    penalty: float


@torch.no_grad()
def solve_head(
    head: Head,
    train: HeadRows,
    validation: HeadRows,
    *,
    calendar: torch.Tensor,
    span: int,
    penalties: Sequence[float],
    step_weights: torch.Tensor | None = None,
) -> HeadStart:
    """Give a head its closed-form start, in place.

    Validation chooses the penalty and the share of the backbone's forecast; stretches of training
    time have a say in how far the head steps away from that. The widths between quantiles are those
    of residuals on training windows that the ridge was not fitted on.

    Args:
        head: The head.
        train: Training windows.
        validation: Windows that choose.
        calendar: Start of each training window on the grid that all series share. ``(n,)``.
        span: L + H, steps of a window: folds keep that far apart.
        penalties: Penalties to try, as shares (see :class:`WeightedRidge`).
        step_weights: What each step counts, above 0; all alike if not given. Shape ``(H,)``.

    Returns:
        The choices and the error of each penalty.

    Raises:
        TraceError: No training window has a known target step and a context that varies.
    """
    known = ~torch.isnan(train.targets).all(dim=1) & (train.weights > 0)
    if not bool(known.any()):
        raise TraceError("no training window has a known target step and a context that varies")
    train = train.take(known)
    train = replace(train, targets=bridge_gaps(train.targets))
    emphasis = torch.ones(head.horizon) if step_weights is None else step_weights
    solver = _Solver(head, train, validation, emphasis.to(train.targets))
    solver.choose_features(penalties)
    trials = list(solver.trials(penalties))
    best = min(trials)
    seen = list(solver.held_out(best, calendar[known], span))
    kept = solver.settle(best, seen)
    if head.widths is not None:
        residuals = torch.cat([part.residuals(kept, best.skip) for part in seen])
        weights = torch.cat([part.weights for part in seen])
        head.widths.start_from(residual_widths(residuals, weights.sqrt(), head.levels))
    errors = {f"{trial.penalty:g}": trial.error for trial in trials if trial.skip == best.skip}
    return HeadStart(best.penalty, best.skip, float(kept.mean()), errors)


@torch.no_grad()
def mean_squared_error(point: Map, rows: HeadRows, step_weights: torch.Tensor) -> float:
    """Mean squared error of a point forecast over the known target steps, in z units.

    Args:
        point: Tokens to point forecasts ``(B, H)`` in the instance-normalised unit.
        rows: What is forecast.
        step_weights: What each step counts. Shape ``(H,)``.
    """
    total, count = 0.0, 0.0
    for which in torch.split(torch.arange(len(rows.tokens)), _BATCH):
        batch = rows.take(which)
        error = batch.targets - point(batch.tokens)
        known = ~torch.isnan(error)
        squared = torch.where(known, error, 0.0).square() * batch.weights[:, None]
        total += float((squared * step_weights).sum(dtype=torch.float64))
        count += float((known * step_weights).sum(dtype=torch.float64))
    return total / max(count, 1e-12)


class _Solver:
    """One head on its windows."""

    def __init__(
        self, head: Head, train: HeadRows, validation: HeadRows, emphasis: torch.Tensor
    ) -> None:
        self.head, self.train, self.validation, self.emphasis = head, train, validation, emphasis
        self._skips = (0.0,) if head.native is None else _SKIPS
        self._native = self._native_medians(train), self._native_medians(validation)

    def choose_features(self, penalties: Sequence[float]) -> None:
        """Set what the head reads of each patch, where that is not fixed by its kind."""
        reduce = self.head.reduce
        if isinstance(reduce, Truncation):
            patches = self.head.patches(self.train.tokens)
            reduce.kept.copy_(varied_features(patches, self.train.weights, len(reduce.kept)))
        if isinstance(reduce, Projection):
            count, width = reduce.directions.weight.shape
            found = regression_directions(self._flat(penalties), width, count)
            reduce.directions.weight.copy_(found)

    def trials(self, penalties: Sequence[float]) -> Iterator[_Trial]:
        """Validation error of each share of the backbone's forecast, and penalty."""
        ridge = self._ridge(self.train)
        for skip in self._skips:
            train, validation = self._rest(skip)
            for penalty, found in zip(penalties, ridge.path(train.targets, penalties), strict=True):
                self._take_over(found)
                error = mean_squared_error(self.head.own, validation, self.emphasis)
                yield _Trial(error, skip, float(penalty))

    def held_out(self, best: _Trial, calendar: torch.Tensor, span: int) -> Iterator[Seen]:
        """Stretches of training time, seen by ridges fitted on windows that do not overlap them.

        Folds are consecutive stretches of the calendar. Where the training split is too short to
        leave any of them out, the ridge is the one on its own windows.
        """
        rows = self._rest(best.skip)[0]
        fold = calendar.argsort().argsort() * _FOLDS // len(calendar)
        everywhere = torch.ones_like(calendar, dtype=torch.bool)
        stretches = []
        for number in range(_FOLDS):
            members = fold == number
            if not bool(members.any()):
                continue
            low, high = calendar[members].min() - span, calendar[members].max() + span
            rest = (calendar <= low) | (calendar >= high)
            if int(rest.sum()) >= len(calendar) / 10:
                stretches.append((rest, members))
        for rest, members in stretches or [(everywhere, everywhere)]:
            fitted = rows.take(rest)
            self._take_over(self._ridge(fitted).solve(fitted.targets, best.penalty))
            yield self._see(self.train.take(members), self._native[0], members)

    def settle(self, best: _Trial, seen: Sequence[Seen]) -> torch.Tensor:
        """Solve the head for good, and cut its step away from the backbone.

        Returns:
            The share of the step that is kept. Shape ``(H,)``.
        """
        head = self.head
        targets = self._rest(best.skip)[0].targets
        self._take_over(self._ridge(self.train).solve(targets, best.penalty))
        if head.native is None:
            return torch.ones_like(self.emphasis)
        known = torch.arange(head.horizon, device=targets.device) < head.native.horizon
        validation = self._see(self.validation, self._native[1])
        kept = kept_share([*seen, validation], best.skip, self.emphasis, known)
        output = head.output.up if isinstance(head.output, LowRank) else head.output
        output.weight.mul_(kept[:, None])
        output.bias.mul_(kept)
        head.skip.copy_(1 - kept + kept * best.skip)
        return kept

    def _see(self, rows: HeadRows, native: torch.Tensor, which: torch.Tensor | None = None) -> Seen:
        """Windows with the forecasts of the head as it is."""
        own = torch.cat([self.head.own(part) for part in torch.split(rows.tokens, _BATCH)])
        if self.head.native is None:
            native = torch.zeros_like(own)
        elif which is not None:
            native = native[which]
        return Seen(rows.targets, rows.weights, own, native)

    def _flat(self, penalties: Sequence[float]) -> LinearMap:
        """The flat ridge with the least validation error."""
        best, least = None, float("inf")
        ridge = WeightedRidge(self._table(self.train.tokens), self.train.weights)
        for skip in self._skips:
            train, validation = self._rest(skip)
            for found in ridge.path(train.targets, penalties):
                error = mean_squared_error(
                    partial(self._flat_point, found), validation, self.emphasis
                )
                if best is None or error < least:
                    best, least = found, error
        assert best is not None  # there is at least one penalty
        return best

    def _flat_point(self, found: LinearMap, tokens: torch.Tensor) -> torch.Tensor:
        return found(self._table(tokens))

    def _table(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head.patches(tokens).flatten(1)

    def _ridge(self, rows: HeadRows) -> WeightedRidge:
        return WeightedRidge(self.head.reduce(self.head.patches(rows.tokens)), rows.weights)

    def _rest(self, skip: float) -> tuple[HeadRows, HeadRows]:
        """Training and validation windows with what a share of the backbone's forecast leaves."""
        if skip == 0:
            return self.train, self.validation
        pairs = zip((self.train, self.validation), self._native, strict=True)
        train, validation = (replace(r, targets=r.targets - skip * n) for r, n in pairs)
        return train, validation

    def _native_medians(self, rows: HeadRows) -> torch.Tensor:
        if self.head.native is None:
            return rows.targets.new_zeros(())
        parts = torch.split(rows.tokens, _BATCH)
        return torch.cat([self.head.native_median(part) for part in parts])

    def _take_over(self, found: LinearMap) -> None:
        """Copy a solved map into the head's output."""
        output = self.head.output
        if isinstance(output, LowRank):
            down, up, bias = found.factors(output.down.out_features, self.emphasis)
            output.down.weight.copy_(down.T)
            output.up.weight.copy_(up.T)
            output.up.bias.copy_(bias)
            return
        output.weight.copy_(found.weight.T)
        output.bias.copy_(found.bias)
