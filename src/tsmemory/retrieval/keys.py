"""Keys: what windows are compared by (METHOD 1.2)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tsmemory.backbones import Backbone

Float = NDArray[np.float32]
KeyKind = Literal["embedding", "window"]


def make_keys(contexts: Float, backbone: Backbone, kind: KeyKind) -> Float:
    """Keys of contexts.

    Args:
        contexts: Contexts, NaN where missing. Shape ``(B, L)``.
        backbone: Asked for its embedding when ``kind`` is ``"embedding"``.
        kind: ``"embedding"`` or ``"window"`` (the instance-normalised context itself).

    Returns:
        Keys of shape ``(B, d)``, not yet scaled.
    """
    if kind == "embedding":
        return backbone.embed(contexts)
    return window_keys(contexts)


def window_keys(contexts: Float) -> Float:
    """The instance-normalised contexts; missing steps count as the mean. Shape ``(B, L)``."""
    seen = ~np.isnan(contexts)
    count = np.maximum(seen.sum(axis=1, keepdims=True), 1)
    mean = np.where(seen, contexts, 0).sum(axis=1, keepdims=True) / count
    centred = np.where(seen, contexts - mean, 0)
    scale = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    return np.asarray(centred / np.where(scale > 0, scale, 1), dtype=np.float32)


@dataclass(frozen=True)
class KeyScaler:
    """Centres keys and scales them to unit mean square, so that one temperature serves every kind.

    Attributes:
        mean: Mean key of the datastore. Shape ``(d,)``.
        scale: Root mean squared norm of the centred keys.
    """

    mean: Float
    scale: float

    @classmethod
    def fit(cls, keys: Float) -> "KeyScaler":
        """Fit on the keys of the datastore, shape ``(n, d)``."""
        mean = keys.mean(axis=0, dtype=np.float64)
        power = float(np.mean(((keys - mean) ** 2).sum(axis=1)))
        return cls(mean=mean.astype(np.float32), scale=float(np.sqrt(power)) or 1.0)

    def __call__(self, keys: Float) -> Float:
        """Scaled keys, shape ``(n, d)``."""
        return np.ascontiguousarray((keys - self.mean) / np.float32(self.scale), dtype=np.float32)
