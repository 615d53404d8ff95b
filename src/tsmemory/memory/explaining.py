"""Why a forecast is what it is: shares of what is fused, the gate, and what it resembles."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from tsmemory.backbones import Backbone
from tsmemory.memory.frames import FrameSeries
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_steps import steps_of
from tsmemory.memory.gate import open_steps, read_signals
from tsmemory.memory.known_series import KnownSeries, Unit
from tsmemory.memory.origins import take_origins
from tsmemory.memory.passes import Asked, remember
from tsmemory.memory.profiles import Adapter
from tsmemory.memory.training_windows import Found, Queries, TrainingWindows


@dataclass(frozen=True)
class Explanation:
    """Why the forecasts of a table are what they are.

    Attributes:
        forecasts: A line for each series and target: its identifier, ``target_name``; whether the
            memory knows the series (``known``), and the ``level`` and ``scale`` that it is taken
            in; ``frozen`` and ``fused``, the means of both medians; the shares of the fused median
            ``backbone, memory, last_value, seasonal_naive, long_run`` and of its spread
            ``width_backbone, width_memory, width_residuals``; ``gate``, the share of steps at which
            the forecast is corrected; the signals ``spread, disagreement, volatility`` that the
            gate may ask for; and ``confidence`` in the neighbours, NaN without training windows.
            All but level and scale are means over the horizon that the memory corrects.
        neighbours: A line for each series, target and neighbour: ``rank, weight, distance``, the
            neighbour's series and target, and the first and last step of its context
            (``context_start, cutoff``). ``None`` without training windows.
    """

    forecasts: pd.DataFrame
    neighbours: pd.DataFrame | None


class Parts(NamedTuple):
    """What forecasts are explained with.

    Attributes:
        backbone: The frozen backbone.
        adapter: Its memory, in inference mode.
        fusion: How both are fused.
        known: The series that the memory was made from.
        windows: The training windows, if they are at hand.
    """

    backbone: Backbone
    adapter: Adapter
    fusion: Fusion
    known: KnownSeries
    windows: TrainingWindows | None


def explain_frame(
    parts: Parts, series: FrameSeries, asked: Asked, *, horizon: int, batch_size: int
) -> Explanation:
    """Explain the forecasts of a table.

    Args:
        parts: What they are made by.
        series: The series of the table.
        asked: The same, as they are forecast.
        horizon: H; what lies beyond the memory's horizon is not looked at.
        batch_size: Series in one pass.

    Returns:
        Lines by series and target.

    Raises:
        ForecasterError: Training windows of another forecaster.
    """
    horizon = min(horizon, parts.adapter.config.horizon)
    lines: list[dict[str, NDArray[Any]]] = []
    found: list[Found] = []
    last = np.repeat(series.last.times.to_numpy(), len(series.targets))
    items = np.repeat(series.item_id.astype(str), len(series.targets))
    for part in _batches(len(asked.contexts), batch_size):
        line, queries = _explain_batch(parts, asked, part, horizon)
        confidence = np.full(len(queries.contexts), np.nan)
        if parts.windows is not None:
            queries = queries._replace(items=items[part], last=last[part], freq=series.freq)
            found.append(parts.windows.search(queries))
            confidence = found[-1].confidence.astype(np.float64)
        lines.append({**line, "confidence": confidence})
    columns = {name: np.concatenate([line[name] for line in lines]) for name in lines[0]}
    count = len(series.targets)
    names = {
        series.id_column: np.repeat(series.item_id, count),
        "target_name": series.channels(),
    }
    neighbours = None
    if parts.windows is not None:
        neighbours = _neighbour_table(names, parts.windows, found)
    return Explanation(pd.DataFrame({**names, **columns}), neighbours)


def _batches(count: int, size: int) -> Iterator[slice]:
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


@torch.inference_mode()
def _explain_batch(
    parts: Parts, asked: Asked, part: slice, horizon: int
) -> tuple[dict[str, NDArray[Any]], Queries]:
    """Lines of one batch, and what its neighbours are looked for with."""
    contexts = asked.contexts[part]
    items, channels = (None if n is None else n[part] for n in (asked.items, asked.channels))
    unit = parts.known.unit(contexts, items, channels)
    given = unit.reduce(contexts)
    origins = take_origins(asked.origins, part, unit)
    said = remember(parts.backbone, parts.adapter, given, horizon, origins)
    middle, tensor = parts.adapter.config.median, torch.from_numpy(given)
    fused = parts.fusion.apply(said.known, said.memory, middle, tensor, channels, said.normal)
    signals = read_signals(said.known, said.memory, tensor, middle)
    gate = open_steps(parts.fusion.gate, said.known, said.memory, tensor, middle)
    changed = (fused != said.known).any(dim=1)
    columns = {
        "known": parts.known.knows(contexts, items, channels),
        "level": unit.level,
        "scale": unit.scale,
        "frozen": _mean(unit, said.known[:, middle]),
        "fused": _mean(unit, fused[:, middle]),
        **_shares(parts.fusion, channels, len(given), horizon),
        "gate": (gate & changed).double().mean(dim=1).numpy(),
        **{name: s.double().mean(dim=1).numpy() for name, s in signals._asdict().items()},
    }
    names = np.empty(len(given), dtype=object) if channels is None else channels
    return columns, Queries(given, said.keys, unit, names, names, np.empty(0, "datetime64[ns]"), "")


def _mean(unit: Unit, values: torch.Tensor) -> NDArray[np.float64]:
    """Mean over the horizon, in the user's unit. Shape ``(B,)``."""
    mean: NDArray[np.float64] = values.double().mean(dim=1).numpy()
    return unit.level + unit.scale * mean


def _shares(
    fusion: Fusion, channels: NDArray[np.str_] | None, count: int, horizon: int
) -> dict[str, NDArray[np.float64]]:
    """Mean shares over the horizon of all that is mixed, by the channels' own weights."""
    table = steps_of(fusion, horizon)
    own = table.shared if channels is None else table.of(channels)
    median = {
        "memory": own.location,
        "last_value": own.last_value,
        "seasonal_naive": own.seasonal,
        "long_run": own.long_run,
    }
    shares = {name: _over_horizon(weights, count) for name, weights in median.items()}
    lines = fusion.explain()
    blocks = np.arange(horizon) // fusion.block
    width = {
        name: np.full(count, np.mean([lines[block][name] for block in blocks]))
        for name in ("width_backbone", "width_memory", "width_residuals")
    }
    return {"backbone": np.maximum(0.0, 1.0 - sum(shares.values())), **shares, **width}


def _over_horizon(weights: torch.Tensor | None, count: int) -> NDArray[np.float64]:
    """Mean of weights ``(H,)`` or ``(B, H)``, ``None`` being zero. Shape ``(B,)``."""
    if weights is None:
        return np.zeros(count)
    mean: NDArray[np.float64] = weights.double().mean(dim=-1).numpy()
    return np.broadcast_to(mean, count).copy()


def _neighbour_table(
    names: dict[str, NDArray[Any]], windows: TrainingWindows, found: list[Found]
) -> pd.DataFrame:
    """A line for each neighbour that there is, nearest first."""
    position, distance, weight = (
        np.concatenate([getattr(part, name) for part in found])
        for name in ("position", "distance", "weight")
    )
    query, rank = np.nonzero(position >= 0)
    columns = {name: values[query] for name, values in names.items()}
    return pd.DataFrame(
        {
            **columns,
            "rank": rank + 1,
            "weight": weight[query, rank],
            "distance": distance[query, rank],
            **windows.describe(position[query, rank]),
        }
    )
