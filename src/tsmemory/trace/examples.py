"""Windows as what a model is trained, scored and judged on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from tsmemory.memory.split import evenly
from tsmemory.series.series_set import Int, SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.trace.model import TraceModel
from tsmemory.trace.objective import horizon_weights, known_weight, row_losses

BATCH = 256  # windows in a pass that learns nothing


@dataclass(frozen=True)
class Examples:
    """Windows with the loss that counts on them.

    Attributes:
        series: The rows that windows lie on.
        windows: The windows, N of them; their horizon is that of the model's one pass.
        horizons: Horizons of the table, over which the loss is a mean.
        loss: Which loss; see :func:`row_losses`.
    """

    series: SeriesSet
    windows: Windows
    horizons: tuple[int, ...]
    loss: Literal["quantile", "squared"]

    def __len__(self) -> int:
        return len(self.windows)

    def fit_to(self, model: TraceModel) -> "Examples":
        """The same with targets as long as a model's one pass, if that is shorter."""
        steps = min(model.horizon, self.windows.horizon)
        horizons = tuple(sorted({min(horizon, steps) for horizon in self.horizons}))
        return replace(self, windows=replace(self.windows, horizon=steps), horizons=horizons)

    def take(self, which: Int | slice) -> "Examples":
        """The chosen windows."""
        return replace(self, windows=self.windows.take(which))

    def at_most(self, count: int) -> "Examples":
        """At most so many windows, evenly spaced."""
        return self.take(evenly(len(self), count))

    def batches(self, size: int = BATCH) -> Iterator["Examples"]:
        """Consecutive batches of at most ``size`` windows."""
        for first in range(0, len(self), size):
            yield self.take(slice(first, first + size))

    def tensors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Contexts ``(N, L)`` and targets ``(N, H)`` in train z units, NaN where missing."""
        arrays = self.windows.contexts(self.series), self.windows.targets(self.series)
        contexts, targets = (torch.from_numpy(array).to(device) for array in arrays)
        return contexts, targets

    def losses(self, model: TraceModel) -> tuple[Tensor, Tensor]:
        """Loss of each window and the weight of its known steps, differentiably. ``(N,)`` each."""
        contexts, targets = self.tensors(model.device)
        weights = horizon_weights(self.horizons).to(model.device)
        found = row_losses(
            model(contexts), targets, levels=model.levels, weights=weights, loss=self.loss
        )
        return found, known_weight(targets, weights)

    @torch.no_grad()
    def mean_loss(self, model: TraceModel) -> float:
        """Mean loss over the known steps, each weighing what it weighs in the table."""
        parts = [batch.losses(model) for batch in self.batches()]
        total, known = (float(sum(part[n].double().sum() for part in parts)) for n in (0, 1))
        return total / max(known, 1e-12)
