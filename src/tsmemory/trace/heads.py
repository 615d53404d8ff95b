"""Heads that turn patch tokens into a forecast (METHOD 2.3).

    features = reduce(tokens)                           (B, N, D) > (B, F)
    median   = features W + b + skip * native           W is (F, H), or low rank over the horizon
    widths   = softplus(base + effect(mean token))      distances between adjacent quantiles
               mixed with the native ones, by the same share

all in the unit of the context's instance norm. The usual head flattens all of ``N * D`` features;
the others reduce them first, or factor W. A head forecasts its longest horizon, and every step has
weights of its own, so a shorter horizon is a slice of a longer one. A head may correct a share of
the backbone's own forecast (``native``) instead of forecasting all by itself; it then takes as
large a share of its spread, which knows of the context what residuals cannot tell.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tsmemory.trace.config import HeadConfig
from tsmemory.trace.encoder import PatchEncoder, Reading
from tsmemory.trace.errors import TraceError
from tsmemory.trace.head_parts import LowRank, Widths
from tsmemory.trace.reducers import Depthwise, Flatten, Pooling, Projection, Reducer, Truncation


class Head(nn.Module):
    """A trained head: reduced features, one linear map, widths by level.

    Attributes:
        config: What it was built from.
        reduce: ``(B, N, D)`` to ``(B, F)``.
        output: ``(B, F)`` to ``(B, H)``: ``nn.Linear``, or :class:`LowRank`.
        widths: Distances between quantiles; ``None`` for a point.
        native: The backbone's own head, a share of whose forecast is added; ``None`` without.
        skip: That share at each step, found in closed form and held. Shape ``(H,)``.
        reading: Which tokens it wants of :class:`~tsmemory.trace.encoder.PatchEncoder`.
        horizon: H, the longest it forecasts.
        levels: Quantile levels.
        median: Index of the median level.
    """

    skip: torch.Tensor

    def __init__(
        self,
        config: HeadConfig,
        reduce: Reducer,
        *,
        horizon: int,
        width: int,
        levels: Sequence[float],
        native: "NativeHead | None" = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.reduce = reduce
        self.horizon = horizon
        self.levels = tuple(levels)
        self.median = self.levels.index(0.5)
        self.output: nn.Linear | LowRank = nn.Linear(reduce.features, horizon)
        if config.kind == "low_rank":
            self.output = LowRank(reduce.features, config.rank, horizon)
        quantile = config.levels == "quantile"
        self.widths = Widths(levels, horizon, width) if quantile else None
        self.native = native
        self.reading: Reading = "patches" if native is None else "both"
        if native is not None:
            self.register_buffer("skip", torch.ones(horizon))

    def own(self, tokens: torch.Tensor) -> torch.Tensor:
        """The median without the backbone's. Shape ``(B, H)``."""
        found: torch.Tensor = self.output(self.reduce(self.patches(tokens)))
        return found

    def native_quantiles(self, tokens: torch.Tensor) -> torch.Tensor | None:
        """The backbone's own, 0 beyond what it forecasts in one pass. Shape ``(B, Q, H)``."""
        if self.native is None:
            return None
        found = self.native(tokens[:, self.reduce.tokens :])
        return functional.pad(found, (0, self.horizon - found.shape[2]))

    def native_median(self, tokens: torch.Tensor) -> torch.Tensor:
        """The backbone's median, 0 beyond what it forecasts in one pass. Shape ``(B, H)``."""
        native = self.native_quantiles(tokens)
        return (
            tokens.new_zeros(len(tokens), self.horizon)
            if native is None
            else native[:, self.median]
        )

    def point(self, tokens: torch.Tensor) -> torch.Tensor:
        """The median, in the instance-normalised unit. Shape ``(B, H)``."""
        if self.native is None:
            return self.own(tokens)
        return self.own(tokens) + self.skip * self.native_median(tokens)

    def patches(self, tokens: torch.Tensor) -> torch.Tensor:
        """The patch tokens among all that were read. Shape ``(B, N, D)``."""
        return tokens[:, : self.reduce.tokens]

    def forward(self, tokens: torch.Tensor, horizon: int | None = None) -> torch.Tensor:
        """Forecast in the instance-normalised unit.

        Args:
            tokens: Patch tokens ``(B, N, D)``, with decoder states behind them if :attr:`native`.
            horizon: H', at most the head's own, which it is if not given.

        Returns:
            Quantiles, ascending over levels ``(B, Q, H')``, or the point ``(B, 1, H')``.
        """
        steps = check_horizon(horizon, self.horizon)
        median = self.own(tokens)
        native = self.native_quantiles(tokens)
        if native is not None:
            median = median + self.skip * native[:, self.median]
        median = median[:, None, :steps]
        if self.widths is None:
            return median
        widths = self.widths(self.patches(tokens), steps)
        if native is not None and self.native is not None:
            known = torch.arange(steps, device=tokens.device) < self.native.horizon
            share = (self.skip[:steps] * known).clamp(0, 1)
            widths = widths + share * (native.diff(dim=1)[:, :, :steps] - widths)
        height = functional.pad(widths.cumsum(dim=1), (0, 0, 1, 0))
        return height + (median - height[:, self.median : self.median + 1])


class NativeHead(nn.Module):
    """The backbone's own output layer, which has no parameter of the head's.

    It reads the decoder states of :class:`~tsmemory.trace.encoder.PatchEncoder`.
    The layer belongs to the backbone: it is held, but is no part of this module's parameters.
    """

    reading: Reading = "decoder"
    widths = None

    def __init__(self, config: HeadConfig, model: Any, horizon: int) -> None:
        """Take over a model's output layer.

        Args:
            config: Of kind ``native``.
            model: The torch model.
            horizon: H, at most what the model forecasts in one pass.

        Raises:
            TraceError: A longer horizon.
        """
        super().__init__()
        self.config = config
        self.horizon = horizon
        self._held = (model,)  # in a tuple, so that it does not become a module of this one
        about = model.chronos_config
        self.levels = tuple(round(float(level), 6) for level in about.quantiles)
        self.median = self.levels.index(0.5)
        patches = int(getattr(about, "max_output_patches", 1))
        patch = int(getattr(about, "output_patch_size", 0) or about.prediction_length)
        if horizon > patches * patch:
            raise TraceError(
                f"the backbone's own head forecasts {patches * patch} steps in one pass, not "
                f"{horizon}; choose another head kind or shorter horizons"
            )

    def forward(self, tokens: torch.Tensor, horizon: int | None = None) -> torch.Tensor:
        """Forecast in the instance-normalised unit, from decoder states ``(B, P, D)``.

        Returns:
            Quantiles, ascending over levels. Shape ``(B, Q, H')``.
        """
        steps = check_horizon(horizon, self.horizon)
        model = self._held[0]
        said = model.output_patch_embedding(tokens)
        by_patch = said.view(len(said), tokens.shape[1], len(self.levels), -1)
        quantiles = by_patch.transpose(1, 2).flatten(2)  # (B, P, Q, T) > (B, Q, P * T)
        if model.instance_norm.use_arcsinh:
            quantiles = torch.sinh(quantiles)
        found: torch.Tensor = quantiles.sort(dim=1).values[:, :, :steps]
        return found


def build_head(
    config: HeadConfig,
    *,
    tokens: int,
    width: int,
    horizon: int,
    levels: Sequence[float],
    native: NativeHead | None = None,
) -> Head:
    """Build a head with random weights.

    Args:
        config: Kind and sizes.
        tokens: N, patch tokens.
        width: D, features of a token.
        horizon: H, the longest horizon.
        levels: Quantile levels, ascending, the median among them.
        native: The backbone's own head, for a head that corrects it. It may be shorter.

    Returns:
        The head; :func:`~tsmemory.trace.head_ridge.solve_head` gives it its start.

    Raises:
        TraceError: Sizes that do not fit, levels without a median, or kind ``native``, which
            :func:`build_native_head` builds.
    """
    if config.kind == "native":
        raise TraceError("head kind native has no weights of its own; use build_native_head")
    if list(levels) != sorted(set(levels)) or 0.5 not in levels:
        raise TraceError(f"quantile levels must increase and hold 0.5, got {list(levels)}")
    if config.kind not in ("linear", "low_rank") and config.width > width:
        raise TraceError(
            f"trace.head.width is {config.width}, but the backbone's tokens have {width} features"
        )
    reduce = _reducer(config, tokens, width)
    sizes = {"horizon": horizon, "width": width}
    return Head(config, reduce, **sizes, levels=levels, native=native)


def build_native_head(config: HeadConfig, encoder: PatchEncoder, horizon: int) -> NativeHead:
    """The backbone's own head, for an encoder whose decoder states are read.

    Raises:
        TraceError: An encoder of whose decoder nothing is read, or too long a horizon.
    """
    if encoder.reading == "patches":
        raise TraceError(
            "the native head reads decoder states; build the encoder with reading="
            '"decoder" or "both"'
        )
    return NativeHead(config, encoder.model, horizon)


def linear_parameter_count(tokens: int, width: int, horizon: int) -> int:
    """Parameters of the flat head's point forecast: ``N * D * H + H`` (METHOD 2.3)."""
    return tokens * width * horizon + horizon


def trainable_parameter_count(module: nn.Module) -> int:
    """Number of weights of a module that training may change."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)


def check_horizon(asked: int | None, longest: int) -> int:
    """Return the steps to forecast.

    Raises:
        TraceError: More than the head has, or none.
    """
    steps = longest if asked is None else asked
    if not 0 < steps <= longest:
        raise TraceError(f"the head forecasts 1 to {longest} steps, not {steps}")
    return steps


def _reducer(config: HeadConfig, tokens: int, width: int) -> Reducer:
    if config.kind == "projection":
        return Projection(tokens, width, config.width)
    if config.kind == "truncation":
        return Truncation(tokens, width, config.width)
    if config.kind == "pooling":
        return Pooling(tokens, width, config.width)
    if config.kind == "depthwise":
        return Depthwise(tokens, width, config.width, config.kernel)
    return Flatten(tokens, width)
