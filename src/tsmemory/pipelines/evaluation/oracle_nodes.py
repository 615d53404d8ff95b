"""The node of the pipeline ``evaluation`` that compares chosen weights with the test split's."""

from typing import Any

import pandas as pd

from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.lazy_types import BackboneForecasts, SeededAdapters
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows


def measure_oracle_gap(
    series: SeriesSet,
    window_index: pd.DataFrame,
    test_forecasts: BackboneForecasts,
    adapter: SeededAdapters,
    fusion: dict[str, Any],
    windowing: WindowingParams,
    params: DistillationParams,
) -> pd.DataFrame:
    """Find the weights that the test split would have chosen; they are used for nothing.

    Args:
        series: The rows.
        window_index: All windows.
        test_forecasts: The backbone on test windows.
        adapter: The adapters; the shipped one is looked at.
        fusion: Fusions by seed.
        windowing: Lengths.
        params: Horizon blocks and candidates.

    Returns:
        Table ``quantity, first_step, last_step, chosen, oracle, gap``.
    """
    from tsmemory.evaluation import oracle
    from tsmemory.memory.fusion import Fusion
    from tsmemory.memory.split import Split
    from tsmemory.metrics import season_length

    windows = Windows.from_table(window_index, "test", windowing.context_length, windowing.longest)
    return oracle.measure_oracle_gap(
        Split(series, windows, test_forecasts),
        adapter.shipped,
        Fusion.from_json(next(iter(fusion.values()))),
        season=season_length(series.freq),
        config=params.fusion,
    )
