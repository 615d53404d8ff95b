"""Neighbours searched once, at the largest K for each key kind, and cut to what a trial asks for.

Neighbours are ordered by distance, so the K nearest of the largest K are the K nearest; in an exact
index cutting and searching are equal to the bit. Every key kind looks at contexts alone, and all
are searched under the embargo of the configuration.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.keys import KeyKind, make_keys
from tsmemory.series.series_set import Float, Int, SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.confidence import percentiles
from tsmemory.teacher.neighbours import Neighbours, softmax_weights
from tsmemory.tuning.gates.settings import TeacherSettings

WITHOUT_BACKBONE: tuple[KeyKind, ...] = ("window", "tail")


@dataclass(frozen=True)
class Pool:
    """The nearest stored windows of each query, by one kind of key.

    Attributes:
        position: Positions in the datastore, nearest first, ``-1`` where fewer are admissible.
            Shape ``(N, K)``.
        distance: Distances between keys, ``inf`` there. Shape ``(N, K)``.
    """

    position: Int
    distance: Float

    @classmethod
    def search(
        cls,
        datastore: Datastore,
        embeddings: Float,
        windows: Windows,
        series: SeriesSet,
        *,
        k: int,
        teacher: TeacherSettings,
    ) -> "Pool":
        """Search the datastore for every query.

        Args:
            datastore: Where to search.
            embeddings: The backbone's embeddings of the queries. Shape ``(N, d)``.
            windows: The queries.
            series: The rows.
            k: The largest K that any trial asks for.
            teacher: Embargo, and the size of the pool where there is re-ranking.
        """
        size = max(k, teacher.rerank_pool)
        found = [
            datastore.search(
                make_keys(datastore.key, np.asarray(embeddings[part]), windows.take(part), series),
                windows.take(part),
                series,
                k=size,
                embargo=teacher.embargo,
            )
            for part in _parts(len(windows), teacher.shard_size)
        ]
        position, distance = (np.concatenate(column) for column in zip(*found, strict=True))
        return cls(position, distance)

    def cut(
        self,
        k: int,
        temperature: float,
        *,
        datastore: Datastore,
        windows: Windows,
        series: SeriesSet,
        teacher: TeacherSettings,
    ) -> Neighbours:
        """Neighbours and weights as a search for ``k`` of them would have found.

        Args:
            k: K.
            temperature: tau of the weights.
            datastore: Where positions point.
            windows: The queries, of which contexts are looked at where there is re-ranking.
            series: The rows.
            teacher: Re-ranking, confidence and the fewest neighbours that tell anything.
        """
        position, distance = self.position[:, :k], self.distance[:, :k]
        if teacher.rerank is not None:
            pool = max(teacher.rerank_pool, k)
            whole = self.position[:, :pool], self.distance[:, :pool]
            position, distance = teacher.rerank.select(datastore, windows, series, *whole, k)
        nearest = distance.min(axis=1)
        return Neighbours(
            position=position.astype(np.int32),
            weight=softmax_weights(distance, temperature),
            k_min=teacher.k_min,
            nearest=nearest,
            own_nearest=percentiles(nearest),
            confidence_kind=teacher.confidence,
        )


def key_kinds(datastore: Datastore) -> tuple[KeyKind, ...]:
    """Key kinds that can be had without asking the backbone: the datastore's own comes first."""
    return tuple(dict.fromkeys((datastore.key.kind, *WITHOUT_BACKBONE)))


def largest_pool(datastore: Datastore) -> int:
    """Most stored windows that may be searched together."""
    return int(np.diff(datastore.group_edges).max(initial=0))


def with_keys(datastore: Datastore, kind: KeyKind, series: SeriesSet) -> Datastore:
    """The same stored windows by another kind of key, in the same order.

    Args:
        datastore: The datastore.
        kind: Its own kind, or one that needs no embedding.
        series: The rows.
    """
    if kind == datastore.key.kind:
        return datastore
    key = replace(datastore.key, kind=kind)
    span = datastore.context_length + datastore.horizon
    stored = Windows(
        datastore.row,
        datastore.start,
        datastore.start + span,
        datastore.context_length,
        datastore.horizon,
    )
    return Datastore.build(
        make_keys(key, None, stored, series),
        stored,
        series,
        key=key,
        index_kind=datastore.index_kind,  # type: ignore[arg-type]
        same_channel=datastore.group_names != ("all",),
    )


def without_index(datastore: Datastore) -> Datastore:
    """The same without its keys: enough to form targets, and small."""
    return replace(datastore, indexes=())


def _parts(count: int, size: int) -> Sequence[slice]:
    return [slice(first, first + size) for first in range(0, count, size)]
