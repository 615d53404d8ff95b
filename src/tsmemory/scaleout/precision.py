"""In which numbers a training multiplies: one place for autocasting, scaling and stepping.

Weights, gradients and the optimizer's state stay float32 whatever the kind: autocasting rounds what
enters a product, and gradients come back in the type of the weights (METHOD 3, "fp32 master
weights"). A layer-wise rate is therefore computed from float32.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from tsmemory.scaleout.config import PrecisionKind


class Precision:
    """How a training multiplies matrices, and how it takes a step.

    Attributes:
        kind: ``float32`` changes nothing; ``bfloat16`` and ``float16`` multiply in half the bits.
        device: Torch device of the model.
    """

    def __init__(self, kind: PrecisionKind, device: str | torch.device) -> None:
        """Choose.

        Args:
            kind: Of the numbers.
            device: Torch device of the model.
        """
        self.kind, self.device = kind, torch.device(device)
        # float16 ends at 6e-8: gradients are made larger for the way back. bfloat16 reaches as far
        # as float32.
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=kind == "float16")

    def autocast(self) -> torch.autocast:
        """A context for the forward pass; in float32 it does nothing."""
        half = self.kind != "float32"
        return torch.autocast(self.device.type, getattr(torch, self.kind) if half else None, half)

    def backward(self, loss: Tensor) -> None:
        """Add a loss's gradients to those that the weights have, scaled where that is needed."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(
        self,
        optimizers: Sequence[torch.optim.Optimizer],
        weights: Iterable[Tensor],
        *,
        clip: float,
    ) -> None:
        """Unscale gradients, clip them all together, move the weights, and forget the gradients.

        A step whose gradients have overflown float16 is left out, and later ones are scaled less.
        It is left out by all optimizers, also where one alone has such gradients: they are clipped
        together, so that the others' would be multiplied by a factor that is not a number.

        Args:
            optimizers: Of different weights.
            weights: Whose gradients are clipped.
            clip: Largest norm of all gradients together.
        """
        for optimizer in optimizers:
            self._scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(weights, clip)
        overflown = self._scaler.is_enabled() and not bool(torch.isfinite(norm))
        for optimizer in optimizers:
            if not overflown:
                self._scaler.step(optimizer)
            optimizer.zero_grad()
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The scale, for a checkpoint; empty but for float16."""
        state: dict[str, Any] = self._scaler.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the scale over from a checkpoint."""
        self._scaler.load_state_dict(state)
