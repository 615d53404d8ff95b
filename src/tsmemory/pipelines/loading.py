"""What several pipelines need: the configured backbone, and its forecasts of a split."""

from typing import Any

import pandas as pd

from tsmemory.pipelines.indexing.params import BackboneParams, IndexingParams
from tsmemory.pipelines.lazy_types import BackboneForecasts, ContentCache, ShardCache
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.scaleout.config import IN_THIS_PROCESS, ShardsConfig
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows


def backbone_options(params: BackboneParams, panel_summary: dict[str, Any]) -> dict[str, Any]:
    """Options that the configured backbone is loaded with."""
    from tsmemory.metrics import season_length

    shared = {"kind": params.kind, "quantile_levels": list(params.quantile_levels)}
    if "seasonal_naive" in (params.kind, params.name):
        return {**shared, "season": season_length(panel_summary["freq"])}
    return {
        **shared,
        "revision": params.revision,
        "device": params.device,
        "dtype": params.dtype,
        "batch_size": params.batch_size,
        "rollout": params.rollout,
    }


def load_configured_backbone(params: BackboneParams, panel_summary: dict[str, Any]) -> Any:
    """Load the frozen backbone that the parameters name."""
    from tsmemory.backbones import load_backbone

    return load_backbone(params.name, **backbone_options(params, panel_summary))


def answer_settings(params: BackboneParams, panel_summary: dict[str, Any]) -> dict[str, Any]:
    """Options of the configured backbone that its answers may depend on.

    Where its weights come from is none of them: its fingerprint says which they are.
    """
    options = backbone_options(params, panel_summary)
    return {name: value for name, value in options.items() if name not in ("kind", "revision")}


def answers_of(part: str, answers: ContentCache, params: IndexingParams) -> ContentCache | None:
    """Where a part of the backbone's answers is kept; ``None``, and none left, if not wanted."""
    kept = answers.part(part)
    if params.cache:
        return kept
    kept.forget()
    return None


def forecast_split(
    split: str,
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
    """Ask the frozen backbone about every window of a split, to the longest horizon.

    Args:
        split: Which split.
        series: The rows.
        window_index: All windows.
        panel_summary: Holds the panel's frequency.
        workspace: Where unfinished work is kept.
        answers: Where the backbone's answers are kept from run to run.
        windowing: Lengths.
        backbone: Which backbone.
        params: Size of shards, and whether answers are kept.
        shards: Who works through them.

    Returns:
        Keys and quantiles of the split's windows.
    """
    from tsmemory.memory.forecasts import forecast_windows

    loaded = load_configured_backbone(backbone, panel_summary)
    _refuse_unknown_origins(loaded, window_index, series, windowing)
    return forecast_windows(
        loaded,
        Windows.from_table(window_index, split, windowing.context_length, windowing.longest),
        series,
        shard_size=params.shard_size,
        cache=workspace.part(f"{split}_forecasts"),
        answers=answers_of(split, answers, params),
        settings=answer_settings(backbone, panel_summary),
        description=f"Forecasting {split} windows",
        sharing=shards,
    )


def _refuse_unknown_origins(
    backbone: Any, window_index: pd.DataFrame, series: SeriesSet, windowing: WindowingParams
) -> None:
    """Count what a table of forecasts lacks for any split, before anything is learnt."""
    from tsmemory.memory.origins import check_origins, window_origins

    if backbone.needs_origins:
        asked = window_index[window_index["split"] != "datastore"].assign(split="any")
        windows = Windows.from_table(asked, "any", windowing.context_length, windowing.longest)
        check_origins(backbone, window_origins(windows, series), windowing.longest)
