"""Settings of the masks study, free of heavy imports, so that pipelines validate with them."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class MaskStudyConfig:
    """How masks are tried, and how the best of them are confirmed.

    Attributes:
        windows: At most this many windows of the earlier part of validation, evenly spaced, judge a
            trial.
        start_windows: At most this many training windows give the head its closed-form start.
        steps: Training steps of the supernet, once for all trials.
        batch_size: Windows in a training step.
        lora_rate: AdamW's rate for the LoRA matrices, of the supernet and of confirmed masks.
        gate_rate: The same for the gates.
        confirmed: Points of the Pareto front that are trained anew, at most; a model without LoRA
            is always one of them.
        retrain_steps: Training steps of each of them, and of a trial of structured settings.
        seeds: Seeds that whatever is confirmed is trained with.
        level: A point is taken for as good as the best if a one-sided test at this level does not
            tell them apart; .16 stands for one standard error.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    windows: int = 512
    start_windows: int = 4096
    steps: int = 120
    batch_size: int = 64
    lora_rate: float = 0.001
    gate_rate: float = 0.03
    confirmed: int = 4
    retrain_steps: int = 80
    seeds: tuple[int, ...] = (0,)
    level: float = 0.16

    def __post_init__(self) -> None:
        counts = ("windows", "start_windows", "steps", "batch_size", "retrain_steps")
        for name in (*counts, "confirmed"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("lora_rate", "gate_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds must be distinct and not negative, got {list(self.seeds)}")
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {self.level}")
