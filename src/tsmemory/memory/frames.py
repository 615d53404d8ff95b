"""Tables in, tables out: the series of a long table as contexts, forecasts as a long table.

Columns, order and types of the answer are those of chronos-forecasting's ``predict_df``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.backbones import Origins
from tsmemory.memory.clock import Clock
from tsmemory.memory.contexts import Real
from tsmemory.memory.origins import raw_origins
from tsmemory.memory.rows import ID_COLUMN, Rows, read_rows
from tsmemory.series.series_set import Float

__all__ = ["ID_COLUMN", "FrameSeries", "lay_contexts", "read_frame", "target_names"]


@dataclass(frozen=True)
class FrameSeries:
    """The series of a table, in the order in which they first appear.

    Attributes:
        contexts: Last L steps of each target, NaN where missing. Shape ``(S, targets, L)``.
        item_id: Identifier of each series. Shape ``(S,)``.
        targets: Names of the target columns.
        last: When each series ends. Shape ``(S,)``.
        freq: The step, as pandas writes it.
        id_column: Name of the identifier column.
        timestamp_column: Name of the timestamp column.
        is_single: Whether the table has no identifiers, being a single series.
    """

    contexts: Real
    item_id: NDArray[Any]
    targets: tuple[str, ...]
    last: Clock
    freq: str
    id_column: str
    timestamp_column: str
    is_single: bool

    def flat(self) -> Real:
        """Contexts of all series and targets, in that order. Shape ``(S * targets, L)``."""
        return self.contexts.reshape(-1, self.contexts.shape[2])

    def label(self, position: int) -> str:
        """What a message calls the context at a position of the flattened contexts."""
        item, target = divmod(position, len(self.targets))
        name = f"item {self.item_id[item]!r}"
        return f"{name}, target {self.targets[target]!r}" if len(self.targets) > 1 else name

    def origins(self) -> Origins:
        """Where the flattened contexts end, their values being in the table's own unit."""
        return raw_origins(self.item_id, self.targets, self.last.times.to_numpy())

    def items(self) -> NDArray[np.str_] | None:
        """Identifier of each context; ``None`` if the table has none. Shape ``(S * targets,)``."""
        if self.is_single:
            return None
        return np.repeat(self.item_id.astype(str), len(self.targets))

    def channels(self) -> NDArray[np.str_]:
        """Target of each context. Shape ``(S * targets,)``."""
        return np.tile(self.targets, len(self.item_id))

    def answer(self, quantiles: Float, median: Float, levels: Sequence[float]) -> pd.DataFrame:
        """Lay forecasts out as a table, ordered by series, target and step.

        Args:
            quantiles: Shape ``(S * targets, H, len(levels))``.
            median: Shape ``(S * targets, H)``.
            levels: Quantile levels; a column is named by ``str(level)``.

        Returns:
            Table ``<id>, <timestamp>, target_name, predictions, <levels>``.
        """
        count, horizon = len(self.targets), median.shape[1]
        each = np.repeat(np.arange(len(self.item_id)), count)
        stamps = self.last.future(self.freq, horizon)[each].ravel()
        columns: dict[str, Any] = {
            self.id_column: np.repeat(self.item_id[each], horizon),
            self.timestamp_column: self.last.restore(pd.DatetimeIndex(stamps)),
            "target_name": np.tile(np.repeat(self.targets, horizon), len(self.item_id)),
            "predictions": median.ravel(),
        }
        for number, level in enumerate(levels):
            columns[str(level)] = quantiles[:, :, number].ravel()
        return pd.DataFrame(columns)


def target_names(target: str | Sequence[str]) -> list[str]:
    """The target columns that a user names."""
    return [target] if isinstance(target, str) else list(target)


def read_frame(
    df: pd.DataFrame,
    *,
    id_column: str,
    timestamp_column: str,
    target: str | Sequence[str],
    context_length: int,
    freq: str | None,
    checked: bool = True,
) -> FrameSeries:
    """Take the series out of a long table.

    Args:
        df: See :func:`tsmemory.memory.rows.read_rows`, as the next two.
        id_column: Column of identifiers.
        timestamp_column: Column of timestamps.
        target: Column of numbers, or several.
        context_length: L, steps kept of each series.
        freq: The step; ``None`` infers it.
        checked: Whether order and regularity are looked at.

    Returns:
        The series.

    Raises:
        ForecasterError: A table that cannot be read.
    """
    targets = target_names(target)
    rows = read_rows(
        df,
        id_column=id_column,
        timestamp_column=timestamp_column,
        targets=targets,
        freq=freq,
        checked=checked,
    )
    return FrameSeries(
        contexts=lay_contexts(rows, context_length),
        item_id=rows.item_id,
        targets=tuple(targets),
        last=rows.last,
        freq=rows.freq,
        id_column=id_column,
        timestamp_column=timestamp_column,
        is_single=rows.is_single,
    )


def lay_contexts(rows: Rows, length: int) -> Real:
    """The last ``length`` steps of each series, NaN where missing. ``(S, targets, length)``."""
    shape = (len(rows.item_id), rows.values.shape[1], length)
    recent = rows.back < length
    code, back, values = (a[recent] for a in (rows.code, rows.back, rows.values))
    contexts = np.full(shape, np.nan)
    contexts[code, :, length - 1 - back] = values
    return contexts
