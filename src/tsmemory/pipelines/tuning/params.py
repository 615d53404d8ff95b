"""Parameters of the pipeline ``tuning``."""

from typing import Annotated, Any

from pydantic import Field, field_validator

from tsmemory.pipelines.base_params import Listed, Params
from tsmemory.tuning.config import GatesConfig, MasksConfig
from tsmemory.tuning.masks.config import MaskStudyConfig


class TuningParams(Params):
    """What is tuned, and how long.

    Studies are shorter than the library's, so that both of them take minutes.

    Attributes:
        gates: The study of gates, retrieval, losses and fusion.
        masks: The study of LoRA importance masks.
        seeds: Training seeds of the settings that are compared on test in the end.
    """

    gates: GatesConfig = GatesConfig(trials=16, promoted=1)
    masks: MasksConfig = MasksConfig(
        trials=40, study=MaskStudyConfig(steps=60, confirmed=2, retrain_steps=40)
    )
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), Listed] = (0,)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is named twice")
        return seeds
