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
from tsmemory.trace.objective import horizon_weights, known_weight, row_losses, step_losses

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
    def mean_losses(self, model: TraceModel) -> Tensor:
        """Each part of the loss, as the mean over horizons of a table has it.

        A step's loss is the mean over the windows that know it: late windows know near steps only,
        which would else count for more than the table lets them.

        Args:
            model: What forecasts.

        Returns:
            P parts, of :func:`step_losses`. Shape ``(P,)``, float64, on the CPU.
        """
        totals, counts = [], []
        for batch in self.batches():
            contexts, targets = batch.tensors(model.device)
            parts = step_losses(model(contexts), targets, levels=model.levels, loss=self.loss)
            totals.append(parts.double().sum(dim=1).cpu())
            counts.append((~targets.isnan()).sum(dim=0).cpu())
        total, count = torch.stack(totals).sum(dim=0), torch.stack(counts).sum(dim=0)
        weights = horizon_weights(self.horizons).double() * (count > 0)
        return (total / count.clamp_min(1) * weights).sum(dim=1) / weights.sum().clamp_min(1e-12)
