"""The encoder of a backbone, from contexts to the tokens that a head reads (METHOD 2.3).

A forecasting head sits on the encoder's patch tokens and bypasses what the backbone does after
them. The tokens depend on each context alone, so rows do not interact, and gradients flow through
to whatever of the encoder is trained.
"""

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from tsmemory.trace.errors import TraceError

Reading = Literal["patches", "decoder", "both"]


class Encoded(NamedTuple):
    """What an encoder says of contexts.

    Attributes:
        tokens: Shape ``(B, N, D)``.
        loc: Mean of each context, in its unit. Shape ``(B, 1)``.
        scale: Its standard deviation, positive. Shape ``(B, 1)``.
    """

    tokens: torch.Tensor
    loc: torch.Tensor
    scale: torch.Tensor


class PatchEncoder(nn.Module):
    """A Chronos-Bolt or Chronos-2 model, read at the tokens of its patches.

    Attributes:
        model: The torch model, as ``transformers`` loads it.
        context_length: L, steps that are read.
        reading: ``patches``: the encoder's patch tokens, without the REG token. ``decoder``: the
            states that the model's own output layer reads, which are the one decoder state of
            Chronos-Bolt and the future patches of Chronos-2. ``both``: the former, then the latter.
        tokens: N, number of patch tokens, or of decoder states where these alone are read.
        width: D, features of a token.
    """

    def __init__(self, model: Any, context_length: int, *, reading: Reading = "patches") -> None:
        """Read a model at a fixed length of context.

        Args:
            model: Torch model of a Chronos-Bolt or Chronos-2 backbone.
            context_length: L, steps of context; shorter contexts are padded, longer ones cut.
            reading: Which tokens.

        Raises:
            TraceError: A model of another kind, or a length that it cannot read.
        """
        super().__init__()
        self.family = family_of(model)
        config = model.chronos_config
        longest = int(config.context_length)
        if not 0 < context_length <= longest:
            raise TraceError(
                f"the backbone reads 1 to {longest} steps of context, not {context_length}; "
                "change windowing.context_length"
            )
        self.model = model
        self.context_length = context_length
        self.reading: Reading = reading
        self.width = int(model.config.d_model)
        size, stride = int(config.input_patch_size), int(config.input_patch_stride)
        self.patches = (math.ceil(context_length / size) * size - size) // stride + 1
        # Chronos-2 attends both ways: tokens depend on the number of future patches, so that it is
        # always the native one.
        self.future = int(config.max_output_patches) if self.family == "chronos2" else 1
        self.tokens = self.future if reading == "decoder" else self.patches

    def encode(self, contexts: torch.Tensor) -> Encoded:
        """Encode contexts, differentiably.

        Args:
            contexts: Any unit, NaN where missing. Only the last L steps are read; shorter contexts
                are padded on the left, as the model pads what does not fill a patch. ``(B, L')``.

        Returns:
            Tokens ``(B, N, D)`` (with decoder states behind them where both are read), and the
            level and scale ``(B, 1)`` of the steps that were read.
        """
        recent = contexts[:, -self.context_length :]
        if missing := self.context_length - recent.shape[1]:
            recent = nn.functional.pad(recent, (missing, 0), value=math.nan)
        read = self._chronos2 if self.family == "chronos2" else self._bolt
        return read(recent)

    def forward(self, contexts: torch.Tensor) -> Encoded:
        """Same as :meth:`encode`."""
        return self.encode(contexts)

    def _bolt(self, contexts: torch.Tensor) -> Encoded:
        hidden, (loc, scale), embedded, mask = self.model.encode(context=contexts)
        parts = []
        if self.reading != "decoder":
            parts.append(hidden[:, : self.patches])
        if self.reading != "patches":
            parts.append(self.model.decode(embedded, mask, hidden))
        return Encoded(torch.cat(parts, dim=1), loc, scale)

    def _chronos2(self, contexts: torch.Tensor) -> Encoded:
        encoded, (loc, scale), *_ = self.model.encode(
            context=contexts, num_output_patches=self.future
        )
        hidden = encoded[0]
        parts = []
        if self.reading != "decoder":
            parts.append(hidden[:, : self.patches])
        if self.reading != "patches":
            parts.append(hidden[:, -self.future :])
        return Encoded(torch.cat(parts, dim=1), loc, scale)


def family_of(model: Any) -> Literal["bolt", "chronos2"]:
    """Tell Chronos-Bolt from Chronos-2.

    Raises:
        TraceError: Neither of them.
    """
    if hasattr(model, "chronos_config") and hasattr(model, "encoder"):
        if hasattr(model, "decoder"):
            return "bolt"
        if hasattr(model.chronos_config, "max_output_patches"):
            return "chronos2"
    raise TraceError(
        f"TRACE adapts Chronos-Bolt and Chronos-2 backbones; {type(model).__name__} is neither. "
        "Choose another backbone.name"
    )
