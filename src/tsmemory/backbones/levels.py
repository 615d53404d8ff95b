"""Quantiles at levels other than those that a model forecasts."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from tsmemory.backbones.protocol import Backbone, BackboneError, BackboneOutput, Float, Origins
from tsmemory.errors import UserError
from tsmemory.fingerprint import digest

logger = logging.getLogger(__name__)


def check_levels(
    levels: Sequence[float],
    native: tuple[float, ...],
    error: type[UserError] = BackboneError,
) -> tuple[float, ...]:
    """Return the levels asked for as numbers; warn once if the outermost native ones stand in.

    Args:
        levels: Levels asked for, in any order.
        native: Levels that are forecast, ascending.
        error: What to raise.

    Raises:
        UserError: A level that does not lie strictly between 0 and 1.
    """
    wanted = tuple(float(level) for level in levels)
    wrong = [level for level in wanted if not 0 < level < 1]
    if wrong:
        raise error(f"quantile levels must lie between 0 and 1, got {wrong}")
    outside = [level for level in wanted if not native[0] <= level <= native[-1]]
    if outside:
        logger.warning(
            "Quantile levels %s lie outside those that the backbone forecasts (%g to %g); "
            "the nearest of these is returned for them",
            outside,
            native[0],
            native[-1],
        )
    return wanted


def at_levels(quantiles: Float, native: tuple[float, ...], wanted: tuple[float, ...]) -> Float:
    """Interpolate quantiles linearly between adjacent levels, constant outside them.

    Args:
        quantiles: Ascending over levels. Shape ``(B, Q, H)``.
        native: Their levels, ascending.
        wanted: Levels asked for, in any order.

    Returns:
        Quantiles at ``wanted``, not decreasing in the level; at a native level they are
        those given, bit for bit. Shape ``(B, len(wanted), H)``.
    """
    if wanted == native:
        return quantiles
    grid = np.asarray(native)
    level = np.clip(np.asarray(wanted, dtype=np.float64), grid[0], grid[-1])
    below = np.searchsorted(grid, level, side="right") - 1
    above = np.minimum(below + 1, len(grid) - 1)
    gap = np.where(above > below, grid[above] - grid[below], 1.0)
    share = ((level - grid[below]) / gap).astype(np.float32)[:, None]
    low, high = quantiles[:, below], quantiles[:, above]
    # The minimum undoes a last rounding that would step over the next level.
    return np.asarray(np.minimum(low + share * (high - low), high), dtype=np.float32)


class AtLevels:
    """A backbone whose quantiles are interpolated to other levels; all else is its own.

    The levels are chosen here, right behind the model, so that the adapter, the fusion and the
    scores of every backbone are about the same levels and their tables compare.
    """

    def __init__(self, backbone: Backbone, levels: Sequence[float]) -> None:
        """Choose the levels.

        Args:
            backbone: The backbone.
            levels: Levels, ascending, the median among them.

        Raises:
            BackboneError: Levels that are not like that.
        """
        wanted = check_levels(levels, backbone.quantile_levels)
        if list(wanted) != sorted(set(wanted)) or 0.5 not in wanted:
            raise BackboneError(
                f"quantile levels must increase and hold 0.5, the point forecast, got {wanted}"
            )
        self.inner = backbone
        self.name = backbone.name
        self.fingerprint = digest({"backbone": backbone.fingerprint, "levels": wanted})
        self.quantile_levels = wanted
        self.context_length = backbone.context_length
        self.native_horizon = backbone.native_horizon
        self.licence = backbone.licence
        self.pretraining_data = backbone.pretraining_data
        self.needs_origins = backbone.needs_origins

    def __getattr__(self, name: str) -> Any:
        """Whatever else the backbone has: its device, its table of forecasts."""
        return getattr(vars(self).get("inner"), name)

    def predict_quantiles(
        self, contexts: Float, horizon: int, *, origins: Origins | None = None
    ) -> Float:
        """Quantile forecasts, ascending over levels. Shape ``(B, Q, H)``."""
        quantiles = self.inner.predict_quantiles(contexts, horizon, origins=origins)
        return at_levels(quantiles, self.inner.quantile_levels, self.quantile_levels)

    def embed(self, contexts: Float) -> Float:
        """One embedding for each context. Shape ``(B, d)``."""
        return self.inner.embed(contexts)

    def encode_and_predict(
        self, contexts: Float, horizon: int, *, origins: Origins | None = None
    ) -> BackboneOutput:
        """Embeddings and quantiles from one pass."""
        keys, native = self.inner.encode_and_predict(contexts, horizon, origins=origins)
        return BackboneOutput(
            keys, at_levels(native, self.inner.quantile_levels, self.quantile_levels)
        )
