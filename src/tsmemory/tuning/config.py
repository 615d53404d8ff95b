"""Settings of the studies, free of heavy imports, so that pipelines validate with them."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from tsmemory.tuning.masks.config import MaskStudyConfig

Metric = Literal["crps", "mse", "mae"]

_STRICT: dict[str, str] = {"extra": "forbid"}
_WITHOUT_EFFECT = {"affects_results": False}  # read by the fingerprints of runs


@dataclass(frozen=True)
class GatesConfig:
    """The study of gates, retrieval, losses and fusion.

    Attributes:
        trials: Trials of the study in the end, those of earlier runs included.
        timeout_minutes: No trial begins after that much of a run; a longer time goes on from there.
        metric: What is minimised, on validation.
        promoted: The best few by the closed form that are distilled in full, beside the default.
        prune: Whether trials that fall behind after a block of validation are given up.
        random_search: Whether as many random trials are made, to tell what searching is worth.
        workers: Processes that share the trials, each on one thread if there are several.
    """

    __pydantic_config__: ClassVar = _STRICT

    trials: int = 100
    timeout_minutes: float | None = None
    metric: Metric = "crps"
    promoted: int = 4
    prune: bool = True
    random_search: bool = True
    workers: int = field(default=1, metadata=_WITHOUT_EFFECT)

    def __post_init__(self) -> None:
        _at_least_one(self, "trials", "promoted", "workers")
        _positive(self, "timeout_minutes")


@dataclass(frozen=True)
class MasksConfig:
    """The study of LoRA importance masks.

    Attributes:
        trials: Masks that are tried in the end, those of earlier runs included; 0 for no study.
        structured_trials: Trials of TRACE's structured settings, each of which trains; made before
            the masks, whose supernet then has the best of them. 0 leaves them as configured.
        timeout_minutes: No trial begins after that much of a run; a longer time goes on from there.
        random_seeds: Random searches with as many trials that NSGA-II is compared with.
        study: The supernet, and how the best masks are confirmed.
        workers: Processes that share the trials, each on one thread if there are several.
    """

    __pydantic_config__: ClassVar = _STRICT

    trials: int = 200
    structured_trials: int = 0
    timeout_minutes: float | None = None
    random_seeds: int = 1
    study: MaskStudyConfig = field(default_factory=MaskStudyConfig)
    workers: int = field(default=1, metadata=_WITHOUT_EFFECT)

    def __post_init__(self) -> None:
        _at_least_one(self, "workers")
        _positive(self, "timeout_minutes")
        for name in ("trials", "structured_trials", "random_seeds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


def _at_least_one(config: object, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")


def _positive(config: object, name: str) -> None:
    value = getattr(config, name)
    if value is not None and not value > 0:
        raise ValueError(f"{name} must be above 0, got {value}")
