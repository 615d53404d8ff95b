"""Nodes of the pipeline ``tuning``."""

from typing import Any

import numpy as np
import pandas as pd

from tsmemory.pipelines.base_params import Seed
from tsmemory.pipelines.benchmark.main_way import MainWay
from tsmemory.pipelines.benchmark.rows import Settings
from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.evaluation.params import EvaluationParams
from tsmemory.pipelines.indexing.params import BackboneParams
from tsmemory.pipelines.lazy_types import (
    AblationScores,
    BackboneForecasts,
    ClosedForm,
    Datastore,
    Neighbours,
    ShardCache,
    StudyJournal,
)
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.trace.jobs import training_windows
from tsmemory.pipelines.trace.params import TraceParams
from tsmemory.pipelines.tuning.rows import Contest, renamed
from tsmemory.pipelines.tuning.use import refuse_other_profiles, refuse_tuned, tied_to
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows


def search_gates(
    series: SeriesSet,
    window_index: pd.DataFrame,
    train_forecasts: BackboneForecasts,
    validation_forecasts: BackboneForecasts,
    datastore: Datastore,
    closed_form: ClosedForm,
    studies: StudyJournal,
    workspace: ShardCache,
    windowing: WindowingParams,
    backbone: BackboneParams,
    teacher: TeacherParams,
    distillation: DistillationParams,
    gates: Any,
    seed: Seed,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Search gates, retrieval, losses and fusion on blocks of validation.

    Args:
        series: The rows.
        window_index: All windows.
        train_forecasts: The backbone on training windows.
        validation_forecasts: The backbone on validation windows.
        datastore: Stored training windows.
        closed_form: The ridge and the out-of-fold fusion.
        studies: Where trials are kept.
        workspace: Where distilled settings are kept until all are.
        windowing: Lengths and strides.
        backbone: Which backbone, to be told with what is found.
        teacher: Where the search begins.
        distillation: The same; its first seed trains what is promoted.
        gates: :class:`~tsmemory.tuning.config.GatesConfig`.
        seed: Of the proposals.

    Returns:
        What is taken and why; the trials; the settings that were distilled; the importance of
        parameters.
    """
    from tsmemory.memory.split import Split
    from tsmemory.tuning.gate_study import tune_gates
    from tsmemory.tuning.gates.problem import GateProblem
    from tsmemory.tuning.gates.settings import TeacherSettings

    refuse_tuned("distillation", distillation.use_tuned)
    refuse_other_profiles(distillation)
    lengths = (windowing.context_length, windowing.longest)
    train, validation = (
        Split(series, Windows.from_table(window_index, name, *lengths), forecasts)
        for name, forecasts in (("train", train_forecasts), ("validation", validation_forecasts))
    )
    problem = GateProblem.prepare(
        train,
        validation,
        datastore,
        closed_form,
        teacher=TeacherSettings.read(teacher.model_dump()),
        adapter=distillation.adapter,
        objective=distillation.objective,
        training=distillation.training,
        fusion=distillation.fusion,
        horizons=windowing.horizons,
        stride=windowing.strides.validation,
        seed=distillation.seeds[0],
        metric=gates.metric,
    )
    study = tune_gates(
        problem, gates, studies.path, workspace, horizon=windowing.longest, seed=seed
    )
    tuned = study.to_json() | {"tied_to": tied_to(windowing, backbone)}
    return tuned, study.trials(), study.promoted(), study.searches["tuned"].importance


def search_masks(
    series: SeriesSet,
    window_index: pd.DataFrame,
    studies: StudyJournal,
    workspace: ShardCache,
    windowing: WindowingParams,
    backbone: BackboneParams,
    trace: TraceParams,
    masks: Any,
    seed: Seed,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Search which sites should carry LoRA, and train the best masks anew.

    Args:
        series: The rows.
        window_index: All windows.
        studies: Where trials are kept.
        workspace: Where the supernet is kept until all is done.
        windowing: Lengths and strides.
        backbone: Which backbone.
        trace: How it is adapted.
        masks: :class:`~tsmemory.tuning.config.MasksConfig`.
        seed: Of the supernet and of the proposals.

    Returns:
        The mask that is taken and why; the trials; the masks that were trained anew; NSGA-II beside
        random search.
    """
    from tsmemory.trace.base import load_base
    from tsmemory.trace.bench import Bench
    from tsmemory.trace.splits import TraceWindows
    from tsmemory.tuning.mask_study import MaskStudy, tune_masks

    refuse_tuned("trace", trace.use_tuned)
    if masks.trials:
        lengths = (windowing.context_length, windowing.longest)
        train = training_windows(window_index, windowing, trace.train_stride)
        validation = Windows.from_table(window_index, "validation", *lengths)
        bench = Bench(
            load_base(backbone.name, revision=backbone.revision, device=backbone.device),
            series,
            TraceWindows.split(series, train, validation, trace.selection.scoring_share),
            trace.config(),
            horizons=windowing.horizons,
            levels=backbone.quantile_levels,
        )
        study = tune_masks(bench, masks, studies.path, workspace, seed=seed)
    else:
        study = MaskStudy.none("no masks were searched: tuning.masks.trials = 0")
    taken = {**study.taken, "tied_to": tied_to(windowing, backbone)}
    return taken, study.trials, study.confirmed, study.samplers


def score_tuned(
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
    tuned_gates: dict[str, Any],
    workspace: ShardCache,
    windowing: WindowingParams,
    teacher: TeacherParams,
    distillation: DistillationParams,
    batch_size: int,
    seeds: Any,
    seed: Seed,
) -> AblationScores:
    """Train the default and the best settings of the searches, and score them once on test.

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
        tuned_gates: What the searches have found; nothing is chosen any more.
        workspace: Where finished settings are kept until all are.
        windowing: Lengths and strides.
        teacher: Retrieval and targets of the default.
        distillation: What the default is made with, but for seeds.
        batch_size: Test windows at a time.
        seeds: Training seeds of every setting.
        seed: Draws the guard's bootstrap.

    Returns:
        Scores of the settings and of the frozen backbone, on the same test windows.
    """
    from tsmemory.evaluation.ablation import AblationScores as Scores
    from tsmemory.evaluation.ablation import pack_row, unpack_row
    from tsmemory.evaluation.leaderboard import REFERENCE
    from tsmemory.evaluation.methods import frozen
    from tsmemory.fingerprint import digest
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
    given = Settings(windowing, teacher, distillation)
    given = given.with_distillation(seeds=tuple(seeds))
    contest = Contest(main_way, given, batch_size, seed)
    settings = tuned_gates["settings"]
    overrides = {n: line["overrides"] if line["trial"] else {} for n, line in settings.items()}
    distinct = {digest(values): name for name, values in reversed(overrides.items())}

    def score_setting(name: str) -> dict[str, np.ndarray]:
        note = f"trial {settings[name]['trial']}"
        return pack_row(*contest.run(name, note, overrides[name], workspace.part("neighbours")))

    known = main_way.fingerprint(given, {"settings": settings, "seed": seed})
    shards = map_shards(
        score_setting,
        list(distinct.values()),
        cache=workspace.part("rows").open(known),
        description="Settings on test",
    )
    rows = dict(zip(distinct, map(unpack_row, shards), strict=True))
    found = {name: renamed(rows[digest(values)], name) for name, values in overrides.items()}
    return Scores.join(main_way.score(REFERENCE, [frozen], windowing, batch_size=batch_size), found)


def tabulate_overtuning(
    tuned_scores: AblationScores,
    tuned_gates: dict[str, Any],
    evaluation: EvaluationParams,
    seed: Seed,
) -> pd.DataFrame:
    """Set what was gained on validation beside what is left of it on test.

    Args:
        tuned_scores: Test scores of the settings.
        tuned_gates: How they look on validation.
        evaluation: Bootstrap.
        seed: Draws the bootstrap.

    Returns:
        Table ``setting, trials, split, horizon, metric, value, gain, low, high``.
    """
    from tsmemory.tuning import overtuning
    from tsmemory.tuning.gate_study import chosen_settings

    return overtuning.tabulate_overtuning(
        chosen_settings(tuned_gates),
        tuned_scores.scores,
        metric=tuned_gates["metric"],
        samples=evaluation.bootstrap.samples,
        level=evaluation.bootstrap.level,
        rng=np.random.default_rng(seed),
    )
