"""Parameters of the pipeline ``distillation``."""

from typing import Annotated

from pydantic import Field, field_validator

from tsmemory.memory.config import AdapterSizes, FusionConfig, ObjectiveConfig, TrainingConfig
from tsmemory.pipelines.base_params import Listed, Params


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
        ridge: The linear skip.
        adapter: Sizes of the adapter.
        objective: Terms and gates.
        training: Optimiser and schedule.
        fusion: Horizon blocks, shrinkage and guard.
        seeds: Training seeds; tables show their mean, the first one's adapter is shipped.
    """

    ridge: RidgeParams = RidgeParams()
    adapter: AdapterSizes = AdapterSizes()
    objective: ObjectiveConfig = ObjectiveConfig()
    training: TrainingConfig = TrainingConfig()
    fusion: FusionConfig = FusionConfig()
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), Listed] = (
        0,
        1,
        2,
    )

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is named twice")
        return seeds
