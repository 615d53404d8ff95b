"""The seasonal-naive forecast as a backbone: the reference that every model must beat."""

from statistics import NormalDist

import numpy as np

from tsmemory.backbones.plain_embedding import plain_embedding
from tsmemory.backbones.pretraining_data import PretrainingData
from tsmemory.backbones.protocol import BackboneOutput, Float, Origins
from tsmemory.fingerprint import digest
from tsmemory.metrics import seasonal_naive


class SeasonalNaive:
    """Repeats the last season; its spread grows with the number of seasons ahead.

    The quantiles are Gaussian around the repeated season with variance ``k * s^2`` in the k-th
    season ahead, ``s`` being the root mean square of the context's seasonal differences
    (Hyndman & Athanasopoulos, Forecasting, section 5.5).
    """

    name = "seasonal_naive"
    licence = "Apache-2.0"
    pretraining_data = PretrainingData("none: it is not trained", frozenset())
    needs_origins = False
    quantile_levels = tuple(round(level / 10, 1) for level in range(1, 10))
    context_length = 1 << 20
    native_horizon = 1 << 20

    def __init__(self, season: int) -> None:
        self.season = season
        self.fingerprint = digest({"backbone": self.name, "season": season})
        self._normal = np.array([NormalDist().inv_cdf(q) for q in self.quantile_levels])

    def predict_quantiles(
        self, contexts: Float, horizon: int, *, origins: Origins | None = None
    ) -> Float:
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
        return plain_embedding(contexts)

    def encode_and_predict(
        self, contexts: Float, horizon: int, *, origins: Origins | None = None
    ) -> BackboneOutput:
        """Embeddings and quantiles."""
        return BackboneOutput(self.embed(contexts), self.predict_quantiles(contexts, horizon))


def _spread(contexts: Float, lag: int) -> Float:
    """Root mean square of the observed differences at a lag, 0 where none is. Shape ``(B,)``."""
    square = (contexts[:, lag:] - contexts[:, :-lag]) ** 2
    seen = ~np.isnan(square)
    total = np.where(seen, square, 0).sum(axis=1)
    return np.asarray(np.sqrt(total / np.maximum(seen.sum(axis=1), 1)), dtype=np.float32)
