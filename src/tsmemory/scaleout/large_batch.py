"""Large batches: layer-wise rates, linear scaling and warm-up (You et al. 2017, 2020; METHOD 3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from tsmemory.scaleout.config import OptimizerKind
from tsmemory.scaleout.errors import ScaleoutError

_SHARE = "share_of_rate"


@dataclass(frozen=True)
class UpdateRule:
    """How weights move.

    Attributes:
        kind: ``adamw``; ``lars`` (You et al., 2017) or ``lamb`` (You et al., 2020) for layers, with
            AdamW for what has no scale of its own: biases, norms, and layers that start at zero.
        learning_rate: Rate. With ``lars`` and ``lamb`` it is what a step may change a layer by, as
            a share of the norm of its weights.
        weight_decay: Of matrices; biases and norms have none.
        betas: Decays of the first and second moments. ``lars`` takes the first as its momentum.
        adamw_rate: Rate of what ``lars`` and ``lamb`` leave to AdamW, in whose steps a rate means
            something else; ``None`` takes ``learning_rate``.
    """

    kind: OptimizerKind = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    adamw_rate: float | None = None


@dataclass(frozen=True)
class Weights:
    """The weights of a model, sorted by what an optimizer does with them.

    Attributes:
        layers: Matrices that do not start at zero: they decay, and a layer-wise rate makes sense.
        zeros: Matrices that start at zero: they decay, and move by AdamW. A rate in units of their
            norm would keep them there.
        rest: Biases, norms and what else must not decay; they move by AdamW.
    """

    layers: list[nn.Parameter]
    zeros: list[nn.Parameter]
    rest: list[nn.Parameter]

    @classmethod
    def of(cls, model: nn.Module, *, plain: Iterable[nn.Parameter] = ()) -> "Weights":
        """Sort the weights that are learnt, as they are before the first step.

        Args:
            model: The model.
            plain: Further weights that count as ``rest``, as embeddings often do.
        """
        spared = {id(weight) for weight in plain}
        found = cls([], [], [])
        for weight in model.parameters():
            if not weight.requires_grad:
                continue
            if weight.ndim < 2 or id(weight) in spared:
                found.rest.append(weight)
            elif bool(weight.detach().any()):
                found.layers.append(weight)
            else:
                found.zeros.append(weight)
        return found


def build_optimizers(model: nn.Module | Weights, config: UpdateRule) -> list[torch.optim.Optimizer]:
    """Give every weight its optimizer; all of them follow one schedule, see :func:`set_rate`.

    Args:
        model: A model before its first step, or its weights, sorted.
        config: How weights move.

    Returns:
        AdamW, and LARS or LAMB after it where they are wanted and there are layers.

    Raises:
        ScaleoutError: LARS or LAMB without the library that has them, or weights that are not
            float32, from which layer-wise rates are computed.
    """
    weights = model if isinstance(model, Weights) else Weights.of(model)
    layered = weights.layers if config.kind != "adamw" else []
    matrices = weights.zeros if layered else [*weights.layers, *weights.zeros]
    own = config.adamw_rate if layered else None
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": weights.rest, "weight_decay": 0.0},
    ]
    if own is not None:
        groups = [{**group, _SHARE: own / config.learning_rate} for group in groups]
    filled = [group for group in groups if group["params"]]
    optimizers: list[torch.optim.Optimizer] = []
    if filled:
        optimizers.append(torch.optim.AdamW(filled, lr=config.learning_rate, betas=config.betas))
    if layered:
        optimizers.append(_layer_wise(layered, config))
    set_rate(optimizers, config.learning_rate)
    return optimizers


def set_rate(optimizers: Iterable[torch.optim.Optimizer], rate: float) -> None:
    """Let all groups of all optimizers move at a rate, or at their own share of it."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get(_SHARE, 1.0)


def scaled_rate(rate: float, batch: int, base_batch: int | None) -> float:
    """Linear scaling (Goyal et al., 2017): as many samples move weights about as far.

    Args:
        rate: Rate for batches of ``base_batch``.
        batch: Samples in a step, of all ranks and micro-batches together.
        base_batch: ``None`` leaves the rate as it is.
    """
    return rate if base_batch is None else rate * batch / base_batch


def warming(step: int, warmup: int) -> float:
    """Share of the rate at a step: rising in a straight line to 1.

    Args:
        step: Steps done before.
        warmup: Steps until the rate is whole; 0 or 1 for none.
    """
    return min(1.0, (step + 1) / max(warmup, 1))


def _layer_wise(layers: list[nn.Parameter], config: UpdateRule) -> torch.optim.Optimizer:
    """LARS or LAMB over matrices."""
    if odd := {weight.dtype for weight in layers} - {torch.float32}:
        raise ScaleoutError(
            f"layer-wise rates are computed in float32, and weights are {odd.pop()}: keep the "
            "model in float32 and choose the precision of its products instead"
        )
    library = _library(config.kind)
    rate, decay = config.learning_rate, config.weight_decay
    if config.kind == "lamb":
        # Without adam_debias the rate itself would be divided by the bias correction, which the
        # norm cancels out: the first steps would be ten times as long.
        made = library.Lamb(
            layers, lr=rate, betas=config.betas, weight_decay=decay, adam_debias=True
        )
    else:
        # A trust coefficient of 1, and momentum as a mean rather than a sum, give the rate the
        # meaning that it has in LAMB.
        momentum = config.betas[0]
        made = library.LARS(
            layers,
            lr=rate,
            weight_decay=decay,
            momentum=momentum,
            dampening=momentum,
            trust_coefficient=1.0,
        )
    return cast(torch.optim.Optimizer, made)


def _library(kind: str) -> Any:
    try:
        import pytorch_optimizer
    except ModuleNotFoundError as error:
        if error.name != "pytorch_optimizer":
            raise
        raise ScaleoutError(
            f"optimizer {kind} needs pytorch_optimizer, which is not installed: "
            "pip install 'tsmemory[distributed]'"
        ) from error
    return pytorch_optimizer
