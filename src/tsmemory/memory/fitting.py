"""Making a memory from series in one go: the steps of the pipelines, without Kedro."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from tsmemory.backbones import Backbone
from tsmemory.memory.closed_form import ClosedForm, fit_closed_form
from tsmemory.memory.config import PaperSizes
from tsmemory.memory.fit_caches import Caches
from tsmemory.memory.fit_config import FitConfig
from tsmemory.memory.fit_data import FitData, check_settings
from tsmemory.memory.forecasts import BackboneForecasts, forecast_windows
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.fusion_fit import fit_fusion
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.parts import ChosenBackbone
from tsmemory.memory.profiles import Adapter, configure_adapter
from tsmemory.memory.seeded import SeededAdapters
from tsmemory.memory.split import Split, memory_parts
from tsmemory.memory.training import distil_seeds
from tsmemory.memory.training_windows import TrainingWindows
from tsmemory.metrics import season_length
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.embeddings import KnownKeys, embed_windows
from tsmemory.teacher.calibration import SpreadCalibration
from tsmemory.teacher.calibration_fit import fit_calibration
from tsmemory.teacher.neighbours import Neighbours, find_neighbours
from tsmemory.teacher.rerank import Rerank
from tsmemory.teacher.synthesis import Teacher, TeacherTargets

_QUERIES = 8192  # in a shard of the search: they need less room than forecasts
logger = logging.getLogger(__name__)


class Fitted(NamedTuple):
    """What was made.

    Attributes:
        adapter: The memory adapter.
        fusion: Its guarded fusion with the backbone.
        series: The series that it knows.
        windows: The training windows that it was made from.
        provenance: What was used, in plain values.
    """

    adapter: Adapter
    fusion: Fusion
    series: KnownSeries
    windows: TrainingWindows
    provenance: dict[str, Any]


@dataclass(frozen=True)
class MemoryFit:
    """A memory in the making; every step is one of the pipelines'.

    Attributes:
        data: Series and windows.
        backbone: The frozen backbone.
        config: All settings.
        seed: Of training, of samples and of the guard's bootstrap.
        caches: Where long work is kept.
        settings: What the backbone was loaded with, as far as its fingerprint does not say it.
    """

    data: FitData
    backbone: Backbone
    config: FitConfig
    seed: int
    caches: Caches
    settings: Mapping[str, Any]

    def run(self) -> Fitted:
        """Take all steps.

        Returns:
            The memory.

        Raises:
            ForecasterError: More neighbours are asked for than there are, or forecasts are missing
                from a table of them.
        """
        check_settings(self.data, self.config, self.backbone)
        train, validation = self._forecasts("train"), self._forecasts("validation")
        datastore = self._datastore(train)
        neighbours, calibration = self._teach(datastore, train)
        closed_form = fit_closed_form(
            self.data.datastore,
            self._split("train", train),
            self.data.validation,
            penalties=self.config.ridge.penalties,
            folds=self.config.ridge.folds,
            config=self.config.fusion,
        )
        targets = TeacherTargets(
            self._teacher(datastore, train, calibration), self.data.train, neighbours
        )
        adapters = self._distil(train, validation, targets, closed_form)
        fusion = self._fuse(validation, adapters, closed_form)
        teacher = self.config.teacher
        return Fitted(
            adapters.shipped,
            fusion,
            KnownSeries.from_training(self.data.series, self.data.train),
            TrainingWindows(datastore, self.data.series, teacher.k, teacher.temperature),
            {
                **self.data.provenance,
                "seed": self.seed,
                "ridge_penalty": closed_form.ridge.penalty,
                "distillation": adapters.report[str(self.seed)],
            },
        )

    def _split(self, split: str, forecasts: BackboneForecasts) -> Split:
        return Split(self.data.series, getattr(self.data, split), forecasts)

    def _forecasts(self, split: str) -> BackboneForecasts:
        """Ask the frozen backbone about the windows of a split."""
        return forecast_windows(
            self.backbone,
            getattr(self.data, split),
            self.data.series,
            shard_size=self.config.shard_size,
            cache=self.caches.workspace.part(f"{split}_forecasts"),
            answers=self.caches.answers_of(split),
            settings=self.settings,
            description=f"Forecasting {split} windows",
        )

    def _datastore(self, train: BackboneForecasts) -> Datastore:
        """Store training windows by key."""
        data, store = self.data, self.config.store
        keys = embed_windows(
            self.backbone,
            data.datastore,
            data.series,
            config=store.key,
            shard_size=self.config.shard_size,
            known=KnownKeys(data.train, train.keys),
            cache=self.caches.workspace.part("keys"),
            answers=self.caches.answers_of("datastore"),
            settings=self.settings,
        )
        return Datastore.build(
            keys,
            data.datastore,
            data.series,
            key=store.key,
            index_kind=store.index_kind,
            same_channel=store.same_channel,
        )

    def _teacher(
        self,
        datastore: Datastore,
        train: BackboneForecasts,
        calibration: SpreadCalibration | None = None,
    ) -> Teacher:
        config = self.config.teacher
        return Teacher(
            datastore,
            self.data.series,
            train.levels,
            config.shift_length,
            config.quantile_method,
            config.alignment,
            calibration,
            config.device,
        )

    def _teach(
        self, datastore: Datastore, train: BackboneForecasts
    ) -> tuple[Neighbours, SpreadCalibration]:
        """Search the neighbours of training windows, and calibrate the teacher's spread."""
        config, windows = self.config.teacher, self.data.train
        pool = config.rerank_pool
        neighbours = find_neighbours(
            datastore,
            train.keys,
            windows,
            self.data.series,
            k=config.k,
            k_min=config.k_min,
            temperature=config.temperature,
            confidence=config.confidence,
            rerank=Rerank(pool, config.shift_length, config.alignment) if pool else None,
            embargo=config.embargo,
            shard_size=_QUERIES,
            cache=self.caches.workspace.part("neighbours"),
            device=config.device,
        )
        spread = config.calibration
        if not spread.enabled:
            return neighbours, SpreadCalibration.none(windows.horizon, spread.block)
        calibration = fit_calibration(
            self._teacher(datastore, train),
            windows,
            neighbours,
            block=spread.block,
            folds=spread.folds,
            queries=spread.queries,
            rng=np.random.default_rng(self.seed),
        )
        return neighbours, calibration

    def _distil(
        self,
        train: BackboneForecasts,
        validation: BackboneForecasts,
        targets: TeacherTargets,
        closed_form: ClosedForm,
    ) -> SeededAdapters:
        """Distil the teacher into the adapter."""
        config = self.config
        sizes = configure_adapter(
            "default",
            config.adapter,
            PaperSizes(),
            context_length=self.data.train.context_length,
            horizon=self.data.train.horizon,
            quantile_levels=train.levels,
            key_length=int(train.keys.shape[1]),
            block=config.fusion.block,
        )
        adapters, _ = distil_seeds(
            self._split("train", train),
            self._split("validation", validation),
            targets,
            closed_form=closed_form,
            adapter=sizes,
            objective_config=config.objective,
            config=config.training,
            fusion=config.fusion,
            stride=self.data.stride,
            seeds=[self.seed],
        )
        return adapters

    def _fuse(
        self, validation: BackboneForecasts, adapters: SeededAdapters, closed_form: ClosedForm
    ) -> Fusion:
        """Choose the fusion weights on validation and let the guard judge them."""
        windows, config = self.data.validation, self.config
        fusion = fit_fusion(
            memory_parts(self._split("validation", validation), adapters.shipped),
            windows.calendar(self.data.series) + windows.context_length,
            levels=validation.levels,
            horizon=windows.horizon,
            stride=self.data.stride,
            config=config.fusion,
            rng=np.random.default_rng(self.seed),
            season=season_length(self.data.series.freq),
            training=adapters.evidence(self.seed, closed_form),
        )
        logger.log(logging.WARNING if fusion.is_idle else logging.INFO, "%s", fusion.describe())
        return fusion


def make_memory(
    data: FitData, chosen: ChosenBackbone, config: FitConfig, seed: int, folder: Path | None
) -> Fitted:
    """Make a memory.

    Args:
        data: Series and windows.
        chosen: The backbone.
        config: All settings.
        seed: Of everything random.
        folder: Where unfinished work, the backbone's answers and the training windows are kept;
            ``None`` keeps nothing.

    Returns:
        The memory.
    """
    if folder is None:
        with TemporaryDirectory(prefix="tsmemory_") as passing:
            caches = Caches.under(Path(passing), lasting=False)
            return MemoryFit(data, chosen.backbone, config, seed, caches, chosen.settings).run()
    caches = Caches.under(folder, lasting=True)
    found = MemoryFit(data, chosen.backbone, config, seed, caches, chosen.settings).run()
    found.windows.save(folder)
    caches.workspace.clear()
    return found
