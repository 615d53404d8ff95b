"""Neighbours to look at: what the teacher makes of a few validation queries (METHOD 1.4)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tsmemory.series.series_set import Float, SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.diagnosis import Queries
from tsmemory.teacher.neighbours import Neighbours
from tsmemory.teacher.synthesis import Teacher

_CONTEXT_SHOWN = 1.0  # horizons of context beside the future
_MOST_SHOWN = 10  # neighbours of a query, the heaviest
COLUMNS = (
    *("kind", "label", "confidence", "skill", "step"),
    *("source", "rank", "weight", "stored", "level", "value"),
)


@dataclass(frozen=True)
class _Query:
    """One query with its neighbours, and how far its values reach."""

    query: Queries
    neighbours: Neighbours
    before: int

    @property
    def windows(self) -> Windows:
        return self.query.windows


def collect_retrieved(teacher: Teacher, queries: Queries, neighbours: Neighbours) -> pd.DataFrame:
    """Neighbours, teacher and truth of the most, the median and the least trusted query.

    Args:
        teacher: Forms quantiles, with its calibration.
        queries: Queries to choose from, with the frozen backbone's quantiles.
        neighbours: Their neighbours.

    Returns:
        Table ``kind, label, confidence, skill, step, source, rank, weight, stored, level, value``
        in raw units of the query. ``source`` is ``truth``, ``neighbour`` (aligned as the teacher
        does it, ``rank`` from 1, ``stored`` says where it is from), ``teacher`` or ``frozen``;
        ``step`` is negative in the context. ``skill`` is the teacher's, in the absolute error of
        its median against the backbone's. Empty where no query has a neighbour.
    """
    ranked = _rank_queries(queries, neighbours, teacher)
    if not len(ranked):
        return pd.DataFrame(columns=list(COLUMNS))
    before = min(int(_CONTEXT_SHOWN * queries.windows.horizon), queries.windows.context_length)
    chosen = {"most trusted": 0, "median": len(ranked) // 2, "least trusted": len(ranked) - 1}
    frames = []
    for kind, place in chosen.items():
        which = ranked[[place]]
        one = _Query(queries.take(which), neighbours.take(which), before)
        frames.append(_example(teacher, one).assign(kind=kind))
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)]


def _rank_queries(queries: Queries, neighbours: Neighbours, teacher: Teacher) -> np.ndarray:
    """Queries from the most trusted on; whole targets where any query has one."""
    found = (neighbours.position >= 0).any(axis=1)
    whole = ~np.isnan(queries.windows.targets(teacher.series)).any(axis=1)
    usable = np.flatnonzero(found & whole) if (found & whole).any() else np.flatnonzero(found)
    return np.asarray(usable[np.argsort(-neighbours.confidence[usable], kind="stable")])


def _example(teacher: Teacher, one: _Query) -> pd.DataFrame:
    """All lines of one query."""
    series, windows, horizon = teacher.series, one.windows, one.windows.horizon
    target = windows.targets(series)[0]
    quantiles = teacher.quantiles(windows, one.neighbours, horizon)[0]
    frozen = one.query.quantiles[0, teacher.median, :horizon]
    truth = np.concatenate([windows.contexts(series)[0, -one.before :], target])
    frames = [
        _lines(truth, -one.before, source="truth"),
        *_neighbour_lines(teacher, one),
        *(
            _lines(values, 0, source="teacher", level=level)
            for level, values in zip(teacher.levels, quantiles, strict=True)
        ),
        _lines(frozen, 0, source="frozen", level=teacher.levels[teacher.median]),
    ]
    table = pd.concat(frames, ignore_index=True).reindex(columns=list(COLUMNS))
    row = int(windows.row[0])
    return table.assign(
        value=table["value"] * series.std[row] + series.mean[row],
        label=_place(series, windows.row, windows.origin)[0],
        confidence=float(one.neighbours.confidence[0]),
        skill=_skill(target, quantiles[teacher.median], frozen),
    )


def _neighbour_lines(teacher: Teacher, one: _Query) -> list[pd.DataFrame]:
    """The heaviest neighbours, aligned with the query, the heaviest first."""
    weight, position = one.neighbours.weight[0], one.neighbours.position[0].astype(np.int64)
    order = [place for place in np.argsort(-weight, kind="stable") if position[place] >= 0]
    aligned = teacher.aligned_futures(
        one.windows, one.neighbours, one.windows.horizon, before=one.before
    )[0]
    row, start = teacher.datastore.neighbour_windows(position)
    names = _place(teacher.series, row, start + one.windows.context_length)
    return [
        _lines(
            aligned[place],
            -one.before,
            source="neighbour",
            rank=rank,
            weight=float(weight[place]),
            stored=names[place],
        )
        for rank, place in enumerate(order[:_MOST_SHOWN], start=1)
    ]


def _lines(values: Float, first: int, **same: object) -> pd.DataFrame:
    """One line for each step."""
    steps = np.arange(first, first + len(values))
    return pd.DataFrame({"step": steps, "value": values.astype(np.float64), **same})


def _place(series: SeriesSet, row: np.ndarray, step: np.ndarray) -> list[str]:
    """Item, channel and time of steps."""
    stamps = pd.to_datetime(series.timestamps(row, step)).strftime("%Y-%m-%d %H:%M")
    named = zip(series.item_id[row], series.channel[row], stamps, strict=True)
    return [", ".join(map(str, parts)) for parts in named]


def _skill(target: Float, teacher: Float, frozen: Float) -> float:
    """Skill of the teacher's median; NaN where nothing is known or the backbone never errs."""
    known = ~np.isnan(target)
    ours, theirs = (float(np.abs(target - part)[known].sum()) for part in (teacher, frozen))
    return 1 - ours / theirs if theirs > 0 else float("nan")
