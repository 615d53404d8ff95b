"""Settings of pretraining, with what is impossible refused where it is written.

Plain frozen dataclasses, free of heavy imports, so that pipelines validate parameters with them
before anything runs. ``__pydantic_config__`` makes unknown names an error there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from tsmemory.scaleout.config import CommunicationConfig, PrecisionKind

Dtype = Literal["float32", "bfloat16", "float16"]

# Names of tsmemory.pretraining.families.FAMILIES, which cannot be imported without torch.
FAMILY_NAMES = (
    "calendar",
    "quasi_periodic",
    "autoregressive",
    "wandering",
    "counts",
    "machines",
)
SHORTEST_CONTEXT = 16  # the corpus shortens contexts down to this many steps
_STRICT: dict[str, str] = {"extra": "forbid"}
_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the network.

    Attributes:
        context_length: The most steps of context that it reads.
        horizon: Steps that it forecasts in one pass.
        patch_length: Steps in a token.
        width: Size of a token's state, ``d_model``.
        hidden: Width of the feed-forward layers, ``d_ff``.
        heads: Attention heads; the width is a multiple of it.
        encoder_layers: Layers that read the context.
        decoder_layers: Layers of the single token that forecasts.
    """

    __pydantic_config__: ClassVar = _STRICT

    context_length: int = 2048
    horizon: int = 720
    patch_length: int = 64
    width: int = 256
    hidden: int = 576
    heads: int = 4
    encoder_layers: int = 4
    decoder_layers: int = 2

    def __post_init__(self) -> None:
        _positive(self, "context_length", "horizon", "patch_length", "width", "hidden", "heads")
        _positive(self, "encoder_layers", "decoder_layers")
        if self.width % self.heads:
            raise ValueError(
                f"width must be a multiple of heads, got {self.width} and {self.heads}"
            )
        if self.context_length % self.patch_length:
            raise ValueError(
                f"context_length must be a multiple of patch_length, got {self.context_length} "
                f"and {self.patch_length}"
            )


@dataclass(frozen=True)
class OptimizerConfig:
    """How the network is trained.

    Attributes:
        kind: ``muon`` orthogonalises the updates of the matrices inside the blocks (Jordan et al.,
            2024) and leaves the rest to AdamW; ``adamw`` treats all alike. ``lars`` and ``lamb``
            are for large batches: their rate is what a step may change a matrix by, as a share of
            its norm, and they leave biases, norms, embeddings and what starts at zero to AdamW.
        learning_rate: Peak rate.
        base_batch: Windows in a step that ``learning_rate`` is meant for; it is scaled linearly to
            ``training.batch``. ``None`` takes it as it is.
        warmup: Steps in which the rate rises from 0.
        decay: Share of all steps in which it falls to 0, at the end.
        weight_decay: Decoupled weight decay of matrices; biases, norms and embeddings have none.
        gradient_clip: Largest norm of a gradient.
        average: Decay of the exponential moving average of the weights, which is what is kept.
        beta1: Decay of AdamW's and LAMB's first moments, and LARS's momentum. With large batches
            there are few steps to remember, and smaller decays learn faster.
        beta2: Decay of the second moments, likewise.
        adamw_rate: Peak rate of what ``lars`` and ``lamb`` leave to AdamW, scaled as
            ``learning_rate`` is; ``None`` takes that one.
    """

    __pydantic_config__: ClassVar = _STRICT

    kind: Literal["adamw", "muon", "lars", "lamb"] = "muon"
    learning_rate: float = 2e-3
    base_batch: int | None = None
    warmup: int = 500
    decay: float = 0.35
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    average: float = 0.998
    beta1: float = 0.9
    beta2: float = 0.98
    adamw_rate: float | None = None

    def __post_init__(self) -> None:
        _positive(self, "learning_rate", "gradient_clip")
        _not_negative(self, "warmup", "weight_decay")
        if self.base_batch is not None:
            _positive(self, "base_batch")
        _share(self, "decay")
        for name in ("average", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.adamw_rate is not None:
            _positive(self, "adamw_rate")
            if self.kind not in ("lars", "lamb"):
                raise ValueError(
                    f"adamw_rate belongs to kind lars or lamb, and kind is {self.kind}: set "
                    "learning_rate, or leave adamw_rate out"
                )


@dataclass(frozen=True)
class TrainingConfig:
    """How long and on what.

    Attributes:
        steps: Steps in all.
        batch: Windows in a step, of all micro-batches and ranks together.
        accumulate: Micro-batches in a step, one after the other: a step needs so many times less
            memory, and ends with the same weights but for rounding.
        step_decay: Steps ``h`` ahead weigh ``h^-step_decay`` in the loss.
        floor: Windows weigh one over the spread that the model expects of them plus this, so that
            those that nobody can forecast do not outweigh clean ones.
        seed: Of the initial weights and of the corpus.
        device: Torch device, which also makes the corpus: another kind of device draws other
            series.
        devices: Ranks on this machine that share every batch, each CUDA device one rank; torchrun
            says by itself how many there are. Weights are those of one rank but for rounding.
        communication: How ranks exchange gradients.
        precision: ``bfloat16`` and ``float16`` multiply matrices in half the bits (weights stay
            float32). ``float16`` scales its losses, and is slow on a CPU.
        check_every: Steps between points of the loss curve, zero-shot checks and checkpoints.
        held_out: Held-out synthetic windows of each context length.
    """

    __pydantic_config__: ClassVar = _STRICT

    steps: int = 8_000
    batch: int = 256
    accumulate: int = 1
    step_decay: float = 0.5
    floor: float = 0.1
    seed: int = 0
    device: str = "cpu"
    devices: int = 1
    communication: CommunicationConfig = field(default_factory=CommunicationConfig)
    precision: PrecisionKind = "bfloat16"
    check_every: int = 500
    held_out: int = 512

    def __post_init__(self) -> None:
        _positive(self, "steps", "batch", "accumulate", "floor", "devices", "check_every")
        _positive(self, "held_out")
        _not_negative(self, "step_decay", "seed")
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(f"device must be cpu, cuda or cuda:<number>, got {self.device!r}")
        if ":" in self.device and self.devices > 1:
            raise ValueError(
                f"device {self.device} cannot be shared by {self.devices} ranks: set device to "
                "cuda, which gives each rank a device of its own"
            )
        self.communication.check_training(devices=self.devices, precision=self.precision)
        if self.accumulate * self.devices > self.batch:
            raise ValueError(
                f"a batch of {self.batch} windows is too small for accumulate {self.accumulate} "
                f"and devices {self.devices}: their product must not be above it"
            )


def check_recipe(
    model: ModelConfig,
    training: TrainingConfig,
    *,
    families: Mapping[str, float],
    contexts: Mapping[int, float],
    chunk: int,
) -> None:
    """Refuse a corpus that does not fit the network or the batches.

    Args:
        model: Sizes of the network.
        training: Holds the batch.
        families: Share of each family.
        contexts: Share of each context length.
        chunk: Series that are made at once.

    Raises:
        ValueError: It does not fit; the message says which setting to change.
    """
    if unknown := [name for name in families if name not in FAMILY_NAMES]:
        raise ValueError(f"unknown family {unknown[0]!r}; known: {', '.join(FAMILY_NAMES)}")
    for name, shares in (("family", families), ("context length", contexts)):
        if any(share < 0 for share in shares.values()) or sum(shares.values()) <= 0:
            raise ValueError(f"the share of a {name} is at least 0, and one is above it")
    for length in contexts:
        if length > model.context_length:
            raise ValueError(
                f"contexts of {length} steps are longer than model.context_length, "
                f"{model.context_length}"
            )
        if length % model.patch_length or length < SHORTEST_CONTEXT:
            raise ValueError(
                f"contexts must be multiples of model.patch_length, {model.patch_length}, and "
                f"have at least {SHORTEST_CONTEXT} steps, got {length}"
            )
    if chunk < 1 or chunk % training.batch:
        raise ValueError(
            f"corpus.chunk must be a multiple of training.batch, got {chunk} and {training.batch}"
        )


def _positive(config: object, *names: str) -> None:
    for name in names:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} must be above 0, got {getattr(config, name)}")


def _not_negative(config: object, *names: str) -> None:
    for name in names:
        if not getattr(config, name) >= 0:
            raise ValueError(f"{name} must not be negative, got {getattr(config, name)}")


def _share(config: object, name: str) -> None:
    if not 0 <= getattr(config, name) <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {getattr(config, name)}")
