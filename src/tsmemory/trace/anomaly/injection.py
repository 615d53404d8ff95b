"""Made-up anomalies in real series: how settings are chosen where nothing is labelled.

Labels that choose a setting cannot judge it any more. Anomalies that are put into a series are
known without labels, and so tell which settings find such anomalies in such series. The kinds are
those that are usually named (Lai et al., NeurIPS Datasets 2021): of level, of shape and of season.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tsmemory.series.series_set import Float
from tsmemory.trace.anomaly.series import WatchedSeries
from tsmemory.trace.errors import TraceError

KINDS = ("shift", "spikes", "noise", "flat", "scale", "phase")


def inject_anomalies(
    series: WatchedSeries, *, first: int, rng: np.random.Generator
) -> WatchedSeries:
    """Put one anomaly of each kind into a series, in random order.

    Each lies somewhere in its own sixth of the series, lasts from half a season to seven (log
    uniform, at most half of its sixth), and is 0.5 to 2 standard deviations large.

    Args:
        series: The series; labels it may have are dropped.
        first: The first step that may be anomalous.
        rng: Draws them.

    Returns:
        The series with the anomalies and their labels.

    Raises:
        TraceError: The series is too short to hold them.
    """
    values = series.values.copy()
    anomalous = np.zeros(len(values), dtype=bool)
    season, spread = series.season, float(np.nanstd(values))
    sixths = np.array_split(np.arange(first, len(values)), len(KINDS))
    if len(sixths[-1]) < 4 or first < season:
        raise TraceError(
            f"series {series.name!r} has {len(values)} steps, too few for anomalies from step "
            f"{first} on; at least a season of {season} steps must lie before it"
        )
    for kind, sixth in zip(rng.permutation(KINDS), sixths, strict=True):
        wanted = np.exp(rng.uniform(np.log(season / 2), np.log(7 * season)))
        length = int(np.clip(wanted, 1, len(sixth) // 2))
        start = int(sixth[0] + rng.integers(len(sixth) - length))
        size = rng.uniform(0.5, 2.0) * spread
        stretch = slice(start, start + length)
        values[stretch] = _changed(str(kind), values, start, length, season, size, rng)
        anomalous[stretch] = True
    return replace(series, values=values, anomalous=anomalous)


def _changed(
    kind: str,
    values: Float,
    start: int,
    length: int,
    season: int,
    size: float,
    rng: np.random.Generator,
) -> Float:
    """A stretch of a series with an anomaly of a kind. Shape ``(length,)``."""
    usual = values[start : start + length].astype(np.float64)
    sign = float(rng.choice([-1.0, 1.0]))
    if kind == "shift":
        changed = usual + sign * size
    elif kind == "spikes":
        hit = rng.random(length) < 0.1
        hit[rng.integers(length)] = True
        changed = usual + sign * 2 * size * hit
    elif kind == "noise":
        changed = usual + rng.normal(0, size / 2, length)
    elif kind == "flat":
        changed = np.where(np.isnan(usual), np.nan, values[start - 1])
    elif kind == "scale":
        changed = (usual - _level(usual)) * float(rng.choice([0.3, 2.5])) + _level(usual)
    else:  # phase: half a season late, as after a wrongly set clock
        late = start - season // 2
        changed = values[late : late + length].astype(np.float64)
    return changed.astype(np.float32)


def _level(values: NDArray[np.float64]) -> float:
    """Mean of the observed values, 0 if there is none."""
    return float(np.nanmean(values)) if not np.isnan(values).all() else 0.0
