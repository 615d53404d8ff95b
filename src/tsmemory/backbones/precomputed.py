"""Forecasts that were made elsewhere, as a backbone: a vendor's interface, a spreadsheet."""

from pathlib import Path

from tsmemory.backbones.forecast_table import (
    ForecastTable,
    missing_origins,
    read_forecast_table,
    table_fingerprint,
)
from tsmemory.backbones.plain_embedding import plain_embedding
from tsmemory.backbones.pretraining_data import PretrainingData, known_pretraining
from tsmemory.backbones.protocol import BackboneError, BackboneOutput, Float, Origins
from tsmemory.series.series_set import Int

UNNAMED = "precomputed"
_UNSAID = "not stated"


class Precomputed:
    """Looks the forecasts of a table up by series, channel and cutoff.

    The fingerprint is that of the file, so that nothing made from another file is ever reused. What
    a saved forecaster is tied to is the model behind the file: its ``name`` and its levels. The
    name is the ``model`` that the file's attributes state, and ``precomputed`` where they state
    none; files of forecasts of new cutoffs then fit as long as they say the same.

    Attributes:
        table: The forecasts.
        native_horizon: The longest horizon of the table; there is no roll-out.
    """

    context_length = 1 << 20
    needs_origins = True

    def __init__(self, table: ForecastTable, fingerprint: str) -> None:
        self.table = table
        self.fingerprint = fingerprint
        self.name = str(table.about.get("model", UNNAMED))
        self.licence = str(table.about.get("licence", _UNSAID))
        self.pretraining_data = _pretraining_data(table, self.name)
        self.quantile_levels = table.levels
        self.native_horizon = int(table.quantiles.shape[2])

    @classmethod
    def from_pretrained(cls, source: str | Path) -> "Precomputed":
        """Read a table of forecasts; see :func:`~.forecast_table.read_forecast_table`."""
        table = read_forecast_table(source)
        return cls(table, table_fingerprint(source))

    def check_origins(self, origins: Origins, horizon: int) -> Int:
        """Find the forecasts that will be asked for.

        Args:
            origins: All that will be looked up. ``loc`` and ``scale`` do not matter.
            horizon: H, steps.

        Returns:
            Position of each in the table. Shape ``(B,)``.

        Raises:
            BackboneError: The table does not reach that far, or lacks some.
        """
        if horizon > self.native_horizon:
            raise BackboneError(
                f"{self.table.path} holds forecasts of {self.native_horizon} steps, {horizon} are "
                "asked for, and they cannot be rolled out: shorten the horizon "
                "(windowing.horizons, prediction_length) or forecast further"
            )
        found = self.table.positions(origins)
        if (missing := found < 0).any():
            raise BackboneError(
                f"{self.table.path} lacks {missing.sum()} of the {len(found)} forecasts that are "
                f"asked for: {missing_origins(origins, missing)}. It holds "
                f"{self.table.describe()}. The dataset forecast_origins lists all that a run needs"
            )
        return found

    def predict_quantiles(
        self, contexts: Float, horizon: int, *, origins: Origins | None = None
    ) -> Float:
        """Quantile forecasts, ascending over levels. Shape ``(B, Q, H)``."""
        if origins is None:
            raise BackboneError(
                f"forecasts from {self.table.path} are looked up by series and time, which bare "
                "contexts do not tell: pass origins, or forecast a table (predict_df)"
            )
        chosen = self.table.quantiles[self.check_origins(origins, horizon), :, :horizon]
        unit = (chosen - origins.loc[:, None, None]) / origins.scale[:, None, None]
        return unit.astype("float32")

    def embed(self, contexts: Float) -> Float:
        """The instance-normalised context, averaged down to 64 values. Shape ``(B, 64)``."""
        return plain_embedding(contexts)

    def encode_and_predict(
        self, contexts: Float, horizon: int, *, origins: Origins | None = None
    ) -> BackboneOutput:
        """Embeddings and quantiles."""
        quantiles = self.predict_quantiles(contexts, horizon, origins=origins)
        return BackboneOutput(self.embed(contexts), quantiles)


def _pretraining_data(table: ForecastTable, name: str) -> PretrainingData:
    """What the file says of its model's training data, else what is known of that model."""
    said = table.about.get("pretraining_data")
    if said is None:
        return known_pretraining(name) or PretrainingData(_UNSAID, None)
    datasets = table.about.get("pretraining_datasets")
    return PretrainingData(str(said), None if datasets is None else frozenset(map(str, datasets)))
