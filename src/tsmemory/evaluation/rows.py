"""Which rows the table of the main way has, and its results as one value."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.evaluation.methods import Fused, Method, OnlineKnn, PointWithSpread, frozen
from tsmemory.evaluation.scores import MethodScores
from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.seeded import SeededAdapters
from tsmemory.memory.split import Split
from tsmemory.metrics import last_value, seasonal_error, seasonal_naive
from tsmemory.retrieval.embargo import Embargo
from tsmemory.series.series_set import SeriesSet
from tsmemory.teacher.rerank import Rerank
from tsmemory.teacher.synthesis import Teacher


def assemble_methods(
    validation: Split,
    teacher: Teacher,
    closed_form: ClosedForm,
    adapter: SeededAdapters,
    fusion: Mapping[str, Any],
    *,
    season: int,
    k: int,
    temperature: float,
    embargo: Embargo,
    config: FusionConfig,
    rerank: Rerank | None = None,
) -> dict[str, list[Method]]:
    """The cheap rows of METHOD 1.8, fitted on validation where they need it.

    Args:
        validation: Validation windows with the backbone's forecasts.
        teacher: Forms quantiles for the online kNN row.
        closed_form: Holds the ridge.
        adapter: Adapters of all seeds.
        fusion: Their fusions.
        season: Steps in a season.
        k: Neighbours of the online kNN row.
        temperature: tau of its weights.
        embargo: Its embargo.
        config: Horizon blocks and shrinkage.
        rerank: How its pool of neighbours is narrowed down, as for the teacher.

    Returns:
        For each row the forecaster of each seed.
    """
    horizon, block = validation.windows.horizon, config.block
    points = {
        "last_value": lambda contexts: last_value(contexts, horizon),
        "seasonal_naive": lambda contexts: seasonal_naive(contexts, horizon, season),
        "ridge": closed_form.ridge.predict,
    }
    rows: dict[str, list[Method]] = {
        name: [PointWithSpread.fit(point, validation, block)] for name, point in points.items()
    }
    rows["frozen"] = [frozen]
    online = OnlineKnn(teacher.datastore, teacher, k, temperature, embargo, rerank)
    rows["online_knn"] = [online.fit(validation, config)]
    rows["tsmemory"] = [
        Fused(model, Fusion.from_json(fusion[str(seed)]))
        for seed, model in adapter.adapters.items()
    ]
    return rows


def in_sample_seasonal_error(
    series: SeriesSet, borders: pd.DataFrame, season: int
) -> NDArray[np.float64]:
    """Mean absolute seasonal difference of each row's training part, raw units. ``(R,)``."""
    train_end = dict(zip(borders["item_id"].astype(str), borders["train_end"], strict=True))
    errors = [
        seasonal_error(series.row_values(row, int(train_end[str(series.item_id[row])])), season)
        for row in range(len(series.length))
    ]
    return np.array(errors, dtype=np.float64) * series.std


def collect_metrics(
    scores: MethodScores,
    series: SeriesSet,
    leaderboard: pd.DataFrame,
    skill: pd.DataFrame,
    fusion: Mapping[str, Any],
    teacher_diagnosis: Mapping[str, Any],
) -> dict[str, Any]:
    """All results as one JSON value, for versioned comparison.

    Returns:
        ``metrics[method][horizon][metric]`` and the same by channel, skill with intervals, guard
        decisions, the teacher's figures, and what was scored.
    """
    table: dict[str, dict[str, dict[str, float]]] = {}
    for line in leaderboard.to_dict("records"):
        by_horizon = table.setdefault(str(line["method"]), {})
        by_horizon.setdefault(str(line["horizon"]), {})[str(line["metric"])] = line["value"]
    overall = skill[skill["channel"] == "all"].drop(columns="channel")
    return {
        "scored": scores.summary(),
        "metrics": _finite(table),
        "metrics_by_channel": _finite(_by_channel(scores, series)),
        "skill_vs_frozen": _finite(overall.to_dict("records")),
        "guard": {seed: _guard_shares(value) for seed, value in fusion.items()},
        "teacher": dict(teacher_diagnosis),
    }


def _by_channel(scores: MethodScores, series: SeriesSet) -> dict[str, Any]:
    """Every metric as ``[channel][method][horizon][metric]``."""
    names = series.channel.astype(str)[scores.row]
    return {
        str(channel): {
            method: {
                str(horizon): windows.metrics(number, names == channel)
                for number, horizon in enumerate(scores.horizons)
            }
            for method, windows in scores.methods.items()
        }
        for channel in np.unique(names)
    }


def _guard_shares(fusion: Mapping[str, Any]) -> dict[str, float]:
    """Mean weights, and the share of blocks in which nothing is corrected."""
    lines = Fusion.from_json(fusion).explain()
    closed = [line["backbone"] == 1 and line["width_backbone"] == 1 for line in lines]

    def mean(name: str) -> float:
        return float(np.mean([line[name] for line in lines]))

    return {
        "mean_location_weight": mean("memory"),
        "mean_last_value_weight": mean("last_value"),
        "mean_seasonal_naive_weight": mean("seasonal_naive"),
        "mean_long_run_weight": mean("long_run"),
        "mean_spread_weight": mean("width_memory"),
        "mean_residuals_weight": mean("width_residuals"),
        "share_of_blocks_closed": float(np.mean(closed)),
    }


def _finite(value: Any) -> Any:
    """Replace NaN and infinity by ``None``, which JSON knows."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
