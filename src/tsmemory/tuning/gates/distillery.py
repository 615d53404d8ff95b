"""Settings at full fidelity: a distillation with one seed, its fusion cross-validated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import AdapterSizes, TrainingConfig
from tsmemory.memory.split import Split, memory_parts
from tsmemory.memory.training import distil_seeds
from tsmemory.metrics import season_length
from tsmemory.retrieval.datastore import Datastore
from tsmemory.teacher.calibration_fit import fit_calibration
from tsmemory.teacher.neighbours import find_neighbours
from tsmemory.teacher.synthesis import TeacherTargets
from tsmemory.tuning.gates.bench import closed_form_for, make_teacher, sizes_for
from tsmemory.tuning.gates.folds import Folds
from tsmemory.tuning.gates.pools import with_keys
from tsmemory.tuning.gates.sample import sample_windows
from tsmemory.tuning.gates.scores import BlockScores, Metric
from tsmemory.tuning.gates.settings import GateSettings, TeacherSettings


@dataclass(frozen=True)
class Distillery:
    """All that a full distillation needs.

    Attributes:
        train: Training windows.
        validation: Validation windows, which stop the training.
        datastore: Stored training windows.
        closed_form: As it is configured.
        folds: Blocks of a sample of the validation windows, on which the fusion is chosen and
            scored.
        teacher: The teacher as it is configured.
        adapter: Sizes of the adapter.
        training: Optimizer and schedule.
        stride: Steps between consecutive validation origins of one row.
        seed: Training seed.
    """

    train: Split
    validation: Split
    datastore: Datastore
    closed_form: ClosedForm
    folds: Folds
    teacher: TeacherSettings
    adapter: AdapterSizes
    training: TrainingConfig
    stride: int
    seed: int

    @classmethod
    def prepare(
        cls,
        train: Split,
        validation: Split,
        datastore: Datastore,
        closed_form: ClosedForm,
        *,
        teacher: TeacherSettings,
        adapter: AdapterSizes,
        training: TrainingConfig,
        horizons: Sequence[int],
        stride: int,
        seed: int,
        metric: Metric,
        blocks: int,
        steps: int,
    ) -> "Distillery":
        """Take the sample of validation; see :meth:`GateProblem.prepare` for the arguments."""
        season = season_length(train.series.freq)
        rows = sample_windows(validation.windows, train.series, steps=steps, season=season)
        folds = Folds.cut(
            validation.take(rows), blocks=blocks, horizons=horizons, metric=metric, seed=seed
        )
        return cls(
            train, validation, datastore, closed_form, folds, teacher, adapter, training, stride,
            seed,
        )  # fmt: skip

    def score(self, settings: GateSettings) -> BlockScores:
        """Distil a setting as the pipelines do, and score it on blocks of validation.

        The fusion of each block is chosen on the others. Training itself stops by all of
        validation, and is kept or undone by it, for every setting alike; what that flatters, it
        flatters the default as well.

        Args:
            settings: The setting.

        Returns:
            The scores, with ``trained_part_kept`` in their notes.
        """
        fusion = settings.fusion
        closed_form = closed_form_for(self.train, self.closed_form, fusion)
        adapters, _ = distil_seeds(
            self.train,
            self.validation,
            self._targets(settings),
            closed_form=closed_form,
            adapter=sizes_for(self.train, self.adapter, fusion),
            objective_config=settings.objective,
            config=self.training,
            fusion=fusion,
            stride=self.stride,
            seeds=(self.seed,),
            label=f"default, K = {settings.k}, keys: {settings.key_kind}",
        )
        parts = list(memory_parts(self.folds.split, adapters.shipped)())
        known = adapters.evidence(self.seed, closed_form)
        scores = self.folds.score(parts, fusion, known)
        return scores.noted(**adapters.report[str(self.seed)])

    def _targets(self, settings: GateSettings) -> TeacherTargets:
        """The teacher's targets of the training windows, calibrated if the teacher is."""
        train, teacher = self.train, self.teacher
        store = with_keys(self.datastore, settings.key_kind, train.series)
        neighbours = find_neighbours(
            store,
            train.forecasts.keys,
            train.windows,
            train.series,
            k=settings.k,
            k_min=teacher.k_min,
            temperature=settings.temperature,
            embargo=teacher.embargo,
            shard_size=teacher.shard_size,
            rerank=teacher.rerank,
            confidence=teacher.confidence,
        )
        synthesis = make_teacher(store, train, teacher, train.forecasts.levels)
        if teacher.calibration.enabled:
            calibration = fit_calibration(
                synthesis,
                train.windows,
                neighbours,
                block=teacher.calibration.block,
                folds=teacher.calibration.folds,
                queries=teacher.calibration.queries,
                rng=np.random.default_rng(self.seed),
            )
            synthesis = replace(synthesis, calibration=calibration)
        return TeacherTargets(synthesis, train.windows, neighbours)
