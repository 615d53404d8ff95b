"""What the teacher is worth, and how far the published setting flatters it (METHOD 1.3, 1.4).

With stride 1 and no embargo the neighbours of a training query are the query itself, a few steps
on: their stored futures hold most of its target, and the teacher looks far better than any that is
there later. The table puts every embargo beside validation, where nothing can leak.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsmemory.retrieval.embargo import Embargo
from tsmemory.series.series_set import Float, SeriesSet
from tsmemory.series.windows import Windows
from tsmemory.teacher.calibration import pinball_loss
from tsmemory.teacher.neighbours import Neighbours, query_batches
from tsmemory.teacher.synthesis import Teacher

EMBARGOES: tuple[Embargo, ...] = ("self", "overlap", "causal")
_BATCH = 256


@dataclass(frozen=True)
class Queries:
    """Windows with what the frozen backbone says of them.

    Attributes:
        windows: N windows.
        keys: The backbone's embeddings. Shape ``(N, d)``.
        quantiles: The backbone's quantiles in z units. Shape ``(N, Q, H)``.
    """

    windows: Windows
    keys: Float
    quantiles: Float

    def __len__(self) -> int:
        return len(self.windows)

    def take(self, which: NDArray[np.int64] | slice) -> "Queries":
        """The chosen queries; what lies on disk is read."""
        return Queries(
            self.windows.take(which),
            np.asarray(self.keys[which]),
            np.asarray(self.quantiles[which]),
        )

    def sample(self, size: int, series: SeriesSet, rng: np.random.Generator) -> "Queries":
        """At most ``size`` queries drawn at random, in the order of the calendar.

        Neighbours in time share most of their embargo, which makes the search cheap.
        """
        chosen = np.sort(rng.permutation(len(self))[:size])
        order = np.argsort(self.windows.take(chosen).calendar(series), kind="stable")
        return self.take(chosen[order])


@dataclass(frozen=True)
class Gates:
    """When distillation lets a query follow its teacher (METHOD 1.6).

    Attributes:
        margin: How much better than the backbone the teacher must be, in z units.
        confidence_threshold: Confidence below it counts as none.
    """

    margin: float
    confidence_threshold: float


Search = Callable[[Queries, Embargo], Neighbours]
Sums = dict[str, tuple[float, float]]  # by metric: the sum, and over how many


def diagnose(
    teacher: Teacher,
    train: Queries,
    validation: Queries,
    search: Search,
    *,
    embargo: Embargo,
    horizons: Sequence[int],
    gates: Gates,
) -> pd.DataFrame:
    """Measure the teacher under every embargo on training queries, and on validation queries.

    Args:
        teacher: The teacher, with its calibration.
        train: (A sample of) the training queries.
        validation: (A sample of) the validation queries; every stored window is admissible.
        search: Finds neighbours.
        embargo: The one that is taught with; only its spread is calibrated.
        horizons: Horizons to report.
        gates: The gates of distillation.

    Returns:
        Table ``split, embargo, horizon, metric, value, queries``. Metrics, over the steps up to the
        horizon that are known: ``mae`` of the teacher and ``backbone_mae`` (z units); ``coverage``
        of the band between the outermost levels and mean ``pinball`` loss, as retrieved and
        ``_calibrated``; ``overlap_share``, of neighbours whose stored future shares a step with the
        query's target; ``gate_advantage``, ``gate_confidence`` and ``gate_open``, of queries whose
        teacher beats the backbone, is trusted, and both.
    """
    asked: list[tuple[str, str, Queries, Embargo]] = [
        ("train", mode, train, mode) for mode in EMBARGOES
    ]
    # What is stored lies before validation, so that only the query itself is left to exclude.
    asked.append(("validation", "none", validation, "self"))
    frames = []
    for split, name, queries, mode in asked:
        neighbours = search(queries, mode)
        calibrated = name in (embargo, "none")
        sums = _measure(teacher, queries, neighbours, horizons, gates, calibrated=calibrated)
        frame = pd.DataFrame(
            [
                {"horizon": horizon, "metric": metric, "value": float(value)}
                for horizon, values in zip(horizons, sums, strict=True)
                for metric, value in values.items()
            ]
        )
        frames.append(frame.assign(split=split, embargo=name, queries=len(queries)))
    columns = ["split", "embargo", "horizon", "metric", "value", "queries"]
    return pd.concat(frames, ignore_index=True)[columns]


def summarise(table: pd.DataFrame, *, embargo: Embargo) -> dict[str, Any]:
    """The figures that matter most, as one value.

    Args:
        table: What :func:`diagnose` returned.
        embargo: The one that is taught with.

    Returns:
        ``train`` and ``validation`` by horizon and metric, and ``leak`` by horizon: the teacher's
        MAE under each embargo and on validation, and how many times the published setting
        understates the latter.
    """

    def by_horizon(split: str, name: str) -> dict[str, dict[str, float]]:
        part = table[(table["split"] == split) & (table["embargo"] == name)]
        return {
            str(horizon): dict(zip(rows["metric"], rows["value"], strict=True))
            for horizon, rows in part.groupby("horizon")
        }

    validation = by_horizon("validation", "none")
    leak = {}
    for horizon, figures in validation.items():
        errors: dict[str, float] = {
            name: by_horizon("train", name)[horizon]["mae"] for name in EMBARGOES
        }
        errors["validation"] = figures["mae"]
        ratio = errors["validation"] / errors["self"] if errors["self"] > 0 else float("nan")
        leak[horizon] = {**errors, "validation_over_self": ratio}
    return {"train": by_horizon("train", embargo), "validation": validation, "leak": leak}


def _measure(
    teacher: Teacher,
    queries: Queries,
    neighbours: Neighbours,
    horizons: Sequence[int],
    gates: Gates,
    *,
    calibrated: bool,
) -> list[dict[str, float]]:
    """Metrics of one set of queries, by horizon."""
    parts = [
        _measure_batch(
            teacher, queries.take(part), neighbours.take(part), horizons, gates, calibrated
        )
        for part in query_batches(len(queries), _BATCH)
    ]
    return [
        {
            metric: sum(part[number][metric][0] for part in parts)
            / max(sum(part[number][metric][1] for part in parts), 1)
            for metric in parts[0][number]
        }
        for number in range(len(horizons))
    ]


def _measure_batch(
    teacher: Teacher,
    queries: Queries,
    neighbours: Neighbours,
    horizons: Sequence[int],
    gates: Gates,
    calibrated: bool,
) -> list[Sums]:
    """Sums over one batch, by horizon."""
    windows, longest = queries.windows, max(horizons)
    target = windows.targets(teacher.series, longest)
    plain = replace(teacher, calibration=None).quantiles(windows, neighbours, longest)
    steps = {
        "mae": np.abs(target - plain[:, teacher.median]),
        "backbone_mae": np.abs(target - queries.quantiles[:, teacher.median, :longest]),
        **_spread(plain, target, teacher.levels, ""),
    }
    if calibrated and teacher.calibration is not None:
        calendar = windows.calendar(teacher.series)
        widened = teacher.calibration.apply(plain, calendar, teacher.median)
        steps |= _spread(widened, target, teacher.levels, "_calibrated")
    away = _steps_away(teacher, windows, neighbours)
    found = []
    for horizon in horizons:
        known = ~np.isnan(steps["mae"]) & windows.complete(horizon)[:, None]
        known[:, horizon:] = False
        sums = {
            name: (float(part[known].sum(dtype=np.float64)), float(known.sum()))
            for name, part in steps.items()
        }
        sums["overlap_share"] = (float(np.sum(away < horizon)), float(np.sum(away < np.inf)))
        open_ = _gates(steps["mae"], steps["backbone_mae"], known, neighbours.confidence, gates)
        found.append(sums | open_)
    return found


def _gates(
    error: Float, backbone: Float, known: NDArray[np.bool_], confidence: Float, gates: Gates
) -> Sums:
    """Queries at which each gate is open, over those with a known step."""
    judged, count = known.any(axis=1), np.maximum(known.sum(axis=1), 1)
    ours, theirs = (np.where(known, part, 0).sum(axis=1) / count for part in (error, backbone))
    better = judged & (ours + gates.margin < theirs)
    trusted = judged & (confidence >= gates.confidence_threshold) & (confidence > 0)
    total = float(judged.sum())
    shares = {"advantage": better, "confidence": trusted, "open": better & trusted}
    return {f"gate_{name}": (float(which.sum()), total) for name, which in shares.items()}


def _spread(
    quantiles: Float, target: Float, levels: tuple[float, ...], suffix: str
) -> dict[str, Float]:
    """Whether targets lie in the outermost band, and their mean pinball loss. ``(B, H)`` each."""
    inside = (target >= quantiles[:, 0]) & (target <= quantiles[:, -1])
    return {
        f"coverage{suffix}": inside.astype(np.float32),
        f"pinball{suffix}": pinball_loss(target, quantiles, levels),
    }


def _steps_away(teacher: Teacher, windows: Windows, neighbours: Neighbours) -> NDArray[np.float64]:
    """Steps between a query and each neighbour, ``inf`` where none is. Shape ``(B, K)``."""
    stored = teacher.datastore.calendar[np.maximum(neighbours.position, 0)]
    away = np.abs(stored - windows.calendar(teacher.series)[:, None]).astype(np.float64)
    return np.where(neighbours.position >= 0, away, np.inf)
