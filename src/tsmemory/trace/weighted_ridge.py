"""Weighted ridge regression with many features, by whichever side of the table is shorter.

    minimise  sum_i w_i |y_i - x_i W - b|^2 + penalty * |W|^2            b is not penalised

The penalty is a share of the features' mean weighted sum of squares, so that one grid serves heads
of every size, backbones of every scale and tables of every length. The normal equations are those
of the features (F, F) or, where there are fewer rows than features, those of the rows (n, n).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

_BATCH = 4096


@dataclass(frozen=True)
class LinearMap:
    """``y = x W + b``.

    Attributes:
        weight: W, shape ``(F, H)``.
        bias: b, shape ``(H,)``.
        moments: ``W' X' Y`` of the regression that it solves, from which the best maps of lower
            rank are told. Shape ``(H, H)``.
        mean_x: Weighted mean of the features. Shape ``(F,)``.
        mean_y: Weighted mean of the targets. Shape ``(H,)``.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    moments: torch.Tensor
    mean_x: torch.Tensor
    mean_y: torch.Tensor

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Map features ``(B, F)`` to ``(B, H)``."""
        return torch.addmm(self.bias, features, self.weight)

    def factors(
        self, rank: int, emphasis: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The best map of lower rank under the same penalised squared error.

        This is reduced-rank ridge regression (Mukherjee & Zhu, 2011): the ridge solution projected
        on the leading directions of its own penalised fit, ``W' (X' X + penalty) W = W' X' Y``.

        Args:
            rank: r; at most H counts.
            emphasis: What each target's squared error counts, above 0. Shape ``(H,)``.

        Returns:
            U ``(F, r)``, V ``(r, H)`` and the bias ``(H,)``, with ``W ~ U V``. Each column of U is
            as long as its row of V, so that training moves both alike. Where r exceeds H, the
            factors beyond H are 0.
        """
        root = emphasis.double().sqrt()
        _, vectors = torch.linalg.eigh(root[:, None] * self.moments.double() * root)
        leading = vectors[:, -rank:].flip(1)  # (H, r), the largest first
        down = self.weight @ (root[:, None] * leading).to(self.weight)
        up = (leading / root[:, None]).T.to(self.weight)
        ratio = (down.norm(dim=0) / up.norm(dim=1)).clamp_min(1e-12).sqrt()
        down, up = down / ratio, up * ratio[:, None]
        bias = self.mean_y - (self.mean_x @ down) @ up
        extra = max(rank - leading.shape[1], 0)
        return (
            torch.nn.functional.pad(down, (0, extra)),
            torch.nn.functional.pad(up, (0, 0, 0, extra)),
            bias,
        )


class WeightedRidge:
    """Regressions on the same features, before targets and penalty are chosen."""

    def __init__(self, features: torch.Tensor, weights: torch.Tensor) -> None:
        """Centre and weight a table.

        Args:
            features: Shape ``(n, F)``.
            weights: Not negative. Shape ``(n,)``.
        """
        self._share = (weights / weights.sum())[:, None]
        self._root = weights.sqrt()[:, None]
        self._mean = (self._share * features).sum(dim=0)
        self._x = self._root * (features - self._mean)
        self._tall = len(features) >= features.shape[1]
        self._gram = _product(self._x if self._tall else self._x.T)  # (k, k), k = min(n, F)
        self._unit = float(self._gram.diagonal().sum()) / features.shape[1] or 1.0

    def solve(self, targets: torch.Tensor, share: float) -> LinearMap:
        """Solve for one penalty, by Cholesky decomposition.

        Args:
            targets: Without NaN. Shape ``(n, H)``.
            share: The penalty, as a share of the features' mean weighted sum of squares.
        """
        mean, y = self._centre(targets)
        gram = self._gram.clone()
        gram.diagonal().add_(share * self._unit)
        factor = torch.linalg.cholesky(gram)
        cross = self._x.T @ y
        if self._tall:
            weight = torch.cholesky_solve(cross.double(), factor).to(cross)
        else:
            weight = self._x.T @ torch.cholesky_solve(y.double(), factor).to(cross)
        return self._map(weight, weight.T @ cross, mean)

    def path(self, targets: torch.Tensor, shares: Sequence[float]) -> Iterator[LinearMap]:
        """Solve for many penalties, from one eigendecomposition; one map at a time.

        Args:
            targets: Without NaN. Shape ``(n, H)``.
            shares: Penalties, as in :meth:`solve`.
        """
        mean, y = self._centre(targets)
        values, single = self._axes
        if self._tall:
            basis = single
            rotated = (single.T @ (self._x.T @ y)).double()
        else:
            # Gram = U S U', so the features' own directions are X' U / sqrt(S).
            root = values.clamp_min(1e-12 * float(values.max())).sqrt()
            basis = self._x.T @ (single / root.to(single))
            rotated = root[:, None] * (single.T @ y).double()
        for share in shares:
            shrunk = rotated / (values + share * self._unit)[:, None]
            moments = (rotated.T @ shrunk).to(basis)
            yield self._map(basis @ shrunk.to(basis), moments, mean)

    @cached_property
    def _axes(self) -> tuple[torch.Tensor, torch.Tensor]:
        values, vectors = torch.linalg.eigh(self._gram)
        return values.clamp_min(0), vectors.to(self._x)

    def _centre(self, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = (self._share * targets).sum(dim=0)
        return mean, self._root * (targets - mean)

    def _map(self, weight: torch.Tensor, moments: torch.Tensor, mean: torch.Tensor) -> LinearMap:
        return LinearMap(weight, mean - self._mean @ weight, moments, self._mean, mean)


def _product(table: torch.Tensor) -> torch.Tensor:
    """``table' table`` in double precision, summed over batches of rows."""
    total = torch.zeros(table.shape[1], table.shape[1], dtype=torch.float64, device=table.device)
    for batch in torch.split(table, _BATCH):
        total += batch.T @ batch
    return total
