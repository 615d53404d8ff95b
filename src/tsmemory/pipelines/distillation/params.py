"""Parameters of the pipeline ``distillation``."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tsmemory.memory.config import (
    AdapterSizes,
    FusionConfig,
    ObjectiveConfig,
    PaperSizes,
    Profile,
    TrainingConfig,
)
from tsmemory.pipelines.base_params import WITHOUT_EFFECT, Listed, Params

# What a profile settles, unless a value other than null is given for it.
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "default": {
        "targets": "teacher",
        "objective": {"form": "paper"},
        "training": {"epochs": 20, "patience": 2},
    },
    "paper": {
        "targets": "published",
        "objective": {"form": "code"},
        "training": {"epochs": 20, "patience": 5},
    },
}


class RidgeParams(Params):
    """The linear skip.

    Attributes:
        penalties: Penalties to try; validation chooses.
        folds: Stretches of training time left out in turn to fuse out of fold.
    """

    penalties: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (
        1.0,
        10.0,
        100.0,
        1e3,
        3e3,
        1e4,
        3e4,
        1e5,
        3e5,
        1e6,
    )
    folds: Annotated[int, Field(ge=2)] = 4


class DistillationParams(Params):
    """How the adapter is made.

    Attributes:
        profile: ``default``, a correction on the backbone from a closed form on, or ``paper``, the
            published transformer with its published settings.
        ridge: The linear skip, a row of every table in either profile.
        adapter: Sizes of the adapter in the default profile.
        paper_adapter: Sizes of the adapter in the paper profile.
        targets: What the adapter learns from: the teacher as it is configured, or as published,
            with step quantiles of level-shifted futures and the spread as it is retrieved.
        objective: Terms and gates.
        training: Optimizer and schedule.
        fusion: Horizon blocks, shrinkage and guard.
        seeds: Training seeds; tables show their mean, the first one's adapter is shipped.
        use_tuned: Whether what the pipeline ``tuning`` has found takes the place of what is
            configured here, in ``teacher`` and in ``indexing``; the command line still wins.
        tuned_by: Fingerprint of the study that did; written by ``use_tuned``.
    """

    profile: Profile = "default"
    ridge: RidgeParams = RidgeParams()
    adapter: AdapterSizes = AdapterSizes()
    paper_adapter: PaperSizes = PaperSizes()
    targets: Literal["teacher", "published"] = "teacher"
    objective: ObjectiveConfig = ObjectiveConfig()
    training: TrainingConfig = TrainingConfig()
    fusion: FusionConfig = FusionConfig()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), Listed] = (
        0,
        1,
        2,
    )
    # What comes of them is in the values themselves.
    use_tuned: Annotated[bool, WITHOUT_EFFECT] = False
    tuned_by: Annotated[str | None, WITHOUT_EFFECT] = None

    @model_validator(mode="before")
    @classmethod
    def _leave_to_profile(cls, given: Any) -> Any:
        """Take what is null or absent from the profile."""
        if not isinstance(given, Mapping):
            return given
        settled = PROFILES.get(str(given.get("profile", "default")), {})
        return {**given, **{name: _settle(given.get(name), settled[name]) for name in settled}}

    @model_validator(mode="after")
    def _form_fits_profile(self) -> Self:
        if self.profile == "default" and self.objective.form == "code":
            raise ValueError(
                "objective.form = code belongs to profile = paper: it trains the memory on its "
                "own, the default profile trains the fused forecast"
            )
        return self

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is named twice")
        return seeds


def _settle(given: Any, settled: Any) -> Any:
    """A value, or the profile's where it is null; blocks value by value."""
    if given is None:
        return settled
    if isinstance(given, Mapping) and isinstance(settled, Mapping):
        return {**given, **{name: _settle(given.get(name), settled[name]) for name in settled}}
    return given
