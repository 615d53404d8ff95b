"""Forecasts of many tables, of which one is held at a time, with a piece of its forecasts."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tsmemory.backbones.levels import logger as levels_log
from tsmemory.fingerprint import digest, digest_arrays
from tsmemory.memory import contexts, known_series
from tsmemory.memory.forecaster import MemoryForecaster
from tsmemory.memory.new_tables import NewTable, NewTables, Reading, filtered
from tsmemory.scaleout.config import IN_THIS_PROCESS, ShardsConfig
from tsmemory.scaleout.shards import Arrays, ShardCache, map_shards
from tsmemory.series.partitions import Partition, Partitions

ENDING = ".parquet"
COLUMNS = ("item_id", "timestamp", "target_name", "predictions")


class Piece(NamedTuple):
    """A few series of a table: those from ``first`` up to ``last``, which is not one of them."""

    file: Partition
    first: int
    last: int


@dataclass(frozen=True)
class ForecastPiece:
    """Forecasts the series of a piece; targets without a value are left out.

    Attributes:
        tables: Reads them, and keeps the latest: pieces of one table come one after the other.
        horizon: H, steps to forecast.
        levels: Quantile levels.
        batch_size: Series in one pass.
        said: What it has logged, which pieces need not repeat; each process has its own.
    """

    tables: NewTables
    horizon: int
    levels: tuple[float, ...]
    batch_size: int
    said: set[str] = field(default_factory=set)

    @property
    def device(self) -> str:
        """Torch device that forecasts."""
        return str(self.tables.forecaster.adapter.device)

    def __call__(self, piece: Piece) -> Arrays:
        """Forecast some series.

        Returns:
            ``item_id, target_name`` of shape ``(P,)``, ``timestamp, predictions`` of ``(P, H)`` and
            ``quantiles`` of ``(P, H, Q)``.
        """
        with _said_once(self.said):
            answers = self._answers(self.tables.read(piece.file), piece)
        if not answers:
            return {name: np.empty(0, dtype=str) for name in ("item_id", "target_name")}
        whole = pd.concat(answers).sort_values("place", kind="stable")
        each = whole.iloc[:: self.horizon]
        names = [str(level) for level in self.levels]
        stamps = whole["timestamp"].to_numpy().astype("datetime64[ns]")
        values = whole["predictions"].to_numpy(np.float32)
        return {
            "item_id": each["item_id"].to_numpy(dtype=str),
            "target_name": each["target_name"].to_numpy(dtype=str),
            "timestamp": stamps.reshape(-1, self.horizon),
            "predictions": values.reshape(-1, self.horizon),
            "quantiles": whole[names].to_numpy(np.float32).reshape(-1, self.horizon, len(names)),
        }

    def _answers(self, table: NewTable, piece: Piece) -> list[pd.DataFrame]:
        """Series are asked about together where they have the same targets: usually all of them."""
        possible = table.observed[piece.first : piece.last] > 0
        answers = []
        for which in np.unique(possible[possible.any(axis=1)], axis=0):
            chosen = piece.first + np.flatnonzero((possible == which).all(axis=1))
            rows = np.concatenate([np.arange(table.first[i], table.first[i + 1]) for i in chosen])
            answer = self.tables.forecaster.predict_df(
                table.panel.iloc[rows],
                target=[name for name, wanted in zip(table.targets, which, strict=True) if wanted],
                prediction_length=self.horizon,
                quantile_levels=self.levels,
                batch_size=self.batch_size,
                freq=table.freq,
            )
            place = np.repeat(chosen, int(which.sum()) * self.horizon)
            answers.append(answer.assign(place=place))
        return answers


@dataclass(frozen=True)
class ForecastTables:
    """Forecasts, one table for each new table, read when they are asked for.

    Attributes:
        parts: What reads the parts of each table, in order, by the table's name.
    """

    parts: Mapping[str, Sequence[Callable[[], pd.DataFrame]]]

    def read(self, name: str) -> pd.DataFrame:
        """One table: ``item_id, timestamp, target_name, predictions, <levels>``."""
        return pd.concat([part() for part in self.parts[name]], ignore_index=True)

    def head(self, rows: int) -> pd.DataFrame:
        """The first forecasts of the first table."""
        return next(iter(self.parts.values()))[0]().head(rows)

    def save_pretrained(self, folder: Path) -> None:
        """Write one Parquet file for each table; no more than a part is held."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for name, parts in self.parts.items():
            path = folder / f"{name}{ENDING}"
            path.parent.mkdir(parents=True, exist_ok=True)
            tables = (pa.Table.from_pandas(part(), preserve_index=False) for part in parts)
            first = next(tables)
            with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
                writer.write_table(first)
                for table in tables:
                    writer.write_table(table)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "ForecastTables":
        """Find what :meth:`save_pretrained` wrote."""
        files = sorted(folder.rglob(f"*{ENDING}"))
        names = {file.relative_to(folder).as_posix().removesuffix(ENDING): file for file in files}
        return cls({name: (partial(pd.read_parquet, file),) for name, file in names.items()})

    def summary(self) -> dict[str, Any]:
        """How many tables there are."""
        return {"tables": len(self.parts)}


def forecast_tables(
    partitions: Partitions,
    tables: pd.DataFrame,
    forecaster: MemoryForecaster,
    *,
    reading: Reading,
    horizon: int,
    levels: Sequence[float],
    batch_size: int,
    piece: int,
    workspace: ShardCache,
    sharing: ShardsConfig = IN_THIS_PROCESS,
) -> ForecastTables:
    """Forecast every series of every table.

    Args:
        partitions: The files.
        tables: What :meth:`tsmemory.memory.new_tables.NewTables.survey` found in them.
        forecaster: What forecasts.
        reading: How the files are read.
        horizon: H, steps to forecast.
        levels: Quantile levels.
        batch_size: Series in one pass.
        piece: Series whose forecasts are kept together; a killed run goes on with the next piece.
        workspace: Where finished pieces are kept.
        sharing: Who works through the pieces; by default this process.

    Returns:
        The forecasts, which lie in the workspace until they are saved.
    """
    count = dict(zip(tables["table"], tables["series"], strict=True))
    pieces = [
        Piece(file, first, min(first + piece, count[file.name]))
        for file in partitions.files
        for first in range(0, count[file.name], piece)
    ]
    work = ForecastPiece(
        NewTables(partitions, forecaster, reading), horizon, tuple(levels), batch_size
    )
    cache = workspace.open(
        digest(
            {
                "files": partitions.fingerprint(),
                "forecaster": _identity(forecaster),
                "reading": reading.to_json(),
                "horizon": horizon,
                "levels": list(levels),
                "piece": piece,
            }
        )
    )
    shards = map_shards(work, pieces, cache=cache, description="Forecasting", config=sharing)
    kept = [bool(len(arrays["item_id"])) for arrays in shards]
    parts: dict[str, list[Callable[[], pd.DataFrame]]] = {}
    for number, part in enumerate(pieces):
        if kept[number]:
            read = partial(_read_piece, partial(cache.load, number), tuple(levels))
            parts.setdefault(part.file.name, []).append(read)
    return ForecastTables(parts)


def _read_piece(load: Callable[[], Arrays | None], levels: Sequence[float]) -> pd.DataFrame:
    """A finished piece as a table."""
    arrays = load()
    if arrays is None:
        raise OSError("a finished piece of the forecasts has gone; run the same command again")
    horizon = arrays["predictions"].shape[1]
    columns: dict[str, Any] = {
        "item_id": np.repeat(arrays["item_id"], horizon).astype(object),
        "timestamp": arrays["timestamp"].ravel(),
        "target_name": np.repeat(arrays["target_name"], horizon).astype(object),
        "predictions": arrays["predictions"].ravel(),
    }
    for number, level in enumerate(levels):
        columns[str(level)] = arrays["quantiles"][:, :, number].ravel()
    return pd.DataFrame(columns)


def _identity(forecaster: MemoryForecaster) -> str:
    """Digest of all that a forecast depends on but the data and the code."""
    state = {name: t.detach().cpu().numpy() for name, t in forecaster.adapter.state_dict().items()}
    return digest(
        {
            "backbone": forecaster.backbone.fingerprint,
            "adapter": digest_arrays(state),
            "fusion": forecaster.fusion.to_json(),
            "series": forecaster.series.to_json(),
        }
    )


def _said_once(said: set[str]) -> AbstractContextManager[None]:
    """Let what every piece would say through once; the survey has counted incomplete contexts."""

    def is_new(record: logging.LogRecord) -> bool:
        known = record.name == contexts.logger.name or record.msg in said
        said.add(record.msg)
        return not known

    return filtered((contexts.logger, known_series.logger, levels_log), is_new)
