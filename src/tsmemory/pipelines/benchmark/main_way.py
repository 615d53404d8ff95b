"""A row of the ablation: the steps of the main way on its own artefacts, with other parameters.

The steps are the nodes themselves, so that a row differs from the main way in its parameters and in
nothing else.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.pipelines.benchmark.rows import Settings
from tsmemory.pipelines.distillation.nodes import distil_adapter, fuse_and_guard
from tsmemory.pipelines.lazy_types import (
    BackboneForecasts,
    ClosedForm,
    Datastore,
    MethodScores,
    Neighbours,
    RowFacts,
    ShardCache,
)
from tsmemory.pipelines.teacher.nodes import calibrate_teacher, search_neighbours
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.series_set import SeriesSet
from tsmemory.series.windows import Windows


@dataclass(frozen=True)
class MainWay:
    """What the main way has made of a domain.

    Attributes:
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
    """

    series: SeriesSet
    window_index: pd.DataFrame
    borders: pd.DataFrame
    train_forecasts: BackboneForecasts
    validation_forecasts: BackboneForecasts
    test_forecasts: BackboneForecasts
    datastore: Datastore
    neighbours: Neighbours
    teacher_calibration: dict[str, Any]
    closed_form: ClosedForm

    def fingerprint(self, settings: Settings, others: dict[str, Any]) -> str:
        """Digest of all that rows depend on, for work that a killed run has left.

        Args:
            settings: The default row's parameters.
            others: What rows depend on beside these.
        """
        from tsmemory.fingerprint import digest, digest_arrays
        from tsmemory.runs.parameters import essence

        lengths = (settings.windowing.context_length, settings.windowing.longest)
        windows = {
            split: Windows.from_table(self.window_index, split, *lengths).fingerprint(self.series)
            for split in ("train", "validation", "test")
        }
        arrays: dict[str, np.ndarray] = {
            "train": self.train_forecasts.keys,
            "validation": self.validation_forecasts.keys,
            "test": self.test_forecasts.keys,
            "neighbours": self.neighbours.position,
            "weights": self.neighbours.weight,
            "ridge": self.closed_form.ridge.weight.numpy(),
        }
        parts = {
            "settings": essence(vars(settings)),
            "others": essence(others),
            "windows": windows,
            "backbone": self.test_forecasts.backbone,
            "datastore": self.datastore.summary(),
            "calibration": self.teacher_calibration,
            "closed_form": self.closed_form.summary(),
            "arrays": digest_arrays(arrays),
        }
        return digest(parts)

    def reduced(self, windowing: WindowingParams, given: WindowingParams) -> "MainWay":
        """The same to a row's longest horizon and with its stride of training windows.

        Args:
            windowing: The row's.
            given: The main way's.
        """
        if windowing == given:
            return self
        every, horizon = windowing.strides.train // given.strides.train, windowing.longest
        is_train = (self.window_index["split"] == "train").to_numpy()
        chosen = np.arange(0, is_train.sum(), every)
        keep = ~is_train
        keep[np.flatnonzero(is_train)[chosen]] = True
        train = replace(
            self.train_forecasts,
            keys=self.train_forecasts.keys[chosen],
            quantiles=self.train_forecasts.quantiles[chosen],
        )
        return replace(
            self,
            window_index=self.window_index[keep],
            train_forecasts=train.up_to(horizon),
            validation_forecasts=self.validation_forecasts.up_to(horizon),
            test_forecasts=self.test_forecasts.up_to(horizon),
            neighbours=self.neighbours.take(chosen),
            closed_form=self.closed_form.of_windows(chosen),
        )

    def retaught(self, settings: Settings, workspace: ShardCache, seed: int) -> "MainWay":
        """The same with neighbours searched anew, as a row's teacher wants them."""
        given = (self.series, self.window_index)
        neighbours = search_neighbours(
            self.datastore,
            self.train_forecasts,
            *given,
            workspace,
            settings.windowing,
            settings.teacher,
        )
        calibration = calibrate_teacher(
            self.datastore,
            neighbours,
            *given,
            self.train_forecasts,
            settings.windowing,
            settings.teacher,
            seed,
        )
        return replace(self, neighbours=neighbours, teacher_calibration=calibration)

    def score(
        self, name: str, forecasters: Sequence[Any], windowing: WindowingParams, *, batch_size: int
    ) -> MethodScores:
        """Scores on the test windows.

        Args:
            name: What is scored.
            forecasters: One for each seed.
            windowing: Lengths.
            batch_size: Test windows at a time.
        """
        from tsmemory.evaluation.rows import in_sample_seasonal_error
        from tsmemory.evaluation.scores import score_methods
        from tsmemory.memory.split import Split
        from tsmemory.metrics import season_length

        series, lengths = self.series, (windowing.context_length, windowing.longest)
        windows = Windows.from_table(self.window_index, "test", *lengths)
        season = season_length(series.freq)
        return score_methods(
            Split(series, windows, self.test_forecasts),
            {name: forecasters},
            horizons=windowing.horizons,
            seasonal_error=in_sample_seasonal_error(series, self.borders, season),
            stride=windowing.strides.test,
            batch_size=batch_size,
        )


def run_row(
    name: str,
    note: str,
    main_way: MainWay,
    settings: Settings,
    given: Settings,
    *,
    workspace: ShardCache,
    batch_size: int,
    seed: int,
) -> tuple[MethodScores, RowFacts]:
    """Train, fuse and score one row.

    Args:
        name: The row.
        note: What is changed; the profile's label where it is empty.
        main_way: The main way's artefacts.
        settings: The row's parameters.
        given: The main way's parameters.
        workspace: Where an unfinished search is kept.
        batch_size: Test windows at a time.
        seed: Draws bootstraps and samples.

    Returns:
        Scores on the test windows, and what is told beside them.
    """
    from tsmemory.evaluation.ablation import RowFacts as Facts
    from tsmemory.evaluation.methods import Fused
    from tsmemory.memory.fusion import Fusion

    begin = time.perf_counter()
    taught = main_way.reduced(settings.windowing, given.windowing)
    if settings.teacher != given.teacher:
        taught = taught.retaught(settings, workspace, seed)
    adapters, _ = distil_adapter(
        taught.series,
        taught.window_index,
        taught.train_forecasts,
        taught.validation_forecasts,
        taught.datastore,
        taught.neighbours,
        taught.teacher_calibration,
        taught.closed_form,
        settings.windowing,
        settings.teacher,
        settings.distillation,
    )
    fusion = fuse_and_guard(
        taught.series,
        taught.window_index,
        taught.validation_forecasts,
        adapters,
        taught.closed_form,
        settings.windowing,
        settings.distillation,
        seed,
    )
    seconds = time.perf_counter() - begin
    reports = list(adapters.report.values())
    facts = Facts(
        note=note or f"{reports[0]['profile']}; H = {settings.windowing.longest} only",
        horizons=settings.windowing.horizons,
        seeds=len(adapters.adapters),
        kept=sum(bool(report["trained_part_kept"]) for report in reports),
        parameters=int(adapters.shipped.describe()["trained_parameters"]),
        seconds=seconds,
    )
    forecasters = [
        Fused(model, Fusion.from_json(fusion[str(training_seed)]))
        for training_seed, model in adapters.adapters.items()
    ]
    return taught.score(name, forecasters, settings.windowing, batch_size=batch_size), facts
