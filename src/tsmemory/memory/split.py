"""Windows of one split with what the frozen backbone says of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.memory.forecasts import BackboneForecasts
from tsmemory.memory.fusion_fit import Part, Parts
from tsmemory.memory.profiles import Adapter
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows

BATCH = 512  # windows in memory at a time


@dataclass(frozen=True)
class Split:
    """Windows of one split with what the backbone says of them.

    Attributes:
        series: The rows that windows lie on.
        windows: The windows, N of them.
        forecasts: The backbone's keys and quantiles of the same windows.
    """

    series: SeriesSet
    windows: Windows
    forecasts: BackboneForecasts

    def take(self, which: np.ndarray | slice) -> "Split":
        """The chosen windows; their forecasts are read from disk."""
        forecasts = BackboneForecasts(
            np.asarray(self.forecasts.keys[which]),
            np.asarray(self.forecasts.quantiles[which]),
            self.forecasts.levels,
            self.forecasts.backbone,
        )
        return Split(self.series, self.windows.take(which), forecasts)

    def up_to(self, horizon: int) -> "Split":
        """The same windows with targets and forecasts of ``horizon`` steps."""
        windows = replace(self.windows, horizon=horizon)
        return Split(self.series, windows, self.forecasts.up_to(horizon))

    def channels(self) -> NDArray[np.str_]:
        """Channel of each window. Shape ``(N,)``."""
        return self.series.channel.astype(str)[self.windows.row]

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Contexts ``(N, L)``, targets ``(N, H)``, quantiles ``(N, Q, H)`` and keys ``(N, d)``."""
        arrays = (
            self.windows.contexts(self.series),
            self.windows.targets(self.series),
            self.forecasts.quantiles,
            self.forecasts.keys,
        )
        contexts, targets, quantiles, keys = (torch.from_numpy(np.array(a)) for a in arrays)
        return contexts, targets, quantiles, keys


def memory_parts(split: Split, adapter: Adapter, batch: int = BATCH) -> Parts:
    """The adapter's forecasts beside the backbone's, batch by batch, in inference mode."""

    def run() -> Iterator[Part]:
        adapter.eval()
        for first in range(0, len(split.windows), batch):
            part = split.take(slice(first, first + batch))
            contexts, target, quantiles, keys = part.tensors()
            inputs = (values.to(adapter.device) for values in (contexts, quantiles, keys))
            with torch.inference_mode():
                memory = adapter(*inputs).cpu()
            yield Part(target, quantiles, memory, contexts, part.channels())

    return run


def evenly(count: int, wanted: int) -> np.ndarray:
    """At most ``wanted`` positions spread evenly over ``count``."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))
