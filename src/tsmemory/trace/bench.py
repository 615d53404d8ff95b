"""What all rows of a table share: backbone, windows, and the closed-form start of each head."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.trace.base import Base
from tsmemory.trace.config import HeadConfig, TraceConfig
from tsmemory.trace.encoder import PatchEncoder
from tsmemory.trace.errors import TraceError
from tsmemory.trace.examples import Examples
from tsmemory.trace.head_ridge import HeadRows, solve_head
from tsmemory.trace.heads import Head
from tsmemory.trace.model import TraceModel, build_model
from tsmemory.trace.objective import horizon_weights
from tsmemory.trace.splits import TraceWindows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """A head's closed-form start.

    Attributes:
        state: The head's tensors by name.
        seconds: What solving took, tokens included.
        penalty: Chosen ridge penalty, as a share.
        skip: Chosen share of the backbone's own forecast.
        kept: Share of the step away from that forecast which no stretch of time speaks against.
        errors: MSE (z units) of every penalty on the selection part of validation.
    """

    state: dict[str, Tensor]
    seconds: float
    penalty: float
    skip: float
    kept: float
    errors: dict[str, float]


class Bench:
    """Where rows are made: each from the same start, on the same windows.

    Attributes:
        base: The backbone.
        series: The rows of the panel.
        windows: Training windows, and both parts of validation.
        horizons: Horizons of the table, ascending; every model forecasts the longest.
        levels: Quantile levels.
        config: Settings of all rows.
    """

    def __init__(
        self,
        base: Base,
        series: SeriesSet,
        windows: TraceWindows,
        config: TraceConfig,
        *,
        horizons: Sequence[int],
        levels: Sequence[float] | None = None,
    ) -> None:
        """Take what rows are made from; nothing is computed yet.

        Args:
            base: The backbone.
            series: The rows of the panel.
            windows: Training windows, and both parts of validation.
            config: Settings.
            horizons: Horizons in steps; the longest is that of the windows.
            levels: Quantile levels; the backbone's own if not given.

        Raises:
            TraceError: No training windows, or windows of another horizon.
        """
        if not len(windows.train):
            raise TraceError("there is no training window to adapt the backbone with")
        if max(horizons) != windows.train.horizon:
            raise TraceError(
                f"windows of {windows.train.horizon} steps do not fit the horizons {list(horizons)}"
            )
        self.base = base
        self.series = series
        self.windows = windows
        self.config = config
        self.horizons = tuple(sorted(horizons))
        self.levels = base.levels if levels is None else tuple(levels)
        self._starts: dict[HeadConfig, Start] = {}

    def examples(self, windows: Windows, head: HeadConfig) -> Examples:
        """Windows with a head's loss on them."""
        return Examples(self.series, windows, self.horizons, head.loss)

    def model(self, head: HeadConfig) -> TraceModel:
        """A model at its start: a frozen encoder under a solved head, or under its own."""
        model = build_model(
            self.base,
            head,
            context_length=self.windows.train.context_length,
            horizon=self.horizons[-1],
            levels=self.levels,
        )
        if head.kind != "native":
            model.head.load_state_dict(self.start(head).state)
        return model.eval()

    def start(self, head: HeadConfig) -> Start:
        """The closed-form start of a head; solved once (METHOD 2.3)."""
        if head not in self._starts:
            self._starts[head] = self._solve(head)
        return self._starts[head]

    def _solve(self, head: HeadConfig) -> Start:
        train, selection, token_seconds = self._rows
        began = time.perf_counter()
        model = build_model(
            self.base,
            head,
            context_length=self.windows.train.context_length,
            horizon=self.horizons[-1],
            levels=self.levels,
        )
        assert isinstance(model.head, Head)
        windows = self._solved_on
        found = solve_head(
            model.head,
            train,
            selection,
            calendar=torch.from_numpy(windows.calendar(self.series)),
            span=windows.context_length + windows.horizon,
            penalties=self.config.training.penalties,
            step_weights=horizon_weights(self.horizons),
        )
        seconds = time.perf_counter() - began + token_seconds
        errors = found.validation_mse
        logger.info(
            "Head %s in closed form: penalty %g, beside %g of the backbone's own forecast, MSE "
            "%.4f; %.2f of the step away from it is kept",
            head.kind,
            found.penalty,
            found.skip,
            min(errors.values()),
            found.kept,
        )
        state = _copied(model.head.state_dict())
        return Start(state, seconds, found.penalty, found.skip, found.kept, errors)

    @cached_property
    def _solved_on(self) -> Windows:
        """Training windows that heads are solved on, evenly spaced."""
        return self._spaced(self.windows.train, self.config.training.start_windows)

    @cached_property
    def _rows(self) -> tuple[HeadRows, HeadRows, float]:
        """Tokens of training and selection windows from the frozen encoder, and their seconds."""
        began = time.perf_counter()
        length = self.windows.train.context_length
        encoder = PatchEncoder(self.base.read(), length, reading="both")  # enough for every head
        selected = self._spaced(self.windows.selection, self.config.training.selection_windows)
        train, selection = (self._encode(encoder, w) for w in (self._solved_on, selected))
        return train, selection, time.perf_counter() - began

    def _spaced(self, windows: Windows, count: int) -> Windows:
        return Examples(self.series, windows, self.horizons, "squared").at_most(count).windows

    @torch.no_grad()
    def _encode(self, encoder: PatchEncoder, windows: Windows) -> HeadRows:
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for batch in Examples(self.series, windows, self.horizons, "squared").batches():
            contexts, targets = batch.tensors(self.base.device)
            tokens, loc, scale = encoder(contexts)
            parts.append((tokens, (targets - loc) / scale, scale[:, 0].square()))
        return HeadRows(*(torch.cat(each) for each in zip(*parts, strict=True)))


def _copied(state: dict[str, Any]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
