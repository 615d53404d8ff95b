"""What several pipelines need: the configured backbone, and its forecasts of a split."""

from typing import Any

import pandas as pd

from tsmemory.pipelines.indexing.params import BackboneParams, IndexingParams
from tsmemory.pipelines.lazy_types import BackboneForecasts, ShardCache
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows


def backbone_options(params: BackboneParams, panel_summary: dict[str, Any]) -> dict[str, Any]:
    """Options that the configured backbone is loaded with."""
    from tsmemory.metrics import season_length

    if params.name == "seasonal_naive":
        return {"season": season_length(panel_summary["freq"])}
    return {
        "revision": params.revision,
        "device": params.device,
        "batch_size": params.batch_size,
    }


def load_configured_backbone(params: BackboneParams, panel_summary: dict[str, Any]) -> Any:
    """Load the frozen backbone that the parameters name."""
    from tsmemory.backbones import load_backbone

    return load_backbone(params.name, **backbone_options(params, panel_summary))


def forecast_split(
    split: str,
    series: SeriesSet,
    window_index: pd.DataFrame,
    panel_summary: dict[str, Any],
    workspace: ShardCache,
    windowing: WindowingParams,
    backbone: BackboneParams,
    params: IndexingParams,
) -> BackboneForecasts:
    """Ask the frozen backbone about every window of a split, to the longest horizon.

    Args:
        split: Which split.
        series: The rows.
        window_index: All windows.
        panel_summary: Holds the panel's frequency.
        workspace: Where unfinished work is kept.
        windowing: Lengths.
        backbone: Which backbone.
        params: Size of shards.

    Returns:
        Keys and quantiles of the split's windows.
    """
    from tsmemory.memory.forecasts import forecast_windows

    return forecast_windows(
        load_configured_backbone(backbone, panel_summary),
        Windows.from_table(window_index, split, windowing.context_length, windowing.longest),
        series,
        shard_size=params.shard_size,
        cache=workspace.part(f"{split}_forecasts"),
        description=f"Forecasting {split} windows",
    )
