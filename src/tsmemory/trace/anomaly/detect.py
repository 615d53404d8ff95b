"""Scores of several methods on several series, and the table that judges them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.backbones.protocol import Backbone
from tsmemory.progress import track
from tsmemory.series.series_set import Float
from tsmemory.trace.anomaly.metrics import (
    average_precision,
    best_adjusted_f1,
    best_f1,
    detection_delay,
    volume_under_surface,
)
from tsmemory.trace.anomaly.reconstruction import HiddenPatches, Reconstructor
from tsmemory.trace.anomaly.residuals import (
    RollingForecasts,
    forecast_score,
    seasonal_naive_score,
    trailing_mean,
)
from tsmemory.trace.anomaly.series import Bool, WatchedSeries
from tsmemory.trace.encoder import PatchEncoder
from tsmemory.trace.errors import TraceError

REFERENCE = "seasonal_naive"
SMOOTHED = "_smoothed"
MEAN = "mean"
METRICS = (
    "auc_pr",
    "best_f1",
    "best_f1_adjusted",
    "vus_pr",
    "vus_roc",
    "detected",
    "delay",
    "nab_reward",
)
_KEYS = ("series", "timestamp", "value", "anomalous", "season")


@dataclass(frozen=True)
class AnomalyConfig:
    """How series are scored.

    Attributes:
        usual_share: Share of a series, at its start, that is taken as usual and not scored, ...
        usual_most: ... and the most steps of it. Both as in NAB's probationary period.
        smoothed_seasons: Seasons behind each step over whose scores a smoothed one is the mean.
        rolling: When forecasts are made, and what their error is.
        hidden: How patches are hidden from a reconstruction.
        seed: Of the random scores.
    """

    usual_share: float = 0.15
    usual_most: int = 750
    smoothed_seasons: float = 1.0
    rolling: RollingForecasts = field(default_factory=RollingForecasts)
    hidden: HiddenPatches = field(default_factory=HiddenPatches)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.usual_share < 1 or self.usual_most < 1 or self.smoothed_seasons <= 0:
            raise TraceError(
                "anomaly settings: usual_share lies between 0 and 1, usual_most starts at 1, "
                "smoothed_seasons is above 0"
            )

    def usual_steps(self, steps: int) -> int:
        """Steps at the start of a series that are not scored."""
        return min(round(self.usual_share * steps), self.usual_most)


def detect(
    series: Sequence[WatchedSeries],
    backbone: Backbone,
    *,
    config: AnomalyConfig,
    encoder: PatchEncoder | None = None,
) -> pd.DataFrame:
    """Score every step of every series by every method.

    Methods are the plain seasonal-naive residual, the backbone's forecast error, with an encoder
    the reconstruction of hidden patches, and random scores, which show what a metric gives for
    nothing. All but these come smoothed, too.

    Args:
        series: What is watched.
        backbone: What forecasts.
        config: How.
        encoder: What reconstructs; its head is fitted on the usual parts of all series together.

    Returns:
        Table ``series, timestamp, value, anomalous, season`` and a column of scores for each
        method, higher being more anomalous, one line for each step. Scores are NaN in the usual
        part and where a value is missing; ``anomalous`` is missing for series without labels.

    Raises:
        TraceError: No series, names that repeat, a backbone or an encoder that cannot be used, or a
            usual part too short to fit a reconstruction on.
    """
    names = [each.name for each in series]
    if not names or len(set(names)) < len(names):
        raise TraceError(f"series to watch need names of their own, got {names}")
    reconstructor = None
    if encoder is not None:
        usual = [each.values[: config.usual_steps(len(each.values))] for each in series]
        reconstructor = Reconstructor.fit(encoder, usual, config.hidden)
    rng = np.random.default_rng(config.seed)
    tables = [
        _table(each, _scores(each, backbone, reconstructor, config), rng)
        for each in track(series, "Scoring series")
    ]
    return pd.concat(tables, ignore_index=True)


def judge(scores: pd.DataFrame) -> pd.DataFrame:
    """Judge every method on every labelled series (METHOD 2.4).

    All methods are judged on the same steps, those that all of them score; steps without a value
    are skipped, so that a label goes on behind a gap.

    Args:
        scores: What :func:`detect` gave.

    Returns:
        Table ``method, series, steps, anomalous_share`` and :data:`METRICS`, with a line ``mean``
        over the series for each method, best AUC-PR first, and in ``wins`` of that line the number
        of series on which the method's AUC-PR is above the plain seasonal naive's. ``detected``,
        ``delay`` and ``nab_reward`` are those at the threshold of ``best_f1``.

    Raises:
        TraceError: No series has labels with both kinds of steps among those that are scored.
    """
    methods = [name for name in scores.columns if name not in _KEYS]
    lines = []
    for name, group in scores.groupby("series", sort=False):
        known = group[methods].notna().all(axis=1) & group["anomalous"].notna()
        anomalous = group.loc[known, "anomalous"].to_numpy(dtype=bool)
        if not anomalous.any() or anomalous.all():
            continue
        about = {"series": name, "steps": len(anomalous), "anomalous_share": anomalous.mean()}
        season = int(group["season"].iloc[0])
        for method in methods:
            values = group.loc[known, method].to_numpy(dtype=np.float32)
            lines.append({"method": method, **about, **_judge(anomalous, values, season)})
    if not lines:
        raise TraceError(
            "no series has labels to judge by: both usual and anomalous steps must be among those "
            "scored, which are the observed ones after the usual part"
        )
    return _with_means(pd.DataFrame(lines))


def _scores(
    series: WatchedSeries,
    backbone: Backbone,
    reconstructor: Reconstructor | None,
    config: AnomalyConfig,
) -> dict[str, Float]:
    """Scores of one series by method, each of shape ``(T,)``."""
    values, season = series.values, series.season
    first = config.usual_steps(len(values))
    scores = {
        REFERENCE: seasonal_naive_score(values, season=season, first=first),
        "forecast": forecast_score(
            values, backbone, season=season, first=first, rolling=config.rolling
        ),
    }
    if reconstructor is not None:
        scores["reconstruction"] = reconstructor.score(values, first=first)
    steps = max(1, round(config.smoothed_seasons * season))
    smoothed = {name + SMOOTHED: trailing_mean(each, steps) for name, each in scores.items()}
    return scores | smoothed


def _table(
    series: WatchedSeries, scores: dict[str, Float], rng: np.random.Generator
) -> pd.DataFrame:
    """One series as lines of the table of scores."""
    labels = pd.array([None] * len(series.values), dtype="boolean")
    if series.anomalous is not None:
        labels = pd.array(series.anomalous, dtype="boolean")
    columns: dict[str, Any] = {
        "series": series.name,
        "timestamp": series.timestamps,
        "value": series.values,
        "anomalous": labels,
        "season": series.season,
    }
    known = ~np.isnan(scores[REFERENCE])
    random = np.where(known, rng.random(len(known)), np.nan).astype(np.float32)
    return pd.DataFrame({**columns, **scores, "random": random})


def _judge(anomalous: Bool, scores: Float, season: int) -> dict[str, float]:
    """Every metric of one method on one series; the buffer of VUS is one season."""
    best = best_f1(anomalous, scores)
    volume = volume_under_surface(anomalous, scores, buffer=season)
    noticed = detection_delay(anomalous, scores, best.threshold)
    values = (
        average_precision(anomalous, scores),
        best.f1,
        best_adjusted_f1(anomalous, scores).f1,
        volume.pr,
        volume.roc,
        noticed.detected,
        noticed.delay,
        noticed.reward,
    )
    return dict(zip(METRICS, values, strict=True))


def _with_means(lines: pd.DataFrame) -> pd.DataFrame:
    """Put the mean over series in front of each method's lines, the best method first."""
    by_series = lines.pivot(index="series", columns="method", values="auc_pr")
    wins = by_series.gt(by_series[REFERENCE], axis=0).sum()
    numbers = ["steps", "anomalous_share", *METRICS]
    means = (
        lines.groupby("method", sort=False)[numbers]
        .mean()
        .sort_values("auc_pr", ascending=False, kind="stable")
    )
    parts = []
    for method in means.index:
        first = means.loc[[method]].assign(method=method, series=MEAN, wins=wins.loc[[method]])
        parts += [first, lines[lines["method"] == method]]
    table: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return table.loc[:, ["method", "series", "steps", "anomalous_share", *METRICS, "wins"]]
