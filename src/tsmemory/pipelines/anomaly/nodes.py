"""Nodes of the pipeline ``anomaly``."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from tsmemory.pipelines.anomaly.params import AnomalyParams
from tsmemory.pipelines.indexing.params import BackboneParams
from tsmemory.pipelines.loading import load_configured_backbone

logger = logging.getLogger(__name__)


def score_anomalies(
    panel: pd.DataFrame,
    panel_summary: dict[str, Any],
    backbone: BackboneParams,
    params: AnomalyParams,
) -> pd.DataFrame:
    """Score every step by how anomalous it is, by every method.

    Args:
        panel: The domain's series.
        panel_summary: Holds their frequency.
        backbone: Which backbone forecasts and reconstructs.
        params: What is watched, and how.

    Returns:
        Table ``series, timestamp, value, anomalous, season`` and a column for each method.
    """
    from tsmemory.trace.anomaly.detect import detect
    from tsmemory.trace.anomaly.nab import read_labels, read_nab
    from tsmemory.trace.anomaly.series import watched_series

    if params.nab is not None:
        series = read_nab(params.nab, group=params.group)
    else:
        labels = None if params.labels is None else read_labels(Path(params.labels))
        series = watched_series(panel, panel_summary["freq"], labels)
    return detect(
        series,
        load_configured_backbone(backbone, panel_summary),
        config=params.config(),
        encoder=_patch_encoder(backbone, params) if params.reconstruction else None,
    )


def tabulate_anomalies(scores: pd.DataFrame) -> pd.DataFrame:
    """Judge every method on every labelled series.

    Args:
        scores: Scores of every step.

    Returns:
        Table ``method, series, steps, anomalous_share``, metrics and ``wins``; empty where nothing
        is labelled.
    """
    from tsmemory.trace.anomaly.detect import METRICS, judge

    if not scores["anomalous"].fillna(False).any():
        logger.info("Steps are scored; nothing is labelled (anomaly.labels) to judge the scores by")
        columns = ("method", "series", "steps", "anomalous_share", *METRICS, "wins")
        return pd.DataFrame(columns=list(columns))
    return judge(scores)


def _patch_encoder(backbone: BackboneParams, params: AnomalyParams) -> Any:
    """The backbone's encoder, or ``None`` where it has none that could reconstruct."""
    from tsmemory.trace.base import load_base
    from tsmemory.trace.encoder import PatchEncoder
    from tsmemory.trace.errors import TraceError

    try:
        base = load_base(backbone.name, revision=backbone.revision, device=backbone.device)
        model = base.read()
        length = min(params.context_length, int(model.chronos_config.context_length))
        return PatchEncoder(model, length)
    except TraceError as error:
        logger.info("Nothing is reconstructed: %s", error)
        return None
