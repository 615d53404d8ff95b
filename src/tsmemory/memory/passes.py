"""Forecasting contexts batch by batch: the frozen backbone, its memory, their fusion."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tsmemory.backbones import Backbone, Origins
from tsmemory.backbones.levels import at_levels
from tsmemory.memory.adapter import MemoryAdapter
from tsmemory.memory.contexts import Real
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.instance_norm import Normalised, instance_normalise
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.origins import asked_at, take_origins
from tsmemory.memory.profiles import Adapter
from tsmemory.series.series_set import Float


@dataclass(frozen=True)
class Asked:
    """What is to be forecast.

    Attributes:
        contexts: NaN where missing, in the user's own unit. Shape ``(B, L)``.
        origins: Where they end, for backbones that look forecasts up.
        items: Series of each context, where known. Shape ``(B,)``.
        channels: Channel of each context, where known. Shape ``(B,)``.
    """

    contexts: Real
    origins: Origins | None = None
    items: NDArray[np.str_] | None = None
    channels: NDArray[np.str_] | None = None


def forecast_batches(
    backbone: Backbone,
    adapter: Adapter,
    fusion: Fusion,
    asked: Asked,
    known: KnownSeries,
    *,
    horizon: int,
    levels: tuple[float, ...],
    batch_size: int,
) -> tuple[Float, Float]:
    """Forecast in passes of a bounded size.

    Args:
        backbone: The frozen backbone.
        adapter: Its memory, in inference mode.
        fusion: How both are fused.
        asked: What is to be forecast.
        known: The series that the memory was made from.
        horizon: H; beyond the adapter's horizon the backbone stands.
        levels: Levels asked for.
        batch_size: Contexts in one pass.

    Returns:
        Quantiles ``(B, H, len(levels))`` and median ``(B, H)``, in the user's own unit.
    """
    native, middle, count = backbone.quantile_levels, adapter.config.median, len(asked.contexts)
    quantiles = np.empty((count, horizon, len(levels)), dtype=np.float32)
    median = np.empty((count, horizon), dtype=np.float32)
    for first in range(0, count, batch_size):
        part = slice(first, first + batch_size)
        contexts = asked.contexts[part]
        items, channels = (
            None if names is None else names[part] for names in (asked.items, asked.channels)
        )
        unit = known.unit(contexts, items, channels)
        fused = fuse(
            backbone,
            adapter,
            fusion,
            unit.reduce(contexts),
            horizon,
            take_origins(asked.origins, part, unit),
            channels,
        )
        chosen = at_levels(fused, native, levels).transpose(0, 2, 1)
        quantiles[part] = unit.restore(chosen)
        median[part] = unit.restore(fused[:, middle])
    return quantiles, median


class Remembered(NamedTuple):
    """What the parts say of a batch, before they are fused.

    Attributes:
        keys: The backbone's embeddings. Shape ``(B, d)``.
        frozen: The backbone's quantiles at all steps asked for. Shape ``(B, Q, H)``.
        known: Those that the memory corrects. Shape ``(B, Q, min(H, adapter's horizon))``.
        memory: The memory's quantiles. The same shape.
        normal: The contexts' instance norm, where the adapter reads it.
    """

    keys: Float
    frozen: Float
    known: torch.Tensor
    memory: torch.Tensor
    normal: Normalised | None


@torch.inference_mode()
def remember(
    backbone: Backbone, adapter: Adapter, contexts: Float, horizon: int, origins: Origins | None
) -> Remembered:
    """What backbone and memory say of one batch.

    Args:
        backbone: The frozen backbone.
        adapter: Its memory, in inference mode.
        contexts: In the memory's unit, NaN where missing. Shape ``(B, L)``.
        horizon: H.
        origins: Where they end, for backbones that look forecasts up.

    Returns:
        Both, on the CPU.
    """
    output = backbone.encode_and_predict(contexts, horizon, **asked_at(origins))
    device = adapter.device
    known = np.ascontiguousarray(output.quantiles[:, :, : adapter.config.horizon])
    frozen, given = torch.from_numpy(known), torch.from_numpy(contexts)
    inputs = (given.to(device), frozen.to(device), torch.from_numpy(output.keys).to(device))
    normal = None
    if isinstance(adapter, MemoryAdapter):
        normal = instance_normalise(inputs[0])  # once for both: at batch 1 every operation counts
        memory = adapter(*inputs, normal).cpu()
        normal = Normalised(*(tensor.cpu() for tensor in normal))
    else:
        memory = adapter(*inputs).cpu()
    return Remembered(output.keys, output.quantiles, frozen, memory, normal)


@torch.inference_mode()
def fuse(
    backbone: Backbone,
    adapter: Adapter,
    fusion: Fusion,
    contexts: Float,
    horizon: int,
    origins: Origins | None,
    channels: NDArray[np.str_] | None,
) -> Float:
    """Fused quantiles of one batch at the native levels, ascending over levels. ``(B, Q, H)``."""
    if fusion.is_idle:
        return backbone.predict_quantiles(contexts, horizon, **asked_at(origins))
    said = remember(backbone, adapter, contexts, horizon, origins)
    given, median = torch.from_numpy(contexts), adapter.config.median
    fused = fusion.apply(said.known, said.memory, median, given, channels, said.normal).numpy()
    # Equal quantiles may have come apart by a rounding; elsewhere this changes nothing.
    ascending: Float = np.maximum.accumulate(fused, axis=1)
    if horizon <= said.known.shape[2]:
        return ascending
    return np.concatenate([ascending, said.frozen[:, :, said.known.shape[2] :]], axis=2)
