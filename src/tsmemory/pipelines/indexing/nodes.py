"""Nodes of the pipeline ``indexing``."""

from typing import Any

import pandas as pd

from tsmemory.pipelines.indexing.params import BackboneParams, IndexingParams
from tsmemory.pipelines.lazy_types import BackboneForecasts, Datastore, ShardCache
from tsmemory.pipelines.loading import forecast_split, load_configured_backbone
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows


def index_training_windows(
    series: SeriesSet,
    window_index: pd.DataFrame,
    panel_summary: dict[str, Any],
    workspace: ShardCache,
    windowing: WindowingParams,
    backbone: BackboneParams,
    params: IndexingParams,
) -> Datastore:
    """Embed the stored training windows and build the datastore.

    Args:
        series: The rows.
        window_index: All windows.
        panel_summary: Holds the panel's frequency.
        workspace: Where unfinished work is kept.
        windowing: Lengths.
        backbone: Whose embedding the keys are.
        params: Keys and index.

    Returns:
        The datastore.
    """
    from tsmemory.retrieval import datastore, keys

    windows = Windows.from_table(
        window_index, "datastore", windowing.context_length, windowing.longest
    )
    stored_keys = keys.embed_windows(
        load_configured_backbone(backbone, panel_summary),
        windows,
        series,
        kind=params.key_kind,
        shard_size=params.shard_size,
        cache=workspace.part("keys"),
    )
    return datastore.Datastore.build(
        stored_keys,
        windows,
        series,
        key_kind=params.key_kind,
        index_kind=params.index_kind,
        same_channel=params.same_channel,
    )


def forecast_training_windows(
    series: SeriesSet,
    window_index: pd.DataFrame,
    panel_summary: dict[str, Any],
    workspace: ShardCache,
    windowing: WindowingParams,
    backbone: BackboneParams,
    params: IndexingParams,
) -> BackboneForecasts:
    """Ask the frozen backbone about the windows that the adapter learns from."""
    return forecast_split(
        "train", series, window_index, panel_summary, workspace, windowing, backbone, params
    )


def forecast_validation_windows(
    series: SeriesSet,
    window_index: pd.DataFrame,
    panel_summary: dict[str, Any],
    workspace: ShardCache,
    windowing: WindowingParams,
    backbone: BackboneParams,
    params: IndexingParams,
) -> BackboneForecasts:
    """Ask the frozen backbone about the windows on which settings are chosen."""
    return forecast_split(
        "validation", series, window_index, panel_summary, workspace, windowing, backbone, params
    )
