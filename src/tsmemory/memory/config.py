"""Settings of the memory, with what is impossible refused where it is written.

Plain frozen dataclasses, free of heavy imports, so that pipelines validate parameters with them
before anything runs. ``__pydantic_config__`` makes unknown names an error there.
"""

from dataclasses import dataclass, field
from typing import ClassVar

_STRICT: dict[str, str] = {"extra": "forbid"}


@dataclass(frozen=True)
class AdapterSizes:
    """Sizes of the adapter that a user may choose.

    Attributes:
        patch_length: Steps in a patch.
        patch_width: Features of a patch.
        width: Features of the hidden state.
        dropout: Dropout on the hidden state.
    """

    __pydantic_config__: ClassVar = _STRICT

    patch_length: int = 16
    patch_width: int = 16
    width: int = 128
    dropout: float = 0.1

    def __post_init__(self) -> None:
        _positive(self, "patch_length", "patch_width", "width")
        _within(self, 0, 1, "dropout")


@dataclass(frozen=True)
class ObjectiveConfig:
    """Weights and gates of the objective.

    Attributes:
        align: lambda_align, weight of agreement with the teacher.
        delta: eta, extra weight on the teacher's correction of the median. The backbone cancels in
            that term, so it is extra weight on the median's agreement.
        anchor: lambda_reg, weight of staying near the backbone where the teacher is not trusted.
        gamma: Power of the confidence.
        confidence_threshold: Confidence below it counts as none.
        margin: How much better than the backbone the teacher must be, in z units.
    """

    __pydantic_config__: ClassVar = _STRICT

    align: float = 0.1
    delta: float = 0.5
    anchor: float = 0.1
    gamma: float = 1.0
    confidence_threshold: float = 0.0
    margin: float = 0.0

    def __post_init__(self) -> None:
        _not_negative(self, "align", "delta", "anchor", "gamma", "margin")
        _within(self, 0, 1, "confidence_threshold", closed=True)


@dataclass(frozen=True)
class TrainingConfig:
    """Optimiser and schedule.

    Attributes:
        epochs: At most this many passes; 0 keeps the closed form.
        patience: Passes without a lower validation loss before it stops.
        batch_size: Windows in a step.
        learning_rate: AdamW's rate.
        weight_decay: AdamW's decay, towards the closed form from which training starts.
        gradient_clip: Largest gradient norm.
        validation_windows: At most this many, evenly spaced, decide when to stop.
    """

    __pydantic_config__: ClassVar = _STRICT

    epochs: int = 10
    patience: int = 2
    batch_size: int = 256
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    validation_windows: int = 4096

    def __post_init__(self) -> None:
        _positive(self, "patience", "batch_size", "learning_rate", "gradient_clip")
        _positive(self, "validation_windows")
        _not_negative(self, "epochs", "weight_decay")


@dataclass(frozen=True)
class GuardConfig:
    """The test that a correction has to pass.

    Attributes:
        alpha: Level of the one-sided test.
        samples: Bootstrap samples.
        min_blocks: With fewer bootstrap blocks, horizon blocks are pooled.
        enabled: Off lets every weight through; for ablations.
    """

    __pydantic_config__: ClassVar = _STRICT

    alpha: float = 0.05
    samples: int = 1000
    min_blocks: int = 5
    enabled: bool = True

    def __post_init__(self) -> None:
        _within(self, 0, 1, "alpha")
        _positive(self, "min_blocks")
        if self.samples < 100:
            raise ValueError(f"samples must be at least 100, got {self.samples}")


@dataclass(frozen=True)
class FusionConfig:
    """How fusion weights are chosen.

    Attributes:
        block: Steps in a block.
        shrinkage: 0 lets every block have its own weight and factor, 1 gives all the global one.
        guard: The test that each part of the fusion has to pass.
    """

    __pydantic_config__: ClassVar = _STRICT

    block: int = 24
    shrinkage: float = 0.5
    guard: GuardConfig = field(default_factory=GuardConfig)

    def __post_init__(self) -> None:
        _positive(self, "block")
        _within(self, 0, 1, "shrinkage", closed=True)


def _positive(config: object, *names: str) -> None:
    for name in names:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} must be above 0, got {getattr(config, name)}")


def _not_negative(config: object, *names: str) -> None:
    for name in names:
        if not getattr(config, name) >= 0:
            raise ValueError(f"{name} must not be negative, got {getattr(config, name)}")


def _within(config: object, low: float, high: float, name: str, *, closed: bool = False) -> None:
    value, end = getattr(config, name), "]" if closed else ")"
    if not (low <= value < high or (closed and value == high)):
        raise ValueError(f"{name} must lie in [{low}, {high}{end}, got {value}")
