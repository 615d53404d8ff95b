"""What a head keeps of the patch tokens: all features, or a few (METHOD 2.3).

All are linear in the tokens, so that the head over them has a closed-form start.
"""

import torch
from torch import nn


class Reducer(nn.Module):
    """Maps tokens ``(B, N, D)`` to features ``(B, F)``.

    Attributes:
        tokens: N.
        features: F.
    """

    def __init__(self, tokens: int, kept: int) -> None:
        """Keep ``kept`` features of each of N tokens."""
        super().__init__()
        self.tokens = tokens
        self.features = tokens * kept


class Flatten(Reducer):
    """Every feature of every patch: F = N * D."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__(tokens, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Flatten. Shape ``(B, N * D)``."""
        return tokens.flatten(1)


class Projection(Reducer):
    """Each patch on d' learnt directions, the same for all patches: F = N * d'.

    Attributes:
        directions: ``nn.Linear`` from D to d' without bias.
    """

    def __init__(self, tokens: int, width: int, kept: int) -> None:
        super().__init__(tokens, kept)
        self.directions = nn.Linear(width, kept, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Project each patch. Shape ``(B, N * d')``."""
        found: torch.Tensor = self.directions(tokens)
        return found.flatten(1)


class Depthwise(Projection):
    """A depth-wise separable convolution over the patches: F = N * d'.

    Each feature is convolved over the patches with a kernel of its own (depth-wise), then features
    are mixed down to d' (point-wise). Patches beyond the ends count as zeros.

    Attributes:
        kernels: Depth-wise kernels, at first the identity. Shape ``(D, 1, kernel)``.
    """

    def __init__(self, tokens: int, width: int, kept: int, kernel: int) -> None:
        super().__init__(tokens, width, kept)
        start = torch.zeros(width, 1, kernel)
        start[:, :, kernel // 2] = 1.0
        self.kernels = nn.Parameter(start)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Convolve over patches, then project each. Shape ``(B, N * d')``."""
        by_feature = tokens.transpose(1, 2)  # (B, N, D) > (B, D, N)
        width, _, kernel = self.kernels.shape
        mixed = nn.functional.conv1d(by_feature, self.kernels, padding=kernel // 2, groups=width)
        return super().forward(mixed.transpose(1, 2))


class Truncation(Reducer):
    """d' features of each patch, the same for all patches: F = N * d'.

    Attributes:
        kept: Which features, the first ones until the closed-form start chooses. Shape ``(d',)``.
    """

    kept: torch.Tensor

    def __init__(self, tokens: int, width: int, kept: int) -> None:
        super().__init__(tokens, kept)
        self.register_buffer("kept", torch.arange(kept))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Keep some features. Shape ``(B, N * d')``."""
        return tokens[:, :, self.kept].flatten(1)


class Pooling(Reducer):
    """Neighbouring features of each patch averaged down to d': F = N * d'."""

    def __init__(self, tokens: int, width: int, kept: int) -> None:
        super().__init__(tokens, kept)
        self._kept = kept

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Average within each patch. Shape ``(B, N * d')``."""
        return nn.functional.adaptive_avg_pool1d(tokens, self._kept).flatten(1)
