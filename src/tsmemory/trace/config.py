"""Settings of TRACE, with what is impossible refused where it is written.

Plain frozen dataclasses, free of heavy imports, so that pipelines validate parameters with them
before anything runs. ``__pydantic_config__`` makes unknown names an error there.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

HeadKind = Literal[
    "linear", "projection", "truncation", "pooling", "depthwise", "low_rank", "native"
]
HEAD_KINDS: tuple[HeadKind, ...] = get_args(HeadKind)

_STRICT: dict[str, str] = {"extra": "forbid"}


@dataclass(frozen=True)
class HeadConfig:
    """Which head turns patch tokens into a forecast (METHOD 2.3).

    Attributes:
        kind: ``linear`` reads every feature of every patch, as linear probing does; ``projection``
            first projects each patch's features on ``width`` learnt directions; ``truncation``
            keeps ``width`` features of each patch; ``pooling`` averages neighbouring features down
            to ``width``; ``depthwise`` convolves each feature over the patches before it projects;
            ``low_rank`` factors the linear head over the horizon; ``native`` is the backbone's own
            output layer, frozen.
        width: d', features of a patch that are left.
        rank: Rank over the horizon of ``low_rank``.
        kernel: Patches that ``depthwise`` convolves over, odd.
        skip: Whether the head corrects a share of the backbone's own forecast, which is found in
            closed form, or forecasts all by itself.
        levels: Whether the head answers at all quantile levels or with one point.
        loss: What training minimises: the pinball loss, or the squared error of the median with
            the pinball loss of the distances to it.
    """

    __pydantic_config__: ClassVar = _STRICT

    kind: HeadKind = "low_rank"
    width: int = 16
    rank: int = 32
    kernel: int = 3
    skip: bool = True
    levels: Literal["quantile", "point"] = "quantile"
    loss: Literal["quantile", "squared"] = "squared"

    def __post_init__(self) -> None:
        _positive(self, "width", "rank", "kernel")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, so that it has a middle, got {self.kernel}")
        if self.loss == "quantile" and self.levels == "point":
            raise ValueError(
                "a head of one point (levels: point) has no quantile loss; ask for loss: squared"
            )


@dataclass(frozen=True)
class MaskConfig:
    """Random masks that imitate the pruned model while it is scored (METHOD 2.2).

    Attributes:
        kind: Every gate is closed by its own coin, or exactly that share of them.
        closed_share: p, share of gates that a mask closes; ``uniform`` draws it anew each time.
    """

    __pydantic_config__: ClassVar = _STRICT

    kind: Literal["bernoulli", "exact"] = "bernoulli"
    closed_share: float | Literal["uniform"] = 0.5

    def __post_init__(self) -> None:
        if self.closed_share != "uniform":
            _within(self, 0, 1, "closed_share")


@dataclass(frozen=True)
class LoraConfig:
    """Size of the low-rank adapters.

    Attributes:
        rank: r of every site when all sites are open.
        alpha_ratio: alpha / r, the factor on what an adapter adds.
    """

    __pydantic_config__: ClassVar = _STRICT

    rank: int = 2
    alpha_ratio: float = 1.0

    def __post_init__(self) -> None:
        _positive(self, "rank", "alpha_ratio")


@dataclass(frozen=True)
class ScoringConfig:
    """How the importance of sites is estimated (Gated DSIC, METHOD 2.2).

    Attributes:
        estimator: A mask for each pass, or for each row of one pass.
        passes: M, masks of the serial estimator.
        score: Absolute value of the mean, mean of the absolute values, or the signed mean.
        weighting: The plain gradient, or the gate times it (Taylor).
        masks: How masks are drawn.
        windows: At most this many windows of the scoring part, evenly spaced.
    """

    __pydantic_config__: ClassVar = _STRICT

    estimator: Literal["serial", "per_row"] = "per_row"
    passes: int = 8
    score: Literal["abs_mean", "mean_abs", "signed"] = "mean_abs"
    weighting: Literal["plain", "taylor"] = "plain"
    masks: MaskConfig = field(default_factory=MaskConfig)
    windows: int = 2048

    def __post_init__(self) -> None:
        _positive(self, "passes", "windows")


@dataclass(frozen=True)
class SelectionConfig:
    """When sites are closed and how many stay.

    Attributes:
        kept_share: Share of the sites that is open in the end.
        rounds: Times that sites are scored and closed; a closed one may come back at a later one.
        warmup_steps: Training steps before the first round: with B = 0 every score is 0.
        round_steps: Training steps from one round to the next.
        redistribute: Whether the rank of closed sites is given to the open ones, so that all
            rows of a table have as many adapter parameters.
        scoring_share: Share of validation that sites are scored on; the rest selects.
    """

    __pydantic_config__: ClassVar = _STRICT

    kept_share: float = 0.5
    rounds: int = 3
    warmup_steps: int = 60
    round_steps: int = 20
    redistribute: bool = True
    scoring_share: float = 0.33

    def __post_init__(self) -> None:
        _positive(self, "kept_share", "rounds", "warmup_steps", "round_steps")
        _within(self, 0, 1, "kept_share", closed=True)
        _within(self, 0, 1, "scoring_share")
        _positive(self, "scoring_share")

    @property
    def last_round(self) -> int:
        """Step after which no site is closed or opened any more."""
        return self.warmup_steps + (self.rounds - 1) * self.round_steps


@dataclass(frozen=True)
class FineTuningConfig:
    """Optimizer and schedule of every row that trains.

    Attributes:
        steps: At most this many; 0 leaves the closed-form start.
        check_every: Steps between looks at the selection part of validation.
        patience: Looks without a lower loss before training stops.
        batch_size: Windows in a step.
        head_rate: AdamW's rate for the head.
        lora_rate: The same for the LoRA matrices.
        gate_rate: The same for the gates.
        full_rate: The same for the encoder's own weights, where they are trained.
        weight_decay: AdamW's decay of the adapters; the ridge has weighed the head already.
        gradient_clip: Largest gradient norm.
        selection_windows: At most this many, evenly spaced, decide what is kept.
        start_windows: At most this many, evenly spaced, give the head its closed-form start.
        penalties: Ridge penalties that the start is chosen from, as shares of the features' mean
            weighted sum of squares.
    """

    __pydantic_config__: ClassVar = _STRICT

    steps: int = 300
    check_every: int = 20
    patience: int = 5
    batch_size: int = 128
    head_rate: float = 1e-5
    lora_rate: float = 3e-4
    gate_rate: float = 1e-2
    full_rate: float = 1e-4
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    selection_windows: int = 2048
    start_windows: int = 16384
    penalties: tuple[float, ...] = (1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)

    def __post_init__(self) -> None:
        _positive(self, "check_every", "patience", "batch_size", "gradient_clip")
        _positive(self, "head_rate", "lora_rate", "gate_rate", "full_rate")
        _positive(self, "selection_windows", "start_windows")
        for name in ("steps", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not self.penalties or min(self.penalties) <= 0:
            raise ValueError(f"penalties must be above 0, got {self.penalties}")


@dataclass(frozen=True)
class TraceConfig:
    """All settings of an adapted backbone.

    Attributes:
        head: Form of the head of every row but ``linear_probing`` and the native ones.
        lora: Size of the adapters.
        scoring: How sites are scored.
        selection: When sites are closed.
        training: Optimizer and schedule.
    """

    __pydantic_config__: ClassVar = _STRICT

    head: HeadConfig = field(default_factory=HeadConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    training: FineTuningConfig = field(default_factory=FineTuningConfig)

    def __post_init__(self) -> None:
        last, steps = self.selection.last_round, self.training.steps
        if 0 < steps <= last:
            raise ValueError(
                f"training.steps ({steps}) must be above selection.warmup_steps + "
                f"(selection.rounds - 1) * selection.round_steps = {last}, so that the sites that "
                "are kept are trained together"
            )


def _positive(config: object, *names: str) -> None:
    for name in names:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} must be above 0, got {getattr(config, name)}")


def _within(config: object, low: float, high: float, name: str, *, closed: bool = False) -> None:
    value, end = getattr(config, name), "]" if closed else ")"
    if not (low <= value < high or (closed and value == high)):
        raise ValueError(f"{name} must lie in [{low}, {high}{end}, got {value}")
