"""Nodes of the pipeline ``indexing``."""

from typing import Any

import pandas as pd

from tsmemory.errors import UserError
from tsmemory.pipelines.indexing.params import BackboneParams, IndexingParams
from tsmemory.pipelines.lazy_types import BackboneForecasts, ContentCache, Datastore, ShardCache
from tsmemory.pipelines.loading import (
    answer_settings,
    answers_of,
    forecast_split,
    load_configured_backbone,
)
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.retrieval.keys import KeyConfig
from tsmemory.scaleout.config import IN_THIS_PROCESS, ShardsConfig
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows


def count_neighbour_pools(
    window_index: pd.DataFrame,
    series: SeriesSet,
    indexing: IndexingParams,
    k: int,
    shift_length: int,
    context_length: int,
) -> dict[str, int]:
    """Count the stored windows that may be searched together, before anything long begins.

    What the teacher will ask for and cannot be had is refused here as well.

    Args:
        window_index: All windows.
        series: Names the channels.
        indexing: Whether windows are searched within the query's channel, and what keys look at.
        k: Neighbours that the teacher will ask for.
        shift_length: Last points of a context that the teacher will look at.
        context_length: L.

    Returns:
        Stored windows of each channel, or of all.

    Raises:
        UserError: More neighbours are asked for than any pool holds, or more points than a
            context has.
    """
    if shift_length > context_length:
        raise UserError(
            f"teacher.shift_length = {shift_length} last points are asked for, but a context has "
            f"windowing.context_length = {context_length}: lower teacher.shift_length"
        )
    if key_config(indexing).needs_tail and indexing.tail_length > context_length:
        raise UserError(
            f"indexing.tail_length = {indexing.tail_length} last points are asked for, but a "
            f"context has windowing.context_length = {context_length}: lower indexing.tail_length"
        )
    stored = window_index.loc[window_index["split"] == "datastore", "row"].to_numpy()
    names = series.channel[stored] if indexing.same_channel else ["all"] * len(stored)
    pools = {str(name): int(n) for name, n in pd.Series(names).value_counts().items()}
    if k > max(pools.values()):
        raise UserError(
            f"teacher.k = {k} neighbours are asked for, but at most {max(pools.values())} stored "
            f"windows may be searched together: lower teacher.k or windowing.strides.datastore"
        )
    return pools


def key_config(params: IndexingParams) -> KeyConfig:
    """What windows are compared by."""
    return KeyConfig(
        kind=params.key_kind,
        tail_length=params.tail_length,
        phase_weight=params.phase_weight,
        statistics_weight=params.statistics_weight,
    )


def index_training_windows(
    series: SeriesSet,
    window_index: pd.DataFrame,
    panel_summary: dict[str, Any],
    workspace: ShardCache,
    answers: ContentCache,
    train_forecasts: BackboneForecasts,
    windowing: WindowingParams,
    backbone: BackboneParams,
    params: IndexingParams,
    shards: ShardsConfig = IN_THIS_PROCESS,
) -> Datastore:
    """Build the datastore of the stored training windows.

    Embeddings that came with the forecasts of training windows are not asked for again.

    Args:
        series: The rows.
        window_index: All windows.
        panel_summary: Holds the panel's frequency.
        workspace: Where unfinished work is kept.
        answers: Where the backbone's answers are kept from run to run.
        train_forecasts: The backbone on the windows that the adapter learns from.
        windowing: Lengths.
        backbone: Whose embedding the keys are.
        params: Keys and index.
        shards: Who works through shards of windows.

    Returns:
        The datastore.
    """
    from tsmemory.retrieval import datastore, embeddings

    lengths = (windowing.context_length, windowing.longest)
    windows = Windows.from_table(window_index, "datastore", *lengths)
    trained_on = Windows.from_table(window_index, "train", *lengths)
    key = key_config(params)
    keys = embeddings.embed_windows(
        load_configured_backbone(backbone, panel_summary),
        windows,
        series,
        config=key,
        shard_size=params.shard_size,
        known=embeddings.KnownKeys(trained_on, train_forecasts.keys),
        cache=workspace.part("keys"),
        answers=answers_of("datastore", answers, params),
        settings=answer_settings(backbone, panel_summary),
        sharing=shards,
    )
    return datastore.Datastore.build(
        keys,
        windows,
        series,
        key=key,
        index_kind=params.index_kind,
        same_channel=params.same_channel,
    )


def forecast_training_windows(
    series: SeriesSet,
    window_index: pd.DataFrame,
    panel_summary: dict[str, Any],
    workspace: ShardCache,
    answers: ContentCache,
    windowing: WindowingParams,
    backbone: BackboneParams,
    params: IndexingParams,
    shards: ShardsConfig = IN_THIS_PROCESS,
) -> BackboneForecasts:
    """Ask the frozen backbone about the windows that the adapter learns from."""
    return forecast_split(
        "train",
        series,
        window_index,
        panel_summary,
        workspace,
        answers,
        windowing,
        backbone,
        params,
        shards,
    )


def forecast_validation_windows(
    series: SeriesSet,
    window_index: pd.DataFrame,
    panel_summary: dict[str, Any],
    workspace: ShardCache,
    answers: ContentCache,
    windowing: WindowingParams,
    backbone: BackboneParams,
    params: IndexingParams,
    shards: ShardsConfig = IN_THIS_PROCESS,
) -> BackboneForecasts:
    """Ask the frozen backbone about the windows on which settings are chosen."""
    return forecast_split(
        "validation",
        series,
        window_index,
        panel_summary,
        workspace,
        answers,
        windowing,
        backbone,
        params,
        shards,
    )
