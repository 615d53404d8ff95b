"""The memory adapter of the default profile: a correction on what the backbone says (METHOD 1.5).

    z, loc, scale = instance norm of x
    hidden        = what the context's patches and the backbone's own embedding say
    line          = loc + scale * (z W + b)                         ridge, closed form, held fixed
    median_m      = line + s * (Qb_median - line) + scale * u       s, u from hidden, 0 at first
    width_m[j]    = width_b[j] * c * softplus(t) / log 2            t from hidden, 0 at first

with s and t by horizon block and u by step. Everything at a step depends on the context and on the
backbone's forecast of that step only, so one model serves every horizon: a shorter horizon is a
slice of a longer one.

For ablations ``base`` does without the ridge (line = Qb_median) or without the backbone (s = 0, and
width_b are those of a normal distribution with the context's scale).
"""

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, ClassVar, Self

import torch
from torch import nn

from tsmemory.memory.config import Base, Profile
from tsmemory.memory.instance_norm import Normalised, instance_normalise
from tsmemory.memory.ridge import Ridge


@dataclass(frozen=True)
class AdapterConfig:
    """Sizes of a memory adapter.

    Attributes:
        context_length: L, steps it reads.
        horizon: The longest horizon it corrects.
        quantile_levels: Levels of the backbone it was made for.
        key_length: Length d of the backbone's embedding.
        block: Steps that share a gate and a spread.
        patch_length: Steps in a patch.
        patch_width: Features of a patch.
        width: Features of the hidden state.
        dropout: Dropout on the hidden state.
        base: What is corrected: ridge and backbone, or one of them alone.
    """

    profile: ClassVar[Profile] = "default"

    context_length: int
    horizon: int
    quantile_levels: tuple[float, ...]
    key_length: int
    block: int = 24
    patch_length: int = 16
    patch_width: int = 16
    width: int = 128
    dropout: float = 0.1
    base: Base = "both"

    @property
    def blocks(self) -> int:
        """Number of horizon blocks; the last may be shorter."""
        return math.ceil(self.horizon / self.block)

    @property
    def median(self) -> int:
        """Index of the median level."""
        return self.quantile_levels.index(0.5)


class MemoryAdapter(nn.Module):
    """Maps contexts, backbone quantiles and embeddings to memory quantiles."""

    can_cross: ClassVar[bool] = False

    weight: torch.Tensor
    bias: torch.Tensor
    spread: torch.Tensor
    block_of_step: torch.Tensor
    normal_widths: torch.Tensor

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config = config
        L, H, D = config.context_length, config.horizon, config.width
        self.register_buffer("weight", torch.zeros(L, H))
        self.register_buffer("bias", torch.zeros(H))
        self.register_buffer("spread", torch.ones(config.blocks))
        steps = torch.arange(H) // config.block
        self.register_buffer("block_of_step", steps, persistent=False)
        normal = torch.tensor([NormalDist().inv_cdf(level) for level in config.quantile_levels])
        self.register_buffer("normal_widths", normal.diff(), persistent=False)
        patches = math.ceil(L / config.patch_length)
        self.patch = nn.Linear(config.patch_length, config.patch_width)
        self.mix = nn.Linear(patches * config.patch_width, D)
        self.key = nn.Linear(config.key_length, D, bias=False)
        self.norm = nn.LayerNorm(config.key_length, elementwise_affine=False)
        self.dropout = nn.Dropout(config.dropout)
        self.step = nn.Linear(D, H)
        self.trust = nn.Linear(D, config.blocks)
        self.widen = nn.Linear(D, config.blocks * (len(config.quantile_levels) - 1))
        for head in (self.step, self.trust, self.widen):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def start_from(self, ridge: Ridge, spread: torch.Tensor) -> None:
        """Take over the closed-form parts: the linear skip and one spread factor for each block.

        The factors belong to the backbone's widths: without the backbone they stay at 1.
        """
        self.weight.copy_(ridge.weight)
        self.bias.copy_(ridge.bias)
        if self.config.base != "ridge":
            self.spread.copy_(spread)

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return self.weight.device

    def train(self, mode: bool = True) -> Self:
        """Note, before inference, whether anything was learnt: the closed form is half the work."""
        super().train(mode)
        heads = (self.step, self.trust, self.widen)
        self.has_learnt = mode or any(bool(p.any()) for h in heads for p in h.parameters())
        return self

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Take over weights, and note whether anything was learnt."""
        found = super().load_state_dict(*args, **kwargs)
        self.train(self.training)
        return found

    def forward(
        self,
        contexts: torch.Tensor,
        quantiles: torch.Tensor,
        keys: torch.Tensor,
        normal: Normalised | None = None,
        ahead: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Memory quantiles.

        Args:
            contexts: NaN where missing, in train z units. Shape ``(B, L)``.
            quantiles: The backbone's, ascending over levels, same unit. Shape ``(B, Q, H')`` with
                ``H'`` at most the adapter's horizon.
            keys: The backbone's embeddings. Shape ``(B, d)``.
            normal: The contexts' instance norm, where it is known already.
            ahead: What another ridge than its own says, in the instance-normalised unit, for
                training on windows that its own one has seen. Shape ``(B, H')``.

        Returns:
            Quantiles, ascending over levels. Shape ``(B, Q, H')``.
        """
        horizon, middle = quantiles.shape[2], self.config.median
        normal = instance_normalise(contexts) if normal is None else normal
        learns = self.has_learnt or torch.is_grad_enabled()
        hidden = self.hidden(normal, keys) if learns else None
        median = self._start(normal, quantiles[:, middle], hidden, ahead)
        if hidden is not None:
            weight, bias = self.step.weight[:horizon], self.step.bias[:horizon]
            median = median + normal.scale * nn.functional.linear(hidden, weight, bias)
        widths = self._widths(normal, quantiles, hidden)
        height = nn.functional.pad(widths.cumsum(1), (0, 0, 1, 0))
        return height + (median - height[:, middle])[:, None]

    def hidden(self, normal: Normalised, keys: torch.Tensor) -> torch.Tensor:
        """What the correction is made from.

        Args:
            normal: The contexts' instance norm.
            keys: The backbone's embeddings. Shape ``(B, d)``.

        Returns:
            Features. Shape ``(B, D)``.
        """
        config = self.config
        values = normal.values
        if padding := -values.shape[1] % config.patch_length:
            values = nn.functional.pad(values, (padding, 0))
        patches = values.reshape(len(values), -1, config.patch_length)  # (B, patches, patch length)
        features = nn.functional.silu(_linear(patches, self.patch)).flatten(1)
        normal_keys = nn.functional.layer_norm(keys, self.norm.normalized_shape)
        mixed = _linear(features, self.mix) + _linear(normal_keys, self.key)
        hidden = nn.functional.silu(mixed)
        return self.dropout(hidden) if self.training else hidden

    def _start(
        self,
        normal: Normalised,
        backbone: torch.Tensor,
        hidden: torch.Tensor | None,
        ahead: torch.Tensor | None,
    ) -> torch.Tensor:
        """What the median is corrected from; ``backbone`` is Qb's median. Shape ``(B, H')``."""
        if self.config.base == "backbone":
            return backbone
        horizon = backbone.shape[1]
        if ahead is None:
            ahead = self._ridge(normal.values, horizon)
        line = normal.loc + normal.scale * ahead
        if self.config.base == "ridge" or hidden is None:
            return line
        return line + self._by_step(_linear(hidden, self.trust), horizon) * (backbone - line)

    def _ridge(self, values: torch.Tensor, horizon: int) -> torch.Tensor:
        """The linear skip, in float32 even where the rest is not. Shape ``(B, H')``."""
        kind = values.device.type
        if torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return self._ridge(values, horizon)
        return torch.addmm(self.bias[:horizon], values, self.weight[:, :horizon])

    def _widths(
        self, normal: Normalised, quantiles: torch.Tensor, hidden: torch.Tensor | None
    ) -> torch.Tensor:
        """Distances between adjacent memory quantiles, never negative. Shape ``(B, Q-1, H')``."""
        horizon, levels = quantiles.shape[2], len(self.config.quantile_levels)
        if self.config.base == "ridge":
            own = (normal.scale * self.normal_widths)[:, :, None]
        else:
            own = quantiles.diff(dim=1).clamp_min(0)
        if hidden is None:
            return own * self._by_step(self.spread, horizon)
        factor = nn.functional.softplus(_linear(hidden, self.widen)) / math.log(2)
        factor = factor.reshape(len(factor), levels - 1, self.config.blocks)
        return own * self._by_step(factor * self.spread, horizon)

    def _by_step(self, by_block: torch.Tensor, horizon: int) -> torch.Tensor:
        """Repeat block values over their steps. Shape ``(..., H')``."""
        return by_block[..., self.block_of_step[:horizon]]

    def describe(self) -> dict[str, Any]:
        """Sizes and parameter counts, for previews and reports."""
        trained = sum(p.numel() for p in self.parameters())
        fixed = self.weight.numel() + self.bias.numel() + self.spread.numel()
        return {
            "profile": self.config.profile,
            **asdict(self.config),
            "trained_parameters": trained,
            "closed_form_parameters": fixed,
        }


def _linear(values: torch.Tensor, layer: nn.Linear) -> torch.Tensor:
    """What the layer does, without a module's call around it: a third less time at batch 1."""
    return nn.functional.linear(values, layer.weight, layer.bias)
