"""What tsmemory asks of a frozen time-series foundation model."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tsmemory.backbones.pretraining_data import PretrainingData
from tsmemory.errors import UserError

Float = NDArray[np.float32]


class Origins(NamedTuple):
    """Where the contexts of a batch end: for backbones that look forecasts up.

    Attributes:
        items: Identifiers of the series, as strings. Shape ``(B,)``.
        channels: Names of the channels, as strings. Shape ``(B,)``.
        timestamps: Last step of each context, ``datetime64[ns]``. Shape ``(B,)``.
        loc: Contexts are ``(data - loc) / scale``, and answers are due in that unit.
            Shape ``(B,)``.
        scale: See ``loc``. Shape ``(B,)``.
    """

    items: NDArray[Any]
    channels: NDArray[Any]
    timestamps: NDArray[np.datetime64]
    loc: NDArray[np.float64]
    scale: NDArray[np.float64]


class BackboneOutput(NamedTuple):
    """Keys ``(B, d)`` and quantiles ``(B, Q, H)`` of one pass."""

    keys: Float
    quantiles: Float


@runtime_checkable
class Backbone(Protocol):
    """A frozen forecaster with quantiles and an embedding.

    Every method takes contexts ``(B, L)`` in any unit, NaN where missing, and answers row by row:
    the answer for one context does not depend on the others in its batch.

    Attributes:
        name: What reports call it.
        fingerprint: Digest of weights and settings; artefacts are tied to it.
        quantile_levels: Levels of its quantiles, ascending, the median among them.
        context_length: The most steps of context it reads; earlier ones are ignored.
        native_horizon: Steps it forecasts in one pass; longer horizons are rolled out.
        licence: Licence of the weights.
        pretraining_data: What it was trained on, so that contaminated benchmarks can be named.
        needs_origins: Whether it must be told where contexts end; others ignore it.
    """

    name: str
    fingerprint: str
    quantile_levels: tuple[float, ...]
    context_length: int
    native_horizon: int
    licence: str
    pretraining_data: PretrainingData
    needs_origins: bool

    def predict_quantiles(
        self, contexts: Float, horizon: int, *, origins: Origins | None = None
    ) -> Float:
        """Quantile forecasts, ascending over levels. Shape ``(B, Q, H)``."""
        ...

    def embed(self, contexts: Float) -> Float:
        """One embedding for each context. Shape ``(B, d)``."""
        ...

    def encode_and_predict(
        self, contexts: Float, horizon: int, *, origins: Origins | None = None
    ) -> BackboneOutput:
        """Embeddings and quantiles from one pass."""
        ...


class BackboneError(UserError):
    """A backbone that cannot be found, read or used as asked."""
