"""Nodes of the pipeline ``pretraining``."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from tsmemory.pipelines.ingestion.nodes import read_panel
from tsmemory.pipelines.ingestion.params import IngestionParams
from tsmemory.pipelines.lazy_types import ContentCache
from tsmemory.pipelines.pretraining.params import CheckParams, PretrainingParams
from tsmemory.pretraining.checks import (
    CheckSet,
    CheckWindows,
    collect_windows,
    score_check,
    tabulate_checks,
)
from tsmemory.series.errors import about_file
from tsmemory.series.names import stem
from tsmemory.series.reading import RawTable, read_raw
from tsmemory.series.sources import Source, locate
from tsmemory.series.splits import split_borders

if TYPE_CHECKING:
    from tsmemory.pretraining.pretrained import PretrainedBackbone
else:  # its module loads torch
    PretrainedBackbone = Any


def collect_check_windows(
    raw_table: RawTable, ingestion: IngestionParams, params: PretrainingParams
) -> CheckSet:
    """Collect validation windows of the domain's table and of all further ones.

    Args:
        raw_table: The domain's table; the sample by default.
        ingestion: What its columns are and where its splits end.
        params: Further tables, and lengths.

    Returns:
        The windows. Nothing of a test split is in them.
    """
    checks = [_windows_of(stem(ingestion.path), raw_table, ingestion, params)]
    for check in params.checks:
        source = None if check.source is None else Source(**check.source.model_dump())
        file = locate(check.path, source=source, download=check.download)
        checks.append(_windows_of(check.label, read_raw(file), check, params))
    return CheckSet(tuple(checks))


def pretrain_backbone(
    checks: CheckSet, checkpoints: ContentCache, params: PretrainingParams
) -> tuple[PretrainedBackbone, pd.DataFrame]:
    """Train a network on synthetic series, from its latest checkpoint on if there is one.

    Args:
        checks: Validation windows that are forecast at every point of the loss curve.
        checkpoints: Where checkpoints are kept, in a folder for each recipe.
        params: The recipe.

    Returns:
        The network in float32; and the loss curve ``step, samples, seconds, train_loss,
        held_out_<L>, <check>_<metric>``.
    """
    from tsmemory.pretraining.model import LEVELS, forecast
    from tsmemory.pretraining.pretrained import PretrainedBackbone, TrainingRecord
    from tsmemory.pretraining.recipe import describe_recipe, recipe_digest
    from tsmemory.pretraining.task import Pretraining
    from tsmemory.pretraining.training import pretrain

    recipe = (params.model, params.corpus.config(params.model.horizon), params.optimizer)
    folder = checkpoints.folder / recipe_digest(describe_recipe(*recipe, params.training))

    def scored(check: CheckWindows, model: Any) -> dict[str, Any]:
        return score_check(check, partial(forecast, model), LEVELS)

    watched = {check.name: partial(scored, check) for check in checks.checks}
    trainer = pretrain(Pretraining(*recipe, params.training, folder, watched))
    made = PretrainedBackbone(trainer.model.cpu(), params.name, TrainingRecord.of(trainer))
    return made, pd.DataFrame(trainer.curve)


def score_zero_shot(
    pretrained_weights: PretrainedBackbone, checks: CheckSet, params: PretrainingParams
) -> pd.DataFrame:
    """Score what is shipped, in the numbers that it is stored in, against the seasonal naive.

    Args:
        pretrained_weights: The network.
        checks: Validation windows.
        params: Type in which the weights are stored.

    Returns:
        Table ``check, windows, context_length, horizon, method, mse, mae, mase, wql``.
    """
    from tsmemory.pretraining.model import LEVELS, as_stored, forecast

    as_stored(pretrained_weights.model, params.export_dtype)
    return tabulate_checks(checks, partial(forecast, pretrained_weights.model), LEVELS)


def export_backbone(
    pretrained_weights: PretrainedBackbone,
    curve: pd.DataFrame,
    scores: pd.DataFrame,
    params: PretrainingParams,
) -> PretrainedBackbone:
    """Put the network into the type that it ships in, with its model card.

    Args:
        pretrained_weights: The network.
        curve: The loss curve.
        scores: Its zero-shot results.
        params: Name, and type of the weights.

    Returns:
        What ``backbone.name`` can be set to.
    """
    from tsmemory.pretraining.card import write_card

    dtype = params.export_dtype
    card = write_card(pretrained_weights.record, params.name, dtype, curve, scores)
    return replace(pretrained_weights, name=params.name, dtype=dtype, card=card)


def plot_pretraining(curve: pd.DataFrame, scores: pd.DataFrame) -> Any:
    """Draw losses and zero-shot checks over the steps.

    Args:
        curve: The loss curve.
        scores: Zero-shot results, for the seasonal naive forecast's values.

    Returns:
        A plotly figure.
    """
    from tsmemory.evaluation.pretraining_plots import draw_pretraining

    return draw_pretraining(curve, scores)


def _windows_of(
    name: str, raw_table: RawTable, table: IngestionParams, params: PretrainingParams
) -> CheckWindows:
    """Validation windows of one table."""
    own = table if isinstance(table, CheckParams) else None
    panel, summary = read_panel(raw_table, table)
    with about_file(raw_table.path):
        borders = split_borders(
            panel,
            borders=table.borders,
            train_share=table.train_share,
            test_share=table.test_share,
        )
        return collect_windows(
            name,
            panel,
            summary["freq"],
            borders,
            context_length=(own and own.context_length) or params.zero_shot.context_length,
            horizon=(own and own.horizon) or params.zero_shot.horizon,
            windows=params.zero_shot.windows,
        )
