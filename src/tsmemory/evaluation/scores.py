"""Scoring every method on the same windows, batch by batch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tsmemory.evaluation.methods import Method
from tsmemory.memory.split import Split
from tsmemory.metrics import WindowScores, concatenate, mean_over, score_windows
from tsmemory.progress import track
from tsmemory.series.series_set import Float, Int

_FILE = "scores.safetensors"
_SUMS = tuple(field.name for field in fields(WindowScores) if field.name != "horizons")


@dataclass(frozen=True)
class MethodScores:
    """Sums per window and horizon of every method, from which all tables are made.

    Attributes:
        methods: Scores by method; those of trained methods are means over seeds.
        seeds: Number of seeds behind each method; 1 where nothing is random.
        below: Share of known targets at or below each quantile, by method and horizon, NaN where no
            window reaches the horizon. Shape ``(n_horizons, Q)`` each.
        levels: Quantile levels.
        row: Row of each window. Shape ``(N,)``.
        origin_time: Forecast origin of each window on the shared calendar. Shape ``(N,)``.
        stride: Steps between consecutive origins.
    """

    methods: dict[str, WindowScores]
    seeds: dict[str, int]
    below: dict[str, NDArray[np.float64]]
    levels: tuple[float, ...]
    row: Int
    origin_time: Int
    stride: int

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons that are scored."""
        return next(iter(self.methods.values())).horizons

    def summary(self) -> dict[str, Any]:
        """Counts, for the catalog's preview."""
        return {
            "windows": len(self.row),
            "methods": self.seeds,
            "horizons": list(self.horizons),
            "stride": self.stride,
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``config.json`` and ``scores.safetensors``."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "seeds": self.seeds,
            "horizons": list(self.horizons),
            "levels": list(self.levels),
            "stride": self.stride,
        }
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        arrays: dict[str, NDArray[Any]] = {"row": self.row, "origin_time": self.origin_time}
        for method, scores in self.methods.items():
            arrays[f"{method}/below"] = self.below[method]
            arrays |= {f"{method}/{name}": getattr(scores, name) for name in _SUMS}
        save_file({n: np.ascontiguousarray(a) for n, a in arrays.items()}, folder / _FILE)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "MethodScores":
        """Read what :meth:`save_pretrained` wrote."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / _FILE)
        horizons = tuple(config["horizons"])
        methods = {
            method: WindowScores(horizons, **{n: arrays[f"{method}/{n}"] for n in _SUMS})
            for method in config["seeds"]
        }
        return cls(
            methods=methods,
            seeds=config["seeds"],
            below={method: arrays[f"{method}/below"] for method in methods},
            levels=tuple(config["levels"]),
            row=arrays["row"],
            origin_time=arrays["origin_time"],
            stride=config["stride"],
        )


def score_methods(
    split: Split,
    methods: Mapping[str, Sequence[Method]],
    *,
    horizons: Sequence[int],
    seasonal_error: NDArray[np.float64],
    stride: int,
    batch_size: int,
) -> MethodScores:
    """Score methods on every window of a split.

    Args:
        split: The windows and the backbone's forecasts.
        methods: For each name the forecaster of each seed.
        horizons: Horizons in steps.
        seasonal_error: In-sample seasonal error of each row, raw units. Shape ``(R,)``.
        stride: Steps between consecutive origins.
        batch_size: Windows at a time; the scores do not depend on it.

    Returns:
        The scores.
    """
    scored: dict[str, list[list[WindowScores]]] = {n: [[] for _ in m] for n, m in methods.items()}
    below = {name: np.zeros((len(horizons), len(split.forecasts.levels))) for name in methods}
    known = np.zeros((len(horizons), 1))
    for first in track(range(0, len(split.windows), batch_size), "Scoring"):
        batch = split.take(slice(first, first + batch_size))
        target = batch.windows.targets(split.series)
        complete = np.stack([batch.windows.complete(h) for h in horizons], axis=1)
        known += _count_to(~np.isnan(target)[:, None], horizons, complete)
        for name, seeds in methods.items():
            for number, method in enumerate(seeds):
                quantiles = method(batch)
                scored[name][number].append(
                    _score(batch, quantiles, target, horizons, complete, seasonal_error)
                )
                at_or_below = target[:, None] <= quantiles
                below[name] += _count_to(at_or_below, horizons, complete) / len(seeds)
    windows = split.windows
    return MethodScores(
        methods={n: mean_over([concatenate(s) for s in seeds]) for n, seeds in scored.items()},
        seeds={name: len(seeds) for name, seeds in methods.items()},
        below={
            name: np.divide(count, known, out=np.full(count.shape, np.nan), where=known > 0)
            for name, count in below.items()
        },
        levels=split.forecasts.levels,
        row=windows.row,
        origin_time=windows.calendar(split.series) + windows.context_length,
        stride=stride,
    )


def _score(
    batch: Split,
    quantiles: Float,
    target: Float,
    horizons: Sequence[int],
    complete: NDArray[np.bool_],
    seasonal_error: NDArray[np.float64],
) -> WindowScores:
    windows, series = batch.windows, batch.series
    return score_windows(
        quantiles,
        target,
        levels=batch.forecasts.levels,
        horizons=horizons,
        complete=complete,
        std=series.std[windows.row],
        mean=series.mean[windows.row],
        seasonal_error=seasonal_error[windows.row],
    )


def _count_to(
    happened: NDArray[np.bool_], horizons: Sequence[int], complete: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Count the steps at which something happened, up to each horizon.

    Args:
        happened: Whether it did. Shape ``(B, Q, H)``.
        horizons: Horizons in steps.
        complete: Whether a window reaches a horizon, else it does not count. ``(B, n_horizons)``.

    Returns:
        Counts over the windows. Shape ``(n_horizons, Q)``.
    """
    counts = np.cumsum(happened, axis=2, dtype=np.int32)[:, :, np.array(horizons) - 1]
    return np.asarray(np.where(complete[:, None], counts, 0).sum(axis=0, dtype=np.float64).T)
