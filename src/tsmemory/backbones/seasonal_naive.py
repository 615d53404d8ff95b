"""The seasonal-naive forecast as a backbone: the reference that every model must beat."""

from statistics import NormalDist

import numpy as np

from tsmemory.backbones.protocol import BackboneOutput, Float
from tsmemory.fingerprint import digest
from tsmemory.metrics import seasonal_naive

_KEY_SIZE = 64


class SeasonalNaive:
    """Repeats the last season; its spread grows with the number of seasons ahead.

    The quantiles are Gaussian around the repeated season with variance ``k * s^2`` in the k-th
    season ahead, ``s`` being the root mean square of the context's seasonal differences
    (Hyndman & Athanasopoulos, Forecasting, section 5.5).
    """

    name = "seasonal_naive"
    licence = "Apache-2.0"
    pretraining_data = "none"
    quantile_levels = tuple(round(level / 10, 1) for level in range(1, 10))
    context_length = 1 << 20
    native_horizon = 1 << 20

    def __init__(self, season: int) -> None:
        self.season = season
        self.fingerprint = digest({"backbone": self.name, "season": season})
        self._normal = np.array([NormalDist().inv_cdf(q) for q in self.quantile_levels])

    def predict_quantiles(self, contexts: Float, horizon: int) -> Float:
        """Quantile forecasts, ascending over levels. Shape ``(B, Q, H)``."""
        point = seasonal_naive(contexts, horizon, self.season)
        observed = ~np.isnan(contexts)
        history = np.where(observed.any(axis=1), contexts.shape[1] - observed.argmax(axis=1), 0)
        # As in the point forecast, missing steps on the left are no history.
        seasonal = history > self.season
        lag = np.where(seasonal, self.season, 1)[:, None]
        spread = np.where(seasonal, _spread(contexts, self.season), _spread(contexts, 1))
        growth = np.sqrt(np.arange(horizon) // lag + 1)
        band = self._normal[:, None] * (spread[:, None] * growth)[:, None, :]
        return np.asarray(point[:, None, :] + band, dtype=np.float32)

    def embed(self, contexts: Float) -> Float:
        """The instance-normalised context, averaged down to 64 values. Shape ``(B, 64)``."""
        seen = ~np.isnan(contexts)
        count = np.maximum(seen.sum(axis=1, keepdims=True), 1)
        loc = np.where(seen, contexts, 0).sum(axis=1, keepdims=True) / count
        centred = np.where(seen, contexts - loc, 0)
        scale = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
        normal = centred / np.where(scale > 0, scale, 1.0)
        size = min(_KEY_SIZE, normal.shape[1])
        edges = np.linspace(0, normal.shape[1], size + 1).astype(int)[:-1]
        width = np.diff(np.append(edges, normal.shape[1]))
        return np.asarray(np.add.reduceat(normal, edges, axis=1) / width, dtype=np.float32)

    def encode_and_predict(self, contexts: Float, horizon: int) -> BackboneOutput:
        """Embeddings and quantiles."""
        return BackboneOutput(self.embed(contexts), self.predict_quantiles(contexts, horizon))


def _spread(contexts: Float, lag: int) -> Float:
    """Root mean square of the observed differences at a lag, 0 where none is. Shape ``(B,)``."""
    square = (contexts[:, lag:] - contexts[:, :-lag]) ** 2
    seen = ~np.isnan(square)
    total = np.where(seen, square, 0).sum(axis=1)
    return np.asarray(np.sqrt(total / np.maximum(seen.sum(axis=1), 1)), dtype=np.float32)
