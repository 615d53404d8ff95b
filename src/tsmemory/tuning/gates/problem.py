"""The gates study's problem: a space, a cheap score for every setting, the full one for a few."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tsmemory.fingerprint import digest, digest_arrays
from tsmemory.memory.closed_form import ClosedForm
from tsmemory.memory.config import AdapterSizes, FusionConfig, ObjectiveConfig, TrainingConfig
from tsmemory.memory.split import Split
from tsmemory.retrieval.datastore import Datastore
from tsmemory.tuning.errors import TuningError
from tsmemory.tuning.gates.bench import GateBench, threshold_at, untrusted_share
from tsmemory.tuning.gates.distillery import Distillery
from tsmemory.tuning.gates.folds import OnBlock
from tsmemory.tuning.gates.preparation import Fidelity, numbers_of_neighbours, prepare_bench
from tsmemory.tuning.gates.scores import BlockScores, Metric
from tsmemory.tuning.gates.settings import GateSettings, TeacherSettings
from tsmemory.tuning.gates.space import GateSpace, settings_from

if TYPE_CHECKING:
    import optuna

__all__ = ["Fidelity", "GateProblem"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GateProblem:
    """What the gates study optimises.

    Nothing here has seen a test window: settings are scored on blocks of validation, each forecast
    by a fusion that was chosen on the others (see :mod:`~tsmemory.tuning.gates.folds`).

    Attributes:
        space: Parameters of a trial.
        settings: The default setting, as it is configured.
        bench: Where cheap trials are run.
        distillery: Where settings are distilled; ``None`` in processes that only run cheap trials.
    """

    space: GateSpace
    settings: GateSettings
    bench: GateBench
    distillery: Distillery | None

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
        objective: ObjectiveConfig,
        training: TrainingConfig,
        fusion: FusionConfig,
        horizons: Sequence[int],
        stride: int,
        seed: int = 0,
        metric: Metric = "crps",
        fidelity: Fidelity | None = None,
    ) -> "GateProblem":
        """Search neighbours by every key once, and take samples of training and validation.

        Args:
            train: Training windows with the backbone's forecasts.
            validation: Validation windows, likewise.
            datastore: Stored training windows.
            closed_form: Of the same training windows.
            teacher: The teacher as it is configured.
            adapter: Sizes of the adapter, default profile.
            objective: Loss weights and gates as they are configured.
            training: Optimizer and schedule of a full distillation.
            fusion: The form of fusion as it is configured.
            horizons: Horizons that are scored.
            stride: Steps between consecutive validation origins of one row.
            seed: Training seed, and that of bootstraps.
            metric: What is minimised, in the mean over the horizons.
            fidelity: How much a trial looks at.

        Returns:
            The problem.

        Raises:
            TuningError: The teacher leaks, the objective belongs to another profile, or validation
                is too short to be cut.
        """
        _check(teacher, objective, validation)
        fidelity = fidelity or Fidelity()
        settings = GateSettings(
            datastore.key.kind, teacher.k, teacher.temperature, objective, fusion
        )
        bench = prepare_bench(
            train, validation, datastore, closed_form, teacher, adapter, settings,
            horizons, seed, metric, fidelity,
        )  # fmt: skip
        confidence = bench.neighbours(settings).confidence
        space = GateSpace.around(
            settings,
            untrusted_share=untrusted_share(confidence, objective.confidence_threshold),
            key_kinds=list(bench.pools),
            ks=numbers_of_neighbours(datastore, teacher),
            longest=train.windows.horizon,
            by_channel=len(np.unique(train.series.channel.astype(str))) > 1,
            gates=bench.gate_thresholds(),
        )
        distillery = Distillery.prepare(
            train, validation, datastore, closed_form,
            teacher=teacher, adapter=adapter, training=training, horizons=horizons,
            stride=stride, seed=seed, metric=metric, blocks=fidelity.blocks,
            steps=fidelity.full_validation_steps,
        )  # fmt: skip
        problem = cls(space, settings, bench, distillery)
        logger.info("Gates study: %s", problem.describe())
        return problem

    @property
    def default(self) -> dict[str, Any]:
        """Parameters of the default setting, to be tried first."""
        return dict(self.space.default)

    def suggest(self, trial: "optuna.Trial") -> GateSettings:
        """The setting of a trial."""
        return self.settings_of(self.space.suggest(trial))

    def settings_of(self, values: Mapping[str, Any]) -> GateSettings:
        """The setting that the parameters of a trial stand for.

        Args:
            values: ``trial.params`` of a study of this space.
        """
        if dict(values) == self.space.default:
            return self.settings
        found = settings_from(values, self.settings)
        confidence = self.bench.neighbours(found).confidence
        threshold = threshold_at(confidence, float(values["untrusted_share"]))
        objective = replace(found.objective, confidence_threshold=threshold)
        return replace(found, objective=objective)

    def score(self, settings: GateSettings, on_block: OnBlock | None = None) -> float:
        """The metric of a setting on blocks of validation, by a stand-in for distillation.

        Args:
            settings: The setting.
            on_block: Told after each block its number and the metric over the blocks so far.
        """
        return self.scores(settings, on_block).value

    def scores(self, settings: GateSettings, on_block: OnBlock | None = None) -> BlockScores:
        """:meth:`score`, origin by origin."""
        return self.bench.score(settings, on_block)

    def distil(self, settings: GateSettings) -> float:
        """The metric of a setting on blocks of validation, after a full distillation."""
        return self.distilled(settings).value

    def distilled(self, settings: GateSettings) -> BlockScores:
        """:meth:`distil`, origin by origin, with what the distillation found in its notes.

        Raises:
            TuningError: This problem was made for cheap trials alone.
        """
        if self.distillery is None:
            raise TuningError("this problem was made for cheap trials; distil where it was loaded")
        return self.distillery.score(settings)

    def for_worker(self) -> "GateProblem":
        """The same for cheap trials alone, small enough to be sent to another process."""
        return replace(self, distillery=None)

    def fingerprint(self) -> str:
        """Digest of the space, the data and all else that a cheap score depends on."""
        train, folds = self.bench.train, self.bench.folds
        arrays: dict[str, np.ndarray] = {
            "train_target": train.windows.targets(train.series),
            "train_quantiles": train.forecasts.quantiles,
            "lesson_start": self.bench.lessons.windows.start,
            "validation_target": folds.split.windows.targets(folds.split.series),
            "validation_quantiles": folds.split.forecasts.quantiles,
            "origin_time": folds.origin_time,
            "block": folds.block,
            **{f"{kind}_distance": pool.distance for kind, pool in self.bench.pools.items()},
            "ridge": self.bench.closed_form.ridge.weight.numpy(),
        }
        return digest(
            {
                "space": self.space.to_json(),
                "default": self.settings.overrides(),
                "teacher": repr(self.bench.teacher),
                "adapter": vars(self.bench.adapter),
                "objective": vars(self.settings.objective),
                "fusion": repr(self.settings.fusion),
                "metric": folds.metric,
                "horizons": list(folds.horizons),
                "purge": folds.purge,
                "seed": folds.seed,
                "arrays": digest_arrays(arrays),
            }
        )

    def describe(self) -> dict[str, Any]:
        """What a trial looks at, for people."""
        folds = self.bench.folds
        wanted = folds.split.windows.context_length + folds.split.windows.horizon
        return {
            "metric": folds.metric,
            "horizons": list(folds.horizons),
            "training_windows": len(self.bench.lessons.windows),
            "validation_windows": len(folds.split.windows),
            "blocks": folds.count,
            "purged_steps": folds.purge,
            "purged_wholly": folds.purge >= wanted,
            "key_kinds": list(self.bench.pools),
        }


def _check(teacher: TeacherSettings, objective: ObjectiveConfig, validation: Split) -> None:
    """Refuse what cannot be tuned honestly."""
    if teacher.embargo == "self":
        raise TuningError(
            "teacher.embargo = self lets the teacher see its queries' own targets, and whatever "
            "trusts it most wins: tune with teacher.embargo = overlap or causal"
        )
    if objective.form != "paper":
        raise TuningError(
            f"distillation.objective.form = {objective.form} is not of the default profile, which "
            "the gates study tunes: set distillation.profile = default"
        )
    origins = len(np.unique(validation.windows.calendar(validation.series)))
    if origins < 2:
        raise TuningError(
            f"validation has {origins} forecast origin, which cannot be cut into blocks: give it "
            "more steps, or lower windowing.strides.validation"
        )
