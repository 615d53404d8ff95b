"""New tables for a forecaster, looked through one at a time before any is forecast."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.forecaster import MemoryForecaster
from tsmemory.memory.frames import ID_COLUMN
from tsmemory.progress import track
from tsmemory.series.errors import about_file, columns_found, first_of
from tsmemory.series.layout import to_long
from tsmemory.series.partitions import Partition, Partitions
from tsmemory.series.regularise import Duplicates, OffGrid, regularise
from tsmemory.series.regularise import logger as repairs_log
from tsmemory.series.series_set import Int

SURVEY = (
    *("table", "rows", "series", "freq", "first_end", "last_end"),
    *("forecasts", "new", "incomplete", "skipped", "repairs"),
)
SKIPPED = ("table", "item_id", "target_name", "reason")


@dataclass(frozen=True)
class Reading:
    """How columns and timestamps are read; see :class:`tsmemory.series` for each.

    Attributes:
        timestamp_column: ``None`` finds it.
        item_id_column: ``None`` takes ``item_id``; without one a file is a single series.
        target_columns: ``None`` takes those that the memory knows.
        freq: Step of the grid; ``None`` infers it from each table.
        duplicates: What becomes of repeated timestamps.
        off_grid: What becomes of timestamps beside the grid.
    """

    timestamp_column: str | None = None
    item_id_column: str | None = None
    target_columns: tuple[str, ...] | None = None
    freq: str | None = None
    duplicates: Duplicates = "error"
    off_grid: OffGrid = "error"

    def to_json(self) -> dict[str, Any]:
        """Plain values, for fingerprints."""
        return asdict(self)


@dataclass(frozen=True)
class NewTable:
    """One table on its grid.

    Attributes:
        panel: ``item_id, timestamp, <targets>``, regular, NaN where missing, series by series.
        freq: The step.
        targets: The columns to forecast.
        repairs: What it took to make it regular, in sentences.
        first: First row of each series, and the number of rows. Shape ``(S + 1,)``.
        observed: Values in the last L steps of each series. Shape ``(S, targets)``.
    """

    panel: pd.DataFrame
    freq: str
    targets: tuple[str, ...]
    repairs: tuple[str, ...]
    first: Int
    observed: Int

    @property
    def items(self) -> NDArray[Any]:
        """Identifier of each series. Shape ``(S,)``."""
        return np.asarray(self.panel["item_id"].to_numpy()[self.first[:-1]])

    @property
    def ends(self) -> pd.Series:
        """Last timestamp of each series. Shape ``(S,)``."""
        return self.panel["timestamp"].iloc[self.first[1:] - 1]


@dataclass(frozen=True)
class Survey:
    """What new tables hold.

    Attributes:
        tables: A line for each, with the columns :data:`SURVEY`: ``first_end`` and ``last_end`` are
            the earliest and latest last timestamp of a series; forecasts, those of them of series
            that are new to the memory, or whose context is not whole, and those that cannot be
            made, are counted by series and target.
        skipped: A line for each series and target that cannot be forecast, with the reason.
    """

    tables: pd.DataFrame
    skipped: pd.DataFrame


@contextmanager
def filtered(
    loggers: Sequence[logging.Logger], passes: Callable[[logging.LogRecord], bool]
) -> Iterator[None]:
    """Let loggers say only some of what they would say once for each of many tables."""
    for each in loggers:
        each.addFilter(passes)
    try:
        yield
    finally:
        for each in loggers:
            each.removeFilter(passes)


class NewTables:
    """Reads tables for a forecaster, the latest of which is kept."""

    def __init__(
        self, partitions: Partitions, forecaster: MemoryForecaster, reading: Reading
    ) -> None:
        """Name the tables; none is read yet.

        Args:
            partitions: The files.
            forecaster: What is to forecast them.
            reading: How they are read.
        """
        self.partitions = partitions
        self.forecaster = forecaster
        self._reading = reading
        self._latest: tuple[str, NewTable] | None = None

    def read(self, file: Partition) -> NewTable:
        """Read a table and lay it on its grid.

        Raises:
            IngestionError: It cannot be read, with the file named; see
                :func:`tsmemory.series.layout.to_long` and
                :func:`tsmemory.series.regularise.regularise`.
            ForecasterError: It holds none of the columns that the memory knows.
        """
        if self._latest is None or self._latest[0] != file.name:
            self._latest = None  # before the next one takes its memory
            self._latest = (file.name, self._read(file))
        return self._latest[1]

    def survey(self) -> Survey:
        """Look all tables through, so that what cannot be forecast is said before any work.

        Raises:
            IngestionError, ForecasterError: As :meth:`read`; a series in two files; tables of
                different steps, or of other ones than the memory's; nothing to forecast at all.
        """
        lines: list[dict[str, Any]] = []
        skipped: list[dict[str, Any]] = []
        home: dict[str, str] = {}
        for file in track(self.partitions.files, "Looking new tables through"):
            table = self.read(file)
            self._refuse_other_steps(file, table, lines[0] if lines else None)
            _refuse_split_series(file, table, home)
            lines.append(self._line(file, table))
            skipped += self._skipped(file, table)
        if not sum(line["forecasts"] for line in lines):
            raise ForecasterError(
                f"{self.partitions.path}: nothing to forecast, {skipped[0]['reason']} of any series"
            )
        return Survey(
            pd.DataFrame(lines, columns=list(SURVEY)), pd.DataFrame(skipped, columns=list(SKIPPED))
        )

    def _read(self, file: Partition) -> NewTable:
        reading, raw = self._reading, file.read()
        columns = [str(column) for column in raw.columns]
        with about_file(file.path):
            targets = reading.target_columns or self._known_targets(file, columns)
            long, _ = to_long(
                raw,
                path=file.path,
                timestamp_column=reading.timestamp_column,
                item_id_column=reading.item_id_column,
                target_columns=targets,
            )
            with filtered((repairs_log,), lambda _: False):  # the survey has them, table by table
                panel, freq, repairs = regularise(
                    long,
                    freq=reading.freq,
                    duplicates=reading.duplicates,
                    off_grid=reading.off_grid,
                )
        if reading.item_id_column is None and ID_COLUMN not in columns:
            panel["item_id"] = self._only_series() or panel["item_id"]
        code = pd.factorize(panel["item_id"])[0]
        first = np.append(np.flatnonzero(np.diff(code, prepend=-1)), len(code))
        return NewTable(
            panel, freq, targets, repairs.warnings, first, self._observed(panel, targets, first)
        )

    def _known_targets(self, file: Partition, columns: Sequence[str]) -> tuple[str, ...]:
        """The memory's columns, as far as the table has them."""
        known = tuple(dict.fromkeys(self.forecaster.series.channel))
        found = tuple(name for name in known if name in columns)
        if not found:
            raise ForecasterError(
                f"{file.path}: the forecaster does not fit: it was made from {_listed(known)} of "
                f"the domain {self.forecaster.domain!r}, none of which is here; "
                f"{columns_found(columns)}. Choose the domain (`domain=<name>`) or the forecaster "
                "(`forecasting.artefact=<folder>`) that was made from such tables, or name the "
                "columns to forecast in ingestion.target_columns"
            )
        return found

    def _only_series(self) -> str | None:
        """The series that a single file without identifiers stands for, if there is but one."""
        known = set(self.forecaster.series.item_id)
        return known.pop() if len(known) == 1 and len(self.partitions.files) == 1 else None

    def _observed(self, panel: pd.DataFrame, targets: Sequence[str], first: Int) -> Int:
        """Values in the last L steps. Shape ``(S, targets)``."""
        length = self.forecaster.adapter.config.context_length
        there = panel[list(targets)].notna().to_numpy()
        count = np.vstack([np.zeros((1, len(targets)), np.int64), there.cumsum(axis=0)])
        begin = np.maximum(first[:-1], first[1:] - length)
        return np.asarray(count[first[1:]] - count[begin])

    def _refuse_other_steps(
        self, file: Partition, table: NewTable, before: dict[str, Any] | None
    ) -> None:
        """Raise if tables step differently, or not as what the memory was made from."""
        if before is not None and before["freq"] != table.freq:
            raise ForecasterError(
                f"{file.path}: its rows are {table.freq} apart, those of {before['table']} "
                f"{before['freq']}; forecast tables of different steps apart"
            )
        known = self.forecaster.series.freq
        if known not in (None, table.freq):
            raise ForecasterError(
                f"{file.path}: the forecaster does not fit: it was made from series that step by "
                f"{known}, here rows are {table.freq} apart; choose a forecaster that was made "
                "from such tables, or correct ingestion.freq"
            )

    def _line(self, file: Partition, table: NewTable) -> dict[str, Any]:
        """A table in the survey."""
        length = self.forecaster.adapter.config.context_length
        series = self.forecaster.series
        pairs = set(zip(series.item_id, series.channel, strict=True))
        new = np.array(
            [[(str(item), name) not in pairs for name in table.targets] for item in table.items]
        )
        possible = table.observed > 0
        return {
            "table": file.name,
            "rows": len(table.panel),
            "series": len(table.items),
            "freq": table.freq,
            "first_end": table.ends.min().isoformat(),
            "last_end": table.ends.max().isoformat(),
            "forecasts": int(possible.sum()),
            "new": int((possible & new).sum()),
            "incomplete": int((possible & (table.observed < length)).sum()),
            "skipped": int((~possible).sum()),
            "repairs": "; ".join(table.repairs),
        }

    def _skipped(self, file: Partition, table: NewTable) -> list[dict[str, Any]]:
        """Series and targets that hold nothing to forecast from."""
        length = self.forecaster.adapter.config.context_length
        reason = f"no observed value in the last {length} steps"
        return [
            {
                "table": file.name,
                "item_id": str(table.items[item]),
                "target_name": table.targets[target],
                "reason": reason,
            }
            for item, target in np.argwhere(table.observed == 0)
        ]


def _refuse_split_series(file: Partition, table: NewTable, home: dict[str, str]) -> None:
    """Raise if a series began in an earlier file; note where those of this one are."""
    items = [str(item) for item in table.items]
    again = [item for item in items if item in home]
    if again:
        shown = first_of((f"{item!r} (also in {home[item]})" for item in again), len(again))
        raise ForecasterError(
            f"{file.path}: series {shown}: a series has to be in one file, since files are "
            "forecast one at a time; join the files, or name the column that tells series apart in "
            "ingestion.item_id_column"
        )
    home.update(dict.fromkeys(items, file.name))


def _listed(names: Sequence[str]) -> str:
    return f"column(s) {first_of(map(repr, names), len(names))}"
