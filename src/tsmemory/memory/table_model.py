"""Tables in, tables out: forecasts of a DataFrame, and why they are what they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tsmemory.memory.frames import FrameSeries, read_frame
from tsmemory.memory.fused_model import FusedModel
from tsmemory.memory.parts import QUANTILE_LEVELS
from tsmemory.memory.passes import Asked

if TYPE_CHECKING:  # what explains loads faiss, which no forecast needs
    from tsmemory.memory.explaining import Explanation
    from tsmemory.memory.training_windows import TrainingWindows


class TableModel(FusedModel):
    """A backbone with its memory that reads tables.

    Attributes:
        training_windows: What ``fit`` has made the memory from, for :meth:`explain`; ``None`` after
            loading. It is not saved, no forecast needs it, and ``None`` may be put there.
    """

    training_windows: "TrainingWindows | None" = None

    def predict_df(
        self,
        df: pd.DataFrame,
        *,
        id_column: str = "item_id",
        timestamp_column: str = "timestamp",
        target: str | Sequence[str] = "target",
        prediction_length: int | None = None,
        quantile_levels: Sequence[float] = QUANTILE_LEVELS,
        batch_size: int = 256,
        validate_inputs: bool = True,
        freq: str | None = None,
    ) -> pd.DataFrame:
        """Forecast the series of a long table, as chronos-forecasting's ``predict_df`` does.

        Args:
            df: The table, rows in any order; other columns are ignored.
            id_column: Column of identifiers. A table without the default one is a single series,
                which the answer calls ``series``.
            timestamp_column: Column of timestamps, with or without a zone.
            target: Column to forecast, or several, each forecast on its own, with the weights that
                the memory has for a column of that name.
            prediction_length: H, steps to forecast; the adapter's longest horizon if not given.
            quantile_levels: See :meth:`predict_quantiles`.
            batch_size: Series in one pass; the answer does not depend on it.
            validate_inputs: Without it the order of rows and their timestamps are not looked at:
                rows count as sorted by series and time, and as consecutive steps.
            freq: The step of all series; rows then count as consecutive steps whatever their
                timestamps. If not given it is inferred, and rows that lack become missing steps.

        Returns:
            Table ``<id>, <timestamp>, target_name, predictions`` (the median) and one column for
            each level, ordered by series (as they first appear), target and step.

        Raises:
            ForecasterError: As :meth:`predict_quantiles`, and for missing columns, unreadable
                values, duplicate or irregular timestamps.
        """
        horizon, levels = self._horizon(prediction_length), self._levels(quantile_levels)
        columns = (id_column, timestamp_column, target)
        series, asked = self._read(df, *columns, freq, checked=validate_inputs)
        forecast = self._forecast(asked, horizon, levels, batch_size, series.label)
        return series.answer(*forecast, quantile_levels)

    def explain(
        self,
        df: pd.DataFrame,
        *,
        id_column: str = "item_id",
        timestamp_column: str = "timestamp",
        target: str | Sequence[str] = "target",
        prediction_length: int | None = None,
        batch_size: int = 256,
        freq: str | None = None,
        training_windows: "TrainingWindows | str | Path | None" = None,
    ) -> "Explanation":
        """Say why the forecasts of a table are what they are.

        Args:
            df: The table; see :meth:`predict_df`, as for the next six.
            id_column: Column of identifiers.
            timestamp_column: Column of timestamps.
            target: Column that is forecast, or several.
            prediction_length: H, steps that are forecast.
            batch_size: Series in one pass.
            freq: The step of all series.
            training_windows: Where neighbours are looked for: those that ``fit`` has left if not
                given, the ``cache_folder`` of a fit, or a Kedro run's folder of its forecaster.

        Returns:
            Shares, gate and confidence of each series and target; and the nearest training windows
            that there are.

        Raises:
            ForecasterError: As :meth:`predict_df`; training windows that are not there, or are
                those of another forecaster.
        """
        from tsmemory.memory.explaining import Parts, explain_frame
        from tsmemory.memory.training_windows import TrainingWindows

        horizon = self._horizon(prediction_length)
        windows = self.training_windows if training_windows is None else training_windows
        if isinstance(windows, (str, Path)):
            windows = TrainingWindows.load(windows)
        series, asked = self._read(df, id_column, timestamp_column, target, freq)
        self._check(asked, horizon, batch_size, series.label)
        parts = Parts(self.backbone, self.adapter, self.fusion, self.series, windows)
        return explain_frame(parts, series, asked, horizon=horizon, batch_size=batch_size)

    def _read(
        self,
        df: pd.DataFrame,
        id_column: str,
        timestamp_column: str,
        target: str | Sequence[str],
        freq: str | None,
        *,
        checked: bool = True,
    ) -> tuple[FrameSeries, Asked]:
        """The series of a table, and the same as they are forecast."""
        series = read_frame(
            df,
            id_column=id_column,
            timestamp_column=timestamp_column,
            target=target,
            context_length=self.adapter.config.context_length,
            freq=freq,
            checked=checked,
        )
        origins = series.origins() if self.backbone.needs_origins else None
        return series, Asked(series.flat(), origins, series.items(), series.channels())
