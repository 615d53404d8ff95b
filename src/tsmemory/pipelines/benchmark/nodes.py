"""Nodes of the pipeline ``benchmark``."""

import logging
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.pipelines.base_params import Seed
from tsmemory.pipelines.benchmark.main_way import MainWay, run_row
from tsmemory.pipelines.benchmark.pace import Pace
from tsmemory.pipelines.benchmark.params import AblationParams, BenchmarkParams, TransferParams
from tsmemory.pipelines.benchmark.rows import Settings, ablation_rows, default_settings
from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.evaluation.params import EvaluationParams
from tsmemory.pipelines.lazy_types import (
    AblationScores,
    BackboneForecasts,
    ClosedForm,
    Datastore,
    Neighbours,
    ShardCache,
)
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows

logger = logging.getLogger(__name__)


def score_ablations(
    series: SeriesSet,
    window_index: pd.DataFrame,
    borders: pd.DataFrame,
    train_forecasts: BackboneForecasts,
    validation_forecasts: BackboneForecasts,
    test_forecasts: BackboneForecasts,
    datastore: Datastore,
    neighbours: Neighbours,
    teacher_calibration: dict[str, Any],
    closed_form: ClosedForm,
    workspace: ShardCache,
    windowing: WindowingParams,
    teacher: TeacherParams,
    distillation: DistillationParams,
    batch_size: int,
    params: AblationParams,
    seed: Seed,
) -> AblationScores:
    """Train and score the memory once more for each part that is changed or left out.

    Args:
        series: The rows.
        window_index: All windows.
        borders: Ends of the training splits.
        train_forecasts: The backbone on training windows.
        validation_forecasts: The backbone on validation windows.
        test_forecasts: The backbone on test windows.
        datastore: Stored training windows.
        neighbours: Neighbours of the training windows.
        teacher_calibration: Factors on the spread of the targets.
        closed_form: The ridge and the out-of-fold fusion.
        workspace: Where finished rows are kept until all are.
        windowing: Lengths and strides.
        teacher: Retrieval and targets.
        distillation: What the default row is made with, but for seeds and epochs.
        batch_size: Test windows at a time.
        params: Rows, seeds and epochs.
        seed: Draws the guard's bootstrap.

    Returns:
        Scores of all rows and of the frozen backbone, on the same test windows.
    """
    from tsmemory.evaluation.ablation import AblationScores as Scores
    from tsmemory.evaluation.ablation import pack_row, unpack_row
    from tsmemory.evaluation.leaderboard import REFERENCE
    from tsmemory.evaluation.methods import frozen
    from tsmemory.scaleout.shards import map_shards

    main_way = MainWay(
        series,
        window_index,
        borders,
        train_forecasts,
        validation_forecasts,
        test_forecasts,
        datastore,
        neighbours,
        teacher_calibration,
        closed_form,
    )
    given = default_settings(Settings(windowing, teacher, distillation), params)
    rows = ablation_rows(params)
    pace = Pace(main_way, {name: row.change(given) for name, row in rows.items()})
    pace.announce()

    def score_row(name: str) -> dict[str, np.ndarray]:
        found, facts = run_row(
            name,
            rows[name].note,
            main_way,
            pace.settings[name],
            given,
            workspace=workspace.part("neighbours"),
            batch_size=batch_size,
            seed=seed,
        )
        pace.took(name, facts.seconds)
        return pack_row(found, facts)

    known = main_way.fingerprint(given, {"rows": list(rows), "params": params, "seed": seed})
    shards = map_shards(
        score_row,
        list(rows),
        cache=workspace.part("rows").open(known),
        description="Ablation",
    )
    found = {name: unpack_row(shard) for name, shard in zip(rows, shards, strict=True)}
    return Scores.join(main_way.score(REFERENCE, [frozen], windowing, batch_size=batch_size), found)


def tabulate_ablations(
    ablation_scores: AblationScores, evaluation: EvaluationParams, seed: Seed
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turn the scores of the rows into tables.

    Args:
        ablation_scores: The scores.
        evaluation: Bootstrap.
        seed: Draws the bootstrap.

    Returns:
        The ablation table, and skill against the default and the frozen backbone in every metric.
    """
    from tsmemory.evaluation.ablation import tabulate_ablation

    return tabulate_ablation(
        ablation_scores,
        samples=evaluation.bootstrap.samples,
        level=evaluation.bootstrap.level,
        rng=np.random.default_rng(seed),
    )


def measure_transfer(
    series: SeriesSet,
    window_index: pd.DataFrame,
    borders: pd.DataFrame,
    validation_forecasts: BackboneForecasts,
    test_forecasts: BackboneForecasts,
    windowing: WindowingParams,
    distillation: DistillationParams,
    evaluation: EvaluationParams,
    params: TransferParams,
    seed: Seed,
) -> pd.DataFrame:
    """Try memories of other domains on this one, as they are and guarded anew.

    Args:
        series: The rows.
        window_index: All windows.
        borders: Ends of the training splits.
        validation_forecasts: The backbone on validation windows, which choose and guard.
        test_forecasts: The backbone on test windows.
        windowing: Lengths and strides.
        distillation: Fusion and guard.
        evaluation: Batch size and bootstrap.
        params: Where the memories are.
        seed: Draws the bootstraps.

    Returns:
        The transfer table; a line that says what to give where no memory is given.
    """
    from tsmemory.evaluation import transfer
    from tsmemory.evaluation.rows import in_sample_seasonal_error
    from tsmemory.evaluation.scores import score_methods
    from tsmemory.memory.split import Split
    from tsmemory.metrics import season_length
    from tsmemory.progress import track

    lengths, season = (windowing.context_length, windowing.longest), season_length(series.freq)
    validation, test = (
        Split(series, Windows.from_table(window_index, name, *lengths), forecasts)
        for name, forecasts in (
            ("validation", validation_forecasts),
            ("test", test_forecasts),
        )
    )
    memories = [
        transfer.read_foreign(
            folder,
            test_forecasts,
            context_length=windowing.context_length,
            shortest=min(windowing.horizons),
        )
        for folder in params.forecasters
    ]
    found = []
    for memory in track(memories, "Transfer"):
        longest = min(memory.adapter.config.horizon, windowing.longest)
        refitted = transfer.refit(
            memory,
            validation.up_to(longest),
            stride=windowing.strides.validation,
            config=distillation.fusion,
            rng=np.random.default_rng(seed),
        )
        scores = score_methods(
            test.up_to(longest),
            transfer.transfer_methods(memory, refitted),
            horizons=[horizon for horizon in windowing.horizons if horizon <= longest],
            seasonal_error=in_sample_seasonal_error(series, borders, season),
            stride=windowing.strides.test,
            batch_size=evaluation.batch_size,
        )
        found.append((memory, refitted, scores))
    return transfer.tabulate_transfer(
        found,
        samples=evaluation.bootstrap.samples,
        level=evaluation.bootstrap.level,
        rng=np.random.default_rng(seed),
    )


def describe_benchmark(
    ablation: pd.DataFrame,
    ablation_skill: pd.DataFrame,
    transfer: pd.DataFrame,
    params: BenchmarkParams,
) -> dict[str, Any]:
    """Put the benchmark's settings and tables into one value.

    Args:
        ablation: The ablation table.
        ablation_skill: Its skills in every metric.
        transfer: The transfer table.
        params: What was compared.

    Returns:
        ``settings, ablation, ablation_skill, transfer`` as one JSON value.
    """
    from tsmemory.evaluation.report.parts import records

    return {
        "settings": params.model_dump(mode="json"),
        "ablation": records(ablation),
        "ablation_skill": records(ablation_skill),
        "transfer": records(transfer),
    }


def write_benchmark(
    ablation: pd.DataFrame,
    ablation_skill: pd.DataFrame,
    transfer: pd.DataFrame,
    params: BenchmarkParams,
    domain: str,
) -> str:
    """Put the tables of the benchmark on one page that needs no network.

    Args:
        ablation: The ablation table.
        ablation_skill: Its skills in every metric.
        transfer: The transfer table.
        params: What was compared.
        domain: Name of the dataset.

    Returns:
        The page.
    """
    from tsmemory.evaluation.report.benchmark import build_benchmark_report
    from tsmemory.evaluation.report.page import render_page
    from tsmemory.resolvers import domain as domain_name

    report = build_benchmark_report(
        domain_name(domain, None),
        ablation,
        ablation_skill,
        transfer,
        params.model_dump(mode="json"),
        datetime.now(UTC),
    )
    return render_page(report)
