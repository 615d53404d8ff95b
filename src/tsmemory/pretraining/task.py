"""What a pretraining run is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronos.chronos_bolt import ChronosBoltModelForForecasting

from tsmemory.pretraining.config import ModelConfig, OptimizerConfig, TrainingConfig
from tsmemory.pretraining.corpus import CorpusConfig

Check = Callable[[ChronosBoltModelForForecasting], Mapping[str, float]]


@dataclass(frozen=True)
class Pretraining:
    """What a pretraining run is told.

    Attributes:
        model: Sizes.
        corpus: What is learnt from.
        optimizer: How weights move.
        config: How long, on which devices.
        folder: Where checkpoints are kept.
        checks: Each is called with the averaged model at every point of the curve, and returns
            values by name; weights do not depend on them.
    """

    model: ModelConfig
    corpus: CorpusConfig
    optimizer: OptimizerConfig
    config: TrainingConfig
    folder: Path
    checks: Mapping[str, Check]

    def __getstate__(self) -> dict[str, Any]:
        """What travels to other ranks: checks are the first one's alone."""
        return {**self.__dict__, "checks": {}}
