"""The rows of the ablation: each is the main way with other parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tsmemory.memory.config import Base
from tsmemory.pipelines.benchmark.params import AblationParams, PaperRowParams
from tsmemory.pipelines.distillation.params import DistillationParams
from tsmemory.pipelines.teacher.params import TeacherParams
from tsmemory.pipelines.windowing.params import WindowingParams


@dataclass(frozen=True)
class Settings:
    """Parameters that a row is made with.

    Attributes:
        windowing: Lengths and strides.
        teacher: Retrieval and targets.
        distillation: Adapter, objective, training, fusion, guard.
    """

    windowing: WindowingParams
    teacher: TeacherParams
    distillation: DistillationParams

    def with_distillation(self, **changes: Any) -> "Settings":
        """The same with other parameters of distillation, which are valid as they are."""
        return replace(self, distillation=self.distillation.model_copy(update=changes))


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        note: What is changed, for people.
        change: Makes the row's settings from the default's.
    """

    note: str
    change: Callable[[Settings], Settings]


def default_settings(settings: Settings, params: AblationParams) -> Settings:
    """The default profile with the benchmark's seeds and epochs, guarded or not."""
    given = settings.distillation
    training = replace(
        given.training,
        epochs=min(params.epochs, given.training.epochs),
        rehearse=given.training.rehearse and params.guard,
    )
    return (settings if params.guard else _without_guard(settings)).with_distillation(
        profile="default",
        targets="teacher",
        objective=replace(given.objective, form="paper"),
        training=training,
        seeds=params.seeds,
    )


def paper_settings(settings: Settings, params: PaperRowParams) -> Settings:
    """The paper profile on one horizon, with wider strides and fewer epochs."""
    given, windowing = settings.distillation, settings.windowing
    short = [h for h in windowing.horizons if h <= params.horizon]
    horizon = max(short, default=min(windowing.horizons))
    strides = windowing.strides
    every = max(1, round(params.train_stride / strides.train))
    strides = strides.model_copy(update={"train": every * strides.train})
    published = DistillationParams(profile="paper")
    return replace(
        settings.with_distillation(
            profile="paper",
            targets=published.targets,
            objective=replace(given.objective, form=published.objective.form),
            training=replace(
                given.training,
                epochs=min(params.epochs, published.training.epochs),
                patience=published.training.patience,
            ),
        ),
        windowing=windowing.model_copy(update={"horizons": (horizon,), "strides": strides}),
    )


def _objective(**changes: Any) -> Callable[[Settings], Settings]:
    return lambda s: s.with_distillation(objective=replace(s.distillation.objective, **changes))


def _base(name: Base) -> Callable[[Settings], Settings]:
    """Another start; what out-of-fold training windows say is of the one that is left out."""

    def change(settings: Settings) -> Settings:
        given = settings.distillation
        return settings.with_distillation(
            adapter=replace(given.adapter, base=name),
            fusion=replace(given.fusion, training_weight=0.0),
        )

    return change


def _without_guard(settings: Settings) -> Settings:
    """Whatever was trained is used, wherever it was not shown to help."""
    given = settings.distillation
    return settings.with_distillation(
        fusion=replace(given.fusion, guard=replace(given.fusion.guard, enabled=False)),
        training=replace(given.training, rehearse=False),
    )


def _self_embargo(settings: Settings) -> Settings:
    return replace(settings, teacher=settings.teacher.model_copy(update={"embargo": "self"}))


def ablation_rows(params: AblationParams) -> Mapping[str, Row]:
    """The rows that are asked for, the default first.

    Args:
        params: Which, and how the paper profile is reduced.

    Returns:
        The rows by name.
    """
    judged_alone = "its fusion rests on validation alone"
    every: dict[str, Row] = {
        "default": Row("the default profile", lambda settings: settings),
        "no_teacher": Row("objective.align and anchor 0", _objective(align=0.0, anchor=0.0)),
        "no_gate": Row("objective.gate none", _objective(gate="none")),
        "no_confidence": Row(
            "objective.gamma and confidence_threshold 0",
            _objective(gamma=0.0, confidence_threshold=0.0),
        ),
        "self_embargo": Row("teacher.embargo self, which leaks", _self_embargo),
        "no_ridge": Row(f"adapter.base backbone; {judged_alone}", _base("backbone")),
        "no_residual": Row(f"adapter.base ridge; {judged_alone}", _base("ridge")),
        "no_guard": Row("fusion.guard.enabled and training.rehearse false", _without_guard),
        "paper": Row("", lambda settings: paper_settings(settings, params.paper)),
    }
    return {name: row for name, row in every.items() if name in ("default", *params.rows)}
