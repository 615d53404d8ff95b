"""Forecasts that a backbone made, written out as somebody else would hand them over."""

import numpy as np
import pandas as pd

from tsmemory.memory.forecasts import BackboneForecasts
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows


def table_of(series: SeriesSet, windows: Windows, forecasts: BackboneForecasts) -> pd.DataFrame:
    """A row for each window and step, in raw units."""
    row, horizon = windows.row, windows.horizon
    raw = forecasts.quantiles.astype(np.float64) * series.std[row, None, None]
    raw += series.mean[row, None, None]
    names = {
        "item_id": series.item_id[row].astype(str),
        "target_name": series.channel[row].astype(str),
        "cutoff": series.timestamps(row, windows.origin - 1),
    }
    table = pd.DataFrame({name: np.repeat(values, horizon) for name, values in names.items()})
    table["step"] = np.tile(np.arange(1, horizon + 1), len(windows))
    for number, level in enumerate(forecasts.levels):
        table[str(level)] = raw[:, number].ravel()
    return table
