"""Nodes of the pipeline ``short_term``."""

from typing import Any

import pandas as pd

from tsmemory.pipelines.indexing.params import BackboneParams
from tsmemory.pipelines.loading import load_configured_backbone
from tsmemory.pipelines.short_term.params import ShortTermParams


def score_short_term(
    panel: pd.DataFrame,
    panel_summary: dict[str, Any],
    backbone: BackboneParams,
    params: ShortTermParams,
) -> pd.DataFrame:
    """Forecast the end of every series once, by every backbone and the references.

    Args:
        panel: The series.
        panel_summary: Holds their frequency.
        backbone: The configured backbone.
        params: Horizon, and more backbones.

    Returns:
        Table ``row, series, smape, mase``.
    """
    from tsmemory.progress import track
    from tsmemory.trace.short_term import median_forecasts, short_term_errors, short_term_task

    task = short_term_task(
        panel, panel_summary["freq"], horizon=params.horizon, held_back=params.held_back
    )
    forecasts = {}
    for name in track((backbone.name, *params.backbones), "Short-term forecasts"):
        changes = {} if name == backbone.name else {"name": name, "kind": None, "revision": None}
        loaded = load_configured_backbone(backbone.model_copy(update=changes), panel_summary)
        forecasts[name] = median_forecasts(task, loaded, context_length=params.context_length)
    return short_term_errors(task, forecasts)


def tabulate_short_term(errors: pd.DataFrame) -> pd.DataFrame:
    """Means over the series, and OWA against Naive2.

    Args:
        errors: sMAPE and MASE of every row and series.

    Returns:
        Table ``row, series, smape, mase, owa``, the best row first.
    """
    from tsmemory.trace.short_term import short_term_table

    return short_term_table(errors)
