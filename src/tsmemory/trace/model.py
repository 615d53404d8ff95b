"""An adapted backbone: encoder with LoRA, and the head on its tokens (METHOD 2.1 and 2.3)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tsmemory.backbones.rollout import Rollout, roll_out
from tsmemory.series.series_set import Float
from tsmemory.trace.base import Base
from tsmemory.trace.config import HeadConfig
from tsmemory.trace.encoder import PatchEncoder, Reading
from tsmemory.trace.errors import TraceError
from tsmemory.trace.gates import GatedLora
from tsmemory.trace.heads import Head, NativeHead, build_head, build_native_head


class TraceModel(nn.Module):
    """Contexts to quantiles, through an encoder that may be adapted and a head.

    Attributes:
        base: The backbone that it adapts.
        encoder: The backbone's encoder, read at its tokens.
        head: On the tokens; its answers are in the unit of the context's instance norm.
        levels: Quantile levels, ascending.
        lora: Gated LoRA inside the encoder, if there is any.
        encoder_trained: Whether more of the encoder was trained than gated LoRA.
        context_length: L, the most steps of context that it reads.
        horizon: Steps that it forecasts in one pass.
    """

    def __init__(
        self, base: Base, encoder: PatchEncoder, head: Head | NativeHead, levels: Sequence[float]
    ) -> None:
        """Put the parts together; LoRA comes after."""
        super().__init__()
        self.base = base
        self.encoder = encoder
        self.head = head
        self.levels = tuple(levels)
        self.lora: GatedLora | None = None
        self.encoder_trained = False
        self.context_length = encoder.context_length
        self.horizon = head.horizon

    @property
    def device(self) -> torch.device:
        """Torch device that it runs on."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of its weights."""
        return next(self.parameters()).dtype

    def forward(self, contexts: Tensor) -> Tensor:
        """Quantiles in the unit of the contexts, differentiably.

        Args:
            contexts: NaN where missing. Shape ``(B, L)``.

        Returns:
            Ascending over levels; a head of one point answers it at every level. ``(B, Q, H)``.
        """
        tokens, loc, scale = self.encoder(contexts)
        quantiles: Tensor = loc[:, None] + scale[:, None] * self.head(tokens)
        return quantiles.expand(-1, len(self.levels), -1)

    @torch.inference_mode()
    def predict(
        self,
        contexts: Float,
        horizon: int | None = None,
        *,
        batch_size: int = 256,
        rollout: Rollout = "median",
    ) -> Float:
        """Forecast, beyond what one pass gives by rolling out.

        Args:
            contexts: In any unit, NaN where missing. Shape ``(B, L)``.
            horizon: H, steps; those of one pass if not given.
            batch_size: Contexts in one pass; the forecasts do not depend on it.
            rollout: How longer horizons are reached.

        Returns:
            Quantiles in the unit of the contexts, ascending over levels. Shape ``(B, Q, H)``.
        """
        steps = self.horizon if horizon is None else horizon
        extend = partial(
            roll_out,
            self.forward,
            horizon=steps,
            levels=self.levels,
            context_length=self.context_length,
            rollout=rollout,
        )
        parts = [extend(batch, self(batch)) for batch in self._split(contexts, batch_size)]
        return np.asarray(torch.cat(parts).float().cpu().numpy())

    def _split(self, contexts: Float, size: int) -> Iterator[Tensor]:
        recent = np.ascontiguousarray(contexts[:, -self.context_length :], dtype=np.float32)
        for batch in torch.split(torch.from_numpy(recent), size):
            yield batch.to(self.device)


def build_model(
    base: Base,
    head: HeadConfig,
    *,
    context_length: int,
    horizon: int,
    levels: Sequence[float],
) -> TraceModel:
    """Read a backbone anew and put a head on it, which has random weights or is the backbone's own.

    Args:
        base: The backbone.
        head: Form of the head.
        context_length: L, steps of context.
        horizon: The longest horizon. The native head forecasts at most its own in one pass.
        levels: Quantile levels, ascending, the median among them.

    Returns:
        The model, frozen but for its head.

    Raises:
        TraceError: Sizes that do not fit the backbone, or a native head at other levels than its.
    """
    if head.kind == "native" and tuple(levels) != base.levels:
        raise TraceError(
            f"the backbone's own head forecasts the levels {list(base.levels)}, not "
            f"{list(levels)}: set backbone.quantile_levels to them, or leave out the rows "
            "with the native head"
        )
    model = base.read()
    encoder = PatchEncoder(model, context_length, reading=_reading(head))
    native = None
    if encoder.reading != "patches":
        own = replace(head, kind="native")
        native = build_native_head(own, encoder, min(horizon, native_horizon(model)))
        if head.kind == "native":
            return TraceModel(base, encoder, native, levels)
    sizes = {"tokens": encoder.tokens, "width": encoder.width, "horizon": horizon}
    built = build_head(head, **sizes, levels=levels, native=native)
    return TraceModel(base, encoder, built.to(base.device), levels)


def _reading(head: HeadConfig) -> Reading:
    if head.kind == "native":
        return "decoder"
    return "both" if head.skip else "patches"


def native_horizon(model: Any) -> int:
    """Steps that a backbone forecasts in one pass with its own head."""
    config = model.chronos_config
    patches = int(getattr(config, "max_output_patches", 1))
    return patches * int(getattr(config, "output_patch_size", 0) or config.prediction_length)
