"""Where cheap trials are run: a sample of windows, neighbours by every key, no backbone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from tsmemory.memory.adapter import AdapterConfig
from tsmemory.memory.advantage import predict_advantage
from tsmemory.memory.closed_form import ClosedForm, even_start, starting_point
from tsmemory.memory.config import AdapterSizes, FusionConfig, GateConfig
from tsmemory.memory.course import held_fusion
from tsmemory.memory.fusion_parts import Naive
from tsmemory.memory.gate import read_signals
from tsmemory.memory.out_of_fold import OutOfFold
from tsmemory.memory.out_of_fold_fit import fit_out_of_fold
from tsmemory.memory.split import Split, memory_parts
from tsmemory.metrics import season_length
from tsmemory.retrieval.datastore import Datastore
from tsmemory.series.series_set import Float
from tsmemory.teacher.neighbours import Neighbours, query_batches
from tsmemory.teacher.synthesis import Teacher, TeacherTargets
from tsmemory.tuning.gates.folds import Folds, OnBlock
from tsmemory.tuning.gates.pools import Pool
from tsmemory.tuning.gates.quadratic import Taught
from tsmemory.tuning.gates.scores import BlockScores
from tsmemory.tuning.gates.settings import GateSettings, TeacherSettings
from tsmemory.tuning.gates.space import round_off
from tsmemory.tuning.gates.stand_in import Stage, StandIn, start_adapter

_BATCH = 64  # queries whose futures are in memory at a time
_SHUT = (0.1, 0.2, 0.4)  # shares of steps at which an input gate is shut


@dataclass(frozen=True)
class GateBench:
    """All that a cheap trial looks at; small enough to be sent to another process.

    Attributes:
        train: A small sample of the training windows, on which a fusion's form is looked at.
        closed_form: The closed form as it is configured, for the same windows.
        lessons: A larger sample, N windows, that stand-ins are fitted on.
        stage: The same as they look from outside; ``None`` where the training split is too short.
        folds: Blocks of a sample of the validation windows.
        pools: Neighbours of the lessons' windows for each key kind.
        datastore: Where they lie; without its index.
        teacher: The teacher as it is configured.
        adapter: Sizes of the adapter.
    """

    train: Split
    closed_form: ClosedForm
    lessons: Split
    stage: Stage | None
    folds: Folds
    pools: Mapping[str, Pool]
    datastore: Datastore
    teacher: TeacherSettings
    adapter: AdapterSizes

    def neighbours(self, settings: GateSettings) -> Neighbours:
        """Neighbours of the lessons' windows, cut from what was searched once."""
        return self.pools[settings.key_kind].cut(
            settings.k,
            settings.temperature,
            datastore=self.datastore,
            windows=self.lessons.windows,
            series=self.lessons.series,
            teacher=self.teacher,
        )

    def score(self, settings: GateSettings, on_block: OnBlock | None = None) -> BlockScores:
        """Score a setting on blocks of validation.

        Args:
            settings: The setting.
            on_block: Told after each block its number and the metric over the blocks so far.

        Returns:
            The scores, with what the stand-in found in their notes.
        """
        closed_form = closed_form_for(self.train, self.closed_form, settings.fusion)
        sizes = sizes_for(self.train, self.adapter, settings.fusion)
        stand_in = self.stand_in(settings, closed_form, sizes)
        known = closed_form.out_of_fold
        if stand_in.rehearsed and closed_form.cross_fit is not None:
            known = self._rehearsed(stand_in, closed_form, settings.fusion)
        parts = list(memory_parts(self.folds.split, stand_in.adapter)())
        scores = self.folds.score(parts, settings.fusion, known, on_block)
        return scores.noted(stand_in_skill=stand_in.skill)

    def stand_in(
        self, settings: GateSettings, closed_form: ClosedForm, sizes: AdapterConfig
    ) -> StandIn:
        """What stands for the distilled adapter."""
        held = held_fusion(sizes, closed_form)
        if self.stage is None or held is None:
            return StandIn(start_adapter(sizes, closed_form, 0).eval(), (), None, 0.0)
        taught = self.taught(settings)
        return self.stage.fit(taught, closed_form, held, settings.objective, sizes)

    def taught(self, settings: GateSettings) -> Taught:
        """What a setting's teacher says of the lessons' windows.

        Its spread is formed only where the gate asks for it, and is not calibrated.
        """
        neighbours, split = self.neighbours(settings), self.lessons
        teacher = make_teacher(self.datastore, split, self.teacher, split.forecasts.levels)
        advantage = None
        if settings.objective.gate == "out_of_fold":
            targets = TeacherTargets(teacher, split.windows, neighbours)
            found = predict_advantage(split, targets, folds=settings.objective.folds)
            advantage = torch.from_numpy(np.asarray(found))
        confidence = torch.from_numpy(neighbours.confidence)
        return Taught(_mean_futures(teacher, split, neighbours), confidence, advantage)

    def gate_thresholds(self) -> dict[str, tuple[float, ...]]:
        """Thresholds of the input gate at which it is shut for some shares of training steps.

        The memory is the closed form's, as it looks from outside.
        """
        if self.stage is None:
            return dict.fromkeys(vars(GateConfig()), ())
        seen, levels = self.stage.seen, self.train.forecasts.levels
        line = seen.normal.loc + seen.normal.scale * seen.ahead
        median = levels.index(0.5)
        memory = seen.quantiles + (line - seen.quantiles[:, median])[:, None]
        signals = read_signals(seen.quantiles, memory, seen.contexts, median)
        return {
            "min_spread": _thresholds(signals.spread, _SHUT),
            "max_disagreement": _thresholds(signals.disagreement, [1 - s for s in _SHUT]),
            "max_volatility": _thresholds(signals.volatility, [1 - s for s in _SHUT]),
        }

    def _rehearsed(
        self, stand_in: StandIn, closed_form: ClosedForm, fusion: FusionConfig
    ) -> OutOfFold | None:
        """What out-of-fold training windows say of the stand-in."""
        if closed_form.cross_fit is None:
            return None
        return fit_out_of_fold(
            self.train,
            closed_form.cross_fit,
            closed_form.ridge,
            closed_form.start,
            season=season_length(self.train.series.freq),
            config=fusion,
            memory=stand_in.recall,
        )


def closed_form_for(train: Split, closed_form: ClosedForm, fusion: FusionConfig) -> ClosedForm:
    """The closed form with another form of fusion; the ridges stay what they are.

    Args:
        train: Training windows that the closed form's cross-fit belongs to.
        closed_form: With any form of fusion.
        fusion: The form wanted.
    """
    cross_fit, ridge = closed_form.cross_fit, closed_form.ridge
    if cross_fit is None:
        start = even_start(train.windows.horizon, fusion.block)
        return replace(closed_form, start=start, out_of_fold=None)
    season = season_length(train.series.freq)
    start = starting_point(train, cross_fit, ridge, fusion)
    known = fit_out_of_fold(train, cross_fit, ridge, start, season=season, config=fusion)
    naive = Naive.of(known.mixed[1:], season)
    start = replace(start, location=tuple(map(float, known.mixed[0])), naive=naive)
    return replace(closed_form, start=start, out_of_fold=known)


def sizes_for(train: Split, sizes: AdapterSizes, fusion: FusionConfig) -> AdapterConfig:
    """The adapter's sizes for the data at hand and the blocks of a fusion."""
    windows, forecasts = train.windows, train.forecasts
    return AdapterConfig(
        windows.context_length,
        windows.horizon,
        forecasts.levels,
        int(forecasts.keys.shape[1]),
        fusion.block,
        **vars(sizes),
    )


def make_teacher(
    datastore: Datastore, train: Split, settings: TeacherSettings, levels: tuple[float, ...]
) -> Teacher:
    """The teacher as it is configured, its spread not calibrated."""
    return Teacher(
        datastore,
        train.series,
        levels,
        settings.shift_length,
        settings.quantile_method,
        settings.alignment,
    )


def untrusted_share(confidence: Float, threshold: float) -> float:
    """Share of windows whose confidence is below a threshold."""
    return float((confidence < threshold).mean()) if len(confidence) else 0.0


def threshold_at(confidence: Float, share: float) -> float:
    """The confidence threshold that leaves out a share of windows, 0 for none."""
    if share <= 0 or not len(confidence):
        return 0.0
    return min(1.0, round_off(float(np.quantile(confidence, share))))


def _mean_futures(teacher: Teacher, split: Split, neighbours: Neighbours) -> torch.Tensor:
    """Mean of the aligned futures by weight, NaN where none is known. Shape ``(N, H)``."""
    means = []
    for part in query_batches(len(neighbours), _BATCH):
        own = neighbours.take(part)
        found = teacher.aligned_futures(split.windows.take(part), own, split.windows.horizon)
        futures, weight = torch.from_numpy(found), torch.from_numpy(own.weight)[:, None]
        unknown = torch.isnan(futures)
        if bool(unknown.any()):
            mass = weight @ (~unknown).float()
            means.append((weight @ futures.masked_fill(unknown, 0.0) / mass)[:, 0])
        else:
            none = weight.sum(dim=2) == 0
            means.append((weight @ futures)[:, 0].masked_fill(none, torch.nan))
    return torch.cat(means)


def _thresholds(signal: torch.Tensor, shares: list[float] | tuple[float, ...]) -> tuple[float, ...]:
    """Distinct quantiles of a signal where it is finite."""
    values = signal[torch.isfinite(signal)].numpy()
    if not len(values):
        return ()
    return tuple(dict.fromkeys(round_off(float(np.quantile(values, share))) for share in shares))
