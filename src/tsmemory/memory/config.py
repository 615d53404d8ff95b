"""Settings of the memory, with what is impossible refused where it is written.

Plain frozen dataclasses, free of heavy imports, so that pipelines validate parameters with them
before anything runs. ``__pydantic_config__`` makes unknown names an error there.
"""

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from tsmemory.scaleout.config import CommunicationConfig, OptimizerKind, PrecisionKind

Profile = Literal["default", "paper"]
Base = Literal["both", "ridge", "backbone"]

_STRICT: dict[str, str] = {"extra": "forbid"}


@dataclass(frozen=True)
class AdapterSizes:
    """Sizes of the default profile's adapter that a user may choose.

    Attributes:
        patch_length: Steps in a patch.
        patch_width: Features of a patch.
        width: Features of the hidden state.
        dropout: Dropout on the hidden state.
        base: What the memory corrects: the ridge, drawn towards the ``backbone`` whose widths it
            takes (``both``); the backbone alone; or the ridge alone, with widths of its own. The
            last two are for ablations.
    """

    __pydantic_config__: ClassVar = _STRICT

    patch_length: int = 16
    patch_width: int = 16
    width: int = 128
    dropout: float = 0.1
    base: Base = "both"

    def __post_init__(self) -> None:
        _positive(self, "patch_length", "patch_width", "width")
        _within(self, 0, 1, "dropout")


@dataclass(frozen=True)
class PaperSizes:
    """Sizes of the paper profile's adapter; the defaults are the published ones (METHOD 1.5).

    Attributes:
        patch_length: Steps in a patch.
        width: Features of a token.
        heads: Attention heads; they divide the width.
        feedforward: Features inside a feed-forward part.
        encoder_layers: Layers over the patches.
        decoder_layers: Layers over the horizon queries.
        dropout: Dropout everywhere.
    """

    __pydantic_config__: ClassVar = _STRICT

    patch_length: int = 16
    width: int = 256
    heads: int = 8
    feedforward: int = 1024
    encoder_layers: int = 4
    decoder_layers: int = 2
    dropout: float = 0.1

    def __post_init__(self) -> None:
        _positive(self, "patch_length", "width", "heads", "feedforward")
        _positive(self, "encoder_layers", "decoder_layers")
        _within(self, 0, 1, "dropout")
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")


@dataclass(frozen=True)
class ObjectiveConfig:
    """Terms and gates of the objective (METHOD 1.6).

    Attributes:
        form: The paper's objective, or that of its code, which produced the published tables and
            has fixed weights: of what follows it heeds only ``gate``, ``folds``, ``margin`` and
            ``huber``.
        align: lambda_align, weight of agreement with the teacher.
        delta: eta, extra weight on the teacher's correction of the median. The backbone cancels in
            that term, so it is extra weight on the median's agreement.
        anchor: lambda_reg, weight of staying near the backbone where the teacher is not trusted.
        cross: lambda_cross, weight of crossing inside lambda_reg, where quantiles can cross.
        huber: Where the Huber loss turns linear, in z units.
        gamma: Power of the confidence.
        confidence_threshold: Confidence below it counts as none.
        gate: Whether a window follows its teacher because the teacher was better there
            (``realised``), because it was better on similar windows of other times
            (``out_of_fold``), or always (``none``, for ablations).
        folds: Stretches of training time left out in turn to predict the teacher's advantage.
        margin: How much better than the backbone the teacher must be, in z units.
    """

    __pydantic_config__: ClassVar = _STRICT

    form: Literal["paper", "code"] = "paper"
    align: float = 0.5
    delta: float = 0.5
    anchor: float = 0.1
    cross: float = 0.5
    huber: float = 1.0
    gamma: float = 1.0
    confidence_threshold: float = 0.0
    gate: Literal["realised", "out_of_fold", "none"] = "realised"
    folds: int = 4
    margin: float = 0.0

    def __post_init__(self) -> None:
        _not_negative(self, "align", "delta", "anchor", "cross", "gamma", "margin")
        _positive(self, "huber")
        _within(self, 0, 1, "confidence_threshold", closed=True)
        if self.folds < 2:
            raise ValueError(f"folds must be at least 2, got {self.folds}")


@dataclass(frozen=True)
class TrainingConfig:
    """Optimizer and schedule.

    Attributes:
        epochs: At most this many passes; 0 trains nothing.
        patience: Passes without a lower validation loss before it stops.
        rehearse: Whether the default profile first trains on all stretches of training time but one
            in turn, and then makes no more passes than helped on the ones left out.
        batch_size: Windows in a step, of all devices together.
        learning_rate: The optimizer's rate.
        weight_decay: The optimizer's decay; in the default profile towards the closed form.
        gradient_clip: Largest gradient norm.
        validation_windows: At most this many, evenly spaced, decide when to stop.
        optimizer: ``adamw``, or for large batches ``lars`` or ``lamb``, which measure the rate of
            every layer by its weights and spare biases and norms the decay.
        base_batch: Windows in a step that ``learning_rate`` is meant for: with more or fewer of
            them it rises and falls with their number. ``None`` takes it as it is.
        warmup: Passes, or a part of one, over which the rate rises from 0.
        accumulate: Parts of a step that are computed one after the other, in less memory.
        precision: Of the adapter's forward pass; its weights, what it forecasts and the loss are
            always float32.
        device: Where it is trained.
        devices: Ranks on this machine that share every step; with ``cuda``, each on its own device.
            Under torchrun the launcher says how many there are.
        communication: How they exchange gradients.
    """

    __pydantic_config__: ClassVar = _STRICT

    epochs: int = 20
    patience: int = 2
    rehearse: bool = True
    batch_size: int = 256
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    validation_windows: int = 4096
    optimizer: OptimizerKind = "adamw"
    base_batch: int | None = None
    warmup: float = 0.0
    accumulate: int = 1
    precision: PrecisionKind = "float32"
    device: str = "cpu"
    devices: int = 1
    communication: CommunicationConfig = field(default_factory=CommunicationConfig)

    def __post_init__(self) -> None:
        _positive(self, "patience", "batch_size", "learning_rate", "gradient_clip")
        _positive(self, "validation_windows", "accumulate", "devices")
        _not_negative(self, "epochs", "weight_decay", "warmup")
        if self.base_batch is not None:
            _positive(self, "base_batch")
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", self.device):
            raise ValueError(f"device must be cpu, cuda, cuda:<n> or mps, got {self.device!r}")
        if self.devices > 1 and self.device not in ("cpu", "cuda"):
            raise ValueError(
                f"device {self.device} cannot be shared by {self.devices} ranks: set device to "
                "cuda, which gives each rank a device of its own, or to cpu"
            )
        self.communication.check_training(devices=self.devices, precision=self.precision)


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
class GateConfig:
    """Where a forecast is corrected at all, by signals known when forecasting (METHOD 1.7).

    Elsewhere the frozen backbone stands. A threshold that is ``None`` is not asked.

    Attributes:
        min_spread: Least relative spread: the backbone's width from the lowest to the highest
            level, in standard deviations of the context. The memory helps a backbone that is
            unsure.
        max_disagreement: Largest distance of the memory's median from the backbone's, in widths of
            the backbone. Beyond it one of them has failed.
        max_volatility: Largest standard deviation of the context's changes from step to step, in
            standard deviations of the context.
    """

    __pydantic_config__: ClassVar = _STRICT

    min_spread: float | None = None
    max_disagreement: float | None = None
    max_volatility: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must not be negative, got {value}")

    @property
    def is_on(self) -> bool:
        """Whether any threshold is asked."""
        return any(value is not None for value in vars(self).values())


@dataclass(frozen=True)
class FusionConfig:
    """How fusion weights are chosen.

    Attributes:
        block: Steps in a block.
        shrinkage: 0 lets every block have its own weight and factor, 1 gives all the global one.
        training_weight: How much an independent stretch of out-of-fold training windows counts
            beside one of validation, in weights and before the guard; 0 ignores them.
        last_value: Whether the last value is a candidate beside the memory.
        seasonal_naive: Whether the seasonal naive forecast is.
        long_run: Whether the backbone's forecast at the long-run level of its series is.
        residuals: Whether out-of-fold training residuals are a source of the spread.
        groups: Whether each channel has weights of its own, shrunk towards those for all.
        gate: Where a forecast is corrected at all.
        guard: The test that each part of the fusion has to pass.
    """

    __pydantic_config__: ClassVar = _STRICT

    block: int = 24
    shrinkage: float = 0.5
    training_weight: float = 1.0
    last_value: bool = True
    seasonal_naive: bool = True
    long_run: bool = True
    residuals: bool = True
    groups: Literal["none", "channel"] = "channel"
    gate: GateConfig = field(default_factory=GateConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)

    def __post_init__(self) -> None:
        _positive(self, "block")
        _not_negative(self, "training_weight")
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
