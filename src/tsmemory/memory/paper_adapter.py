"""The memory adapter of the paper profile: a transformer of its own (METHOD 1.5, "Published").

    z, loc, scale = instance norm of x
    tokens        = encoder(patches of z, projected, plus positions)         pre-norm layers
    steps         = decoder(one learned query for each step ahead, tokens)
    Qm            = loc + scale * (steps projected to the levels)

It forecasts from the context alone: what the backbone says reaches it only through the objective
and through fusion. All queries attend to each other, so every horizon is a slice of the longest.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from tsmemory.memory.config import Profile
from tsmemory.memory.instance_norm import instance_normalise

_EMBEDDING_SPREAD = 0.02  # of positions and queries at the start
_STEPS_AT_A_TIME = 1 << 15  # windows x horizon decoded together, so that memory stays bounded


@dataclass(frozen=True)
class PaperConfig:
    """Sizes of an adapter of the paper profile; the defaults are the published ones.

    Attributes:
        context_length: L, steps it reads.
        horizon: The longest horizon it forecasts.
        quantile_levels: Levels of the backbone that it is fused with.
        patch_length: Steps in a patch.
        width: Features of a token.
        heads: Attention heads; they divide the width.
        feedforward: Features inside a feed-forward part.
        encoder_layers: Layers over the patches.
        decoder_layers: Layers over the horizon queries.
        dropout: Dropout everywhere.
    """

    profile: ClassVar[Profile] = "paper"

    context_length: int
    horizon: int
    quantile_levels: tuple[float, ...]
    patch_length: int = 16
    width: int = 256
    heads: int = 8
    feedforward: int = 1024
    encoder_layers: int = 4
    decoder_layers: int = 2
    dropout: float = 0.1

    @property
    def patches(self) -> int:
        """Number of patches; the first may reach back before the context."""
        return math.ceil(self.context_length / self.patch_length)

    @property
    def median(self) -> int:
        """Index of the median level."""
        return self.quantile_levels.index(0.5)


class PaperAdapter(nn.Module):
    """Maps contexts to memory quantiles, with the interface of the default profile's adapter."""

    can_cross: ClassVar[bool] = (
        True  # while it is trained: the objective has to say that it may not
    )

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.config = config
        D = config.width
        self.project = nn.Linear(config.patch_length, D)
        self.position = nn.Parameter(torch.empty(config.patches, D))
        self.query = nn.Parameter(torch.empty(config.horizon, D))
        # Layers are made one by one: nn.TransformerEncoder would start all of them alike.
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(**_layer(config)) for _ in range(config.encoder_layers)
        )
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(**_layer(config)) for _ in range(config.decoder_layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.levels = nn.Linear(D, len(config.quantile_levels))
        self._initialise()

    def _initialise(self) -> None:
        """Xavier weights and no bias in linear maps, small random positions and queries."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.position, std=_EMBEDDING_SPREAD)
        nn.init.normal_(self.query, std=_EMBEDDING_SPREAD)

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return self.query.device

    def forward(
        self, contexts: torch.Tensor, quantiles: torch.Tensor, keys: torch.Tensor
    ) -> torch.Tensor:
        """Memory quantiles.

        Args:
            contexts: NaN where missing, any unit. Shape ``(B, L)``.
            quantiles: The backbone's; only their number of steps ``H'`` is read, at most the
                adapter's horizon. Shape ``(B, Q, H')``.
            keys: The backbone's embeddings, not read. Shape ``(B, d)``.

        Returns:
            Quantiles. In training mode they may cross; in inference mode they are sorted, since
            fusion takes ascending ones. Shape ``(B, Q, H')``.
        """
        normal = instance_normalise(contexts)
        if self.training:
            ahead = self._decode(normal.values)
        else:
            rows = max(1, _STEPS_AT_A_TIME // self.config.horizon)
            ahead = torch.cat([self._decode(part) for part in torch.split(normal.values, rows)])
            ahead = ahead.sort(dim=1).values
        ahead = ahead[:, :, : quantiles.shape[2]]
        return normal.loc[:, :, None] + normal.scale[:, :, None] * ahead

    def _decode(self, values: torch.Tensor) -> torch.Tensor:
        """Quantiles of normalised contexts ``(B, L)``, unsorted. Shape ``(B, Q, H)``."""
        config = self.config
        if padding := -values.shape[1] % config.patch_length:
            values = nn.functional.pad(values, (padding, 0))
        patches = values.reshape(len(values), -1, config.patch_length)  # (B, patches, patch length)
        tokens = self.dropout(self.project(patches) + self.position)  # (B, patches, D)
        for layer in self.encoder:
            tokens = layer(tokens)
        steps = self.query.expand(len(values), -1, -1)  # (B, H, D)
        for layer in self.decoder:
            steps = layer(steps, tokens)
        ahead: torch.Tensor = self.levels(self.dropout(steps))  # (B, H, Q)
        return ahead.transpose(1, 2)

    def describe(self) -> dict[str, Any]:
        """Sizes and parameter counts, for previews and reports."""
        return {
            "profile": self.config.profile,
            **asdict(self.config),
            "trained_parameters": sum(p.numel() for p in self.parameters()),
            "closed_form_parameters": 0,
        }


def _layer(config: PaperConfig) -> dict[str, Any]:
    """What encoder and decoder layers share."""
    return {
        "d_model": config.width,
        "nhead": config.heads,
        "dim_feedforward": config.feedforward,
        "dropout": config.dropout,
        "activation": "gelu",
        "batch_first": True,
        "norm_first": True,
    }
