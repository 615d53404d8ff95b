"""The training windows that a memory was made from, to look up what a forecast resembles.

No forecast needs them: the memory holds what they taught. They are there for people who ask why.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.memory.artefact import latest_version
from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.known_series import Unit
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.keys import make_keys
from tsmemory.series.grid import fixed_step
from tsmemory.series.series_set import Float, Int, SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.confidence import confidence_of
from tsmemory.teacher.neighbours import softmax_weights

FOLDER = "training_windows"
_DATASTORE, _SERIES, _TEACHER = "datastore", "series_set", "teacher.json"
_MODELS = "06_models"  # layers of a Kedro project's data folder
_LAYERS = {_DATASTORE: "04_datastore", _SERIES: "03_primary"}


class Queries(NamedTuple):
    """Contexts that neighbours are looked for.

    Attributes:
        contexts: In the memory's unit, NaN where missing. Shape ``(B, L)``.
        embeddings: The backbone's. Shape ``(B, d)``.
        unit: The unit of the contexts.
        items: Series of each. Shape ``(B,)``.
        channels: Channel of each. Shape ``(B,)``.
        last: Last step of each, without a zone. Shape ``(B,)``.
        freq: Their step, as pandas writes it.
    """

    contexts: Float
    embeddings: Float
    unit: Unit
    items: NDArray[Any]
    channels: NDArray[Any]
    last: NDArray[np.datetime64]
    freq: str


class Found(NamedTuple):
    """Neighbours of queries.

    Attributes:
        position: In the datastore, -1 where there is none. Shape ``(B, K)``.
        distance: Between scaled keys, ``inf`` there. Shape ``(B, K)``.
        weight: Weights in a teacher. Shape ``(B, K)``.
        confidence: The largest weight, 0 without neighbours. Shape ``(B,)``.
    """

    position: Int
    distance: Float
    weight: Float
    confidence: Float


@dataclass(frozen=True)
class TrainingWindows:
    """Training windows by key, with the series they lie on.

    Attributes:
        datastore: The windows.
        series: The rows they lie on.
        k: Neighbours that are looked for.
        temperature: tau of their weights.
    """

    datastore: Datastore
    series: SeriesSet
    k: int = 20
    temperature: float = 0.12

    @classmethod
    def load(cls, folder: str | Path) -> "TrainingWindows":
        """Read training windows.

        Args:
            folder: The cache folder that was given to ``fit``, or the folder of a forecaster that a
                Kedro run has made, beside whose data they lie; these are looked up as the default
                teacher does.

        Returns:
            The training windows.

        Raises:
            ForecasterError: There are none.
        """
        folder = Path(folder)
        places = _places(folder)
        if lacking := [str(place) for place in places.values() if not place.is_dir()]:
            raise ForecasterError(
                f"{folder} leads to no training windows: {', '.join(lacking)} is not there; give "
                "the cache_folder of MemoryForecaster.fit, or the folder data/06_models/<domain>/"
                "forecaster of a run"
            )
        teacher = folder / FOLDER / _TEACHER
        settings = json.loads(teacher.read_text(encoding="utf-8")) if teacher.is_file() else {}
        return cls(
            Datastore.from_pretrained(latest_version(places[_DATASTORE])),
            SeriesSet.from_pretrained(places[_SERIES]),
            **settings,
        )

    def save(self, folder: Path) -> None:
        """Write them below a cache folder, in one step; those of an earlier fit are replaced."""
        final = folder / FOLDER
        partial = folder / f".{FOLDER}.{os.getpid()}.saving"
        shutil.rmtree(partial, ignore_errors=True)
        self.datastore.save_pretrained(partial / _DATASTORE)
        self.series.save_pretrained(partial / _SERIES)
        settings = json.dumps({"k": self.k, "temperature": self.temperature})
        (partial / _TEACHER).write_text(settings, encoding="utf-8")
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)

    def search(self, queries: Queries) -> Found:
        """The nearest training windows whose future was known when the query's began.

        Args:
            queries: B contexts.

        Returns:
            Their neighbours, nearest first.

        Raises:
            ForecasterError: Queries of another step or length, or embeddings of another backbone.
        """
        rows = self._rows(queries)
        count, length = queries.contexts.shape
        every = np.arange(count)
        windows = Windows(every, np.zeros_like(every), rows.length, length, self.datastore.horizon)
        keys = make_keys(self.datastore.key, queries.embeddings, windows, rows)
        if keys.shape[1] != (stored := len(self.datastore.scaler.mean)):
            raise ForecasterError(
                f"the training windows have keys of length {stored}, those of this backbone have "
                f"{keys.shape[1]}: they belong to another forecaster"
            )
        k = min(self.k, int(np.diff(self.datastore.group_edges).max(initial=1)))
        found = self.datastore.search(keys, windows, rows, k=k, embargo="causal")
        weight = softmax_weights(found[1], self.temperature)
        none = np.empty(0, np.float32)
        confidence = confidence_of("max_weight", weight, found[1].min(axis=1), none)
        return Found(*found, weight, confidence)

    def describe(self, position: Int) -> dict[str, NDArray[Any]]:
        """Series, channel, first and last step of the contexts of stored windows.

        Args:
            position: In the datastore. Shape ``(M,)``.

        Returns:
            Columns ``neighbour_item_id, neighbour_target_name, context_start, cutoff``; timestamps
            are without a zone.
        """
        row, start = self.datastore.neighbour_windows(position)
        last = start + self.datastore.context_length - 1
        return {
            "neighbour_item_id": self.series.item_id[row],
            "neighbour_target_name": self.series.channel[row],
            "context_start": self.series.timestamps(row, start),
            "cutoff": self.series.timestamps(row, last),
        }

    def _rows(self, queries: Queries) -> SeriesSet:
        """The queries as rows on the calendar of the training windows."""
        count, length = queries.contexts.shape
        if queries.freq != self.series.freq:
            raise ForecasterError(
                f"the table steps by {queries.freq}, the training windows by {self.series.freq}"
            )
        if length != self.datastore.context_length:
            raise ForecasterError(
                f"the training windows have contexts of {self.datastore.context_length} steps, the "
                f"forecaster reads {length}: they belong to another forecaster"
            )
        begin, calendar = _on_calendar(self.series, queries.last, length)
        return SeriesSet(
            flat=queries.contexts.ravel(),
            offset=np.arange(count) * length,
            length=np.full(count, length),
            item_id=queries.items.astype(object),
            channel=queries.channels.astype(object),
            calendar=calendar,
            mean=queries.unit.level,
            std=queries.unit.scale,
            begin=begin,
            freq=queries.freq,
        )


def _places(folder: Path) -> dict[str, Path]:
    """Where datastore and series lie."""
    if folder.parent.parent.name == _MODELS:
        data, domain = folder.parent.parent.parent, folder.parent.name
        return {name: data / layer / domain / name for name, layer in _LAYERS.items()}
    return {name: folder / FOLDER / name for name in _LAYERS}


def _on_calendar(
    series: SeriesSet, last: NDArray[np.datetime64], length: int
) -> tuple[NDArray[np.datetime64], Int]:
    """First timestamps of contexts and their places on the calendar of other series.

    Args:
        series: What the calendar begins with.
        last: Last step of each context. Shape ``(B,)``.
        length: L.

    Returns:
        Both of shape ``(B,)``.
    """
    last = last.astype("datetime64[ns]")
    first = series.begin[np.argmin(series.calendar)]
    if step := fixed_step(series.freq):
        place = -((first - last).astype(np.int64) // step)  # rounded up, as other series are
        return last - np.timedelta64((length - 1) * step, "ns"), place + 1 - length
    ends, which = np.unique(last, return_inverse=True)
    grid = pd.date_range(first, ends[-1], freq=series.freq).as_unit("ns").to_numpy()
    place = np.searchsorted(grid, ends)
    begin = [pd.date_range(end=end, periods=length, freq=series.freq)[0] for end in ends]
    return np.array(begin, dtype="datetime64[ns]")[which], place[which] + 1 - length
