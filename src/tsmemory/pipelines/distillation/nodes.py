"""Nodes of the pipeline ``distillation``."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.pipelines.base_params import Seed
from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.indexing.params import BackboneParams
from tsmemory.pipelines.lazy_types import (
    BackboneForecasts,
    ClosedForm,
    Datastore,
    MemoryForecaster,
    Neighbours,
    SeededAdapters,
)
from tsmemory.pipelines.loading import backbone_options, load_configured_backbone
from tsmemory.pipelines.teacher.configured import configured_teacher
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.resolvers import domain as domain_name
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows

logger = logging.getLogger(__name__)


def fit_linear_skip(
    series: SeriesSet,
    window_index: pd.DataFrame,
    train_forecasts: BackboneForecasts,
    windowing: WindowingParams,
    params: DistillationParams,
) -> ClosedForm:
    """Solve the ridge and its out-of-fold fusion.

    Args:
        series: The rows.
        window_index: All windows.
        train_forecasts: The backbone on training windows.
        windowing: Lengths.
        params: Penalties, folds and blocks.

    Returns:
        The closed form.
    """
    from tsmemory.memory.closed_form import fit_closed_form
    from tsmemory.memory.split import Split

    lengths = (windowing.context_length, windowing.longest)
    return fit_closed_form(
        Windows.from_table(window_index, "datastore", *lengths),
        Split(series, Windows.from_table(window_index, "train", *lengths), train_forecasts),
        Windows.from_table(window_index, "validation", *lengths),
        penalties=params.ridge.penalties,
        folds=params.ridge.folds,
        config=params.fusion,
    )


def distil_adapter(
    series: SeriesSet,
    window_index: pd.DataFrame,
    train_forecasts: BackboneForecasts,
    validation_forecasts: BackboneForecasts,
    datastore: Datastore,
    neighbours: Neighbours,
    teacher_calibration: dict[str, Any],
    closed_form: ClosedForm,
    windowing: WindowingParams,
    teacher: TeacherParams,
    params: DistillationParams,
) -> tuple[SeededAdapters, pd.DataFrame]:
    """Distil the teacher into the adapter, once for each seed.

    Args:
        series: The rows.
        window_index: All windows.
        train_forecasts: The backbone on training windows.
        validation_forecasts: The backbone on validation windows.
        datastore: Stored training windows.
        neighbours: Neighbours of the training windows.
        teacher_calibration: Factors on the spread of the targets.
        closed_form: Where training starts.
        windowing: Lengths.
        teacher: How targets are formed.
        params: Sizes, objective, schedule, seeds.

    Returns:
        The adapters, and the loss curve ``seed, epoch, total, task, align, anchor, gate,
        validation, best``, with ``cross`` and ``point`` where the objective has them.
    """
    from tsmemory.memory.profiles import configure_adapter, label_run
    from tsmemory.memory.split import Split
    from tsmemory.memory.training import distil_seeds
    from tsmemory.teacher.synthesis import TeacherTargets

    lengths = (windowing.context_length, windowing.longest)
    levels = train_forecasts.levels
    sizes = configure_adapter(
        params.profile,
        params.adapter,
        params.paper_adapter,
        context_length=windowing.context_length,
        horizon=windowing.longest,
        quantile_levels=levels,
        key_length=int(train_forecasts.keys.shape[1]),
        block=params.fusion.block,
    )
    train = Windows.from_table(window_index, "train", *lengths)
    validation = Windows.from_table(window_index, "validation", *lengths)
    if params.targets == "published":
        published = {"quantile_method": "published", "alignment": "shift"}
        teacher, factors = teacher.model_copy(update=published), None
    else:
        factors = teacher_calibration
    synthesis = configured_teacher(datastore, series, levels, teacher, factors)
    adapters, curves = distil_seeds(
        Split(series, train, train_forecasts),
        Split(series, validation, validation_forecasts),
        TeacherTargets(synthesis, train, neighbours),
        closed_form=closed_form,
        adapter=sizes,
        objective_config=params.objective,
        config=params.training,
        fusion=params.fusion,
        stride=windowing.strides.validation,
        seeds=params.seeds,
        label=label_run(
            params.profile,
            params.paper_adapter,
            params.training,
            train_stride=windowing.strides.train,
        ),
    )
    return adapters, pd.DataFrame(curves)


def fuse_and_guard(
    series: SeriesSet,
    window_index: pd.DataFrame,
    validation_forecasts: BackboneForecasts,
    adapter: SeededAdapters,
    closed_form: ClosedForm,
    windowing: WindowingParams,
    params: DistillationParams,
    seed: Seed,
) -> dict[str, Any]:
    """Choose the fusion weights on validation and let the guard judge them, for each seed.

    Args:
        series: The rows.
        window_index: All windows.
        validation_forecasts: The backbone on validation windows.
        adapter: The adapters.
        closed_form: Holds what out-of-fold training windows say of the default profile's fusion.
        windowing: Lengths and strides.
        params: Blocks, shrinkage, candidates and guard.
        seed: Draws the bootstrap.

    Returns:
        A fusion for each seed, with the guard's verdicts.
    """
    from tsmemory.memory.fusion_fit import fit_fusion
    from tsmemory.memory.split import Split, memory_parts
    from tsmemory.metrics import season_length

    windows = Windows.from_table(
        window_index, "validation", windowing.context_length, windowing.longest
    )
    split = Split(series, windows, validation_forecasts)
    fusions = {
        str(training_seed): fit_fusion(
            memory_parts(split, model),
            windows.calendar(series) + windows.context_length,
            levels=validation_forecasts.levels,
            horizon=windowing.longest,
            stride=windowing.strides.validation,
            config=params.fusion,
            rng=np.random.default_rng(seed),
            season=season_length(series.freq),
            training=adapter.evidence(training_seed, closed_form)
            if params.profile == "default"
            else None,
        )
        for training_seed, model in adapter.adapters.items()
    }
    shipped = next(iter(fusions.values()))
    level = logging.WARNING if shipped.is_idle else logging.INFO
    logger.log(level, "Guard: %s", shipped.describe())
    return {training_seed: fusion.to_json() for training_seed, fusion in fusions.items()}


def export_forecaster(
    adapter: SeededAdapters,
    fusion: dict[str, Any],
    series: SeriesSet,
    window_index: pd.DataFrame,
    panel_summary: dict[str, Any],
    windowing: WindowingParams,
    backbone: BackboneParams,
    domain: str,
) -> MemoryForecaster:
    """Join backbone, adapter and fusion into what is shipped.

    Args:
        adapter: The adapters; the first seed's is shipped.
        fusion: Fusions by seed.
        series: The rows, whose training means and deviations the artefact knows.
        window_index: All windows.
        panel_summary: Holds the panel's frequency.
        windowing: Lengths.
        backbone: Which backbone the artefact is tied to.
        domain: Name of the domain.

    Returns:
        The forecaster.
    """
    from tsmemory.memory.forecaster import MemoryForecaster
    from tsmemory.memory.fusion import Fusion
    from tsmemory.memory.known_series import KnownSeries

    lengths = (windowing.context_length, windowing.longest)
    train = Windows.from_table(window_index, "train", *lengths)
    return MemoryForecaster(
        load_configured_backbone(backbone, panel_summary),
        adapter.shipped,
        Fusion.from_json(next(iter(fusion.values()))),
        KnownSeries.from_training(series, train),
        backbone_source=backbone.name,
        backbone_options=backbone_options(backbone, panel_summary),
        domain=domain_name(domain, None),
    )


def plot_loss_curve(loss_curve: pd.DataFrame) -> Any:
    """Draw training and validation loss over the epochs.

    Args:
        loss_curve: What :func:`distil_adapter` returned.

    Returns:
        A plotly figure.
    """
    from tsmemory.evaluation.plots import draw_loss_curve

    return draw_loss_curve(loss_curve)


def plot_fusion(fusion: dict[str, Any]) -> Any:
    """Draw the fusion weights over the horizon.

    Args:
        fusion: What :func:`fuse_and_guard` returned.

    Returns:
        A plotly figure.
    """
    from tsmemory.evaluation.plots import draw_fusion

    return draw_fusion(fusion)
