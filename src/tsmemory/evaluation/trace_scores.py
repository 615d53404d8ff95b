"""Scores and facts of every row and seed of the TRACE table (METHOD 2.2 to 2.4)."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.evaluation.ablation import VALUES
from tsmemory.evaluation.leaderboard import REFERENCE
from tsmemory.evaluation.scores import MethodScores
from tsmemory.metrics import WindowScores, mean_over

_SUMS = tuple(field.name for field in fields(WindowScores) if field.name != "horizons")
_RUNS = "runs.json"
_TEXT, _FILE = "text/", "file/"  # prefixes of a packed run's tables and files


@dataclass(frozen=True)
class TraceRun:
    """One row with one seed.

    Attributes:
        row: The row.
        seed: Training seed.
        note: What is adapted.
        kept: Whether training changed the model; else it is the closed-form start.
        parameters: Trained parameters, of the head and of open adapters.
        head_parameters: Those of the head alone.
        sites: Sites with an adapter.
        nbytes: Bytes of the trained weights as they are saved.
        seconds: What the closed-form start and training took.
        peak_bytes: Highest resident memory of the process meanwhile; 0 where unknown.
        latency_ms: Milliseconds per window of the merged model, by windows in a call; measured for
            the first seed alone.
        latency_ratio: Its time over the frozen backbone's, by windows in a call.
        metrics: ``metrics[horizon][metric]`` on the test windows.
    """

    row: str
    seed: int
    note: str
    kept: bool
    parameters: int
    head_parameters: int
    sites: int
    nbytes: int
    seconds: float
    peak_bytes: int
    latency_ms: Mapping[str, float]
    latency_ratio: Mapping[str, float]
    metrics: Mapping[str, Mapping[str, float]]

    def value(self, horizon: int, metric: str) -> float:
        """One of its metrics."""
        return self.metrics[str(horizon)][metric]


@dataclass(frozen=True)
class TraceScores:
    """All rows on the same test windows, the frozen backbone's among them.

    Attributes:
        scores: Scores by row, means over seeds.
        runs: Every row and seed, rows in order.
    """

    scores: MethodScores
    runs: tuple[TraceRun, ...]

    @classmethod
    def join(cls, runs: Iterable[tuple[MethodScores, TraceRun]]) -> "TraceScores":
        """Put the rows beside each other, each averaged over its seeds.

        Args:
            runs: Scores of each run under its row's name, and the rest. Runs of a row follow each
                other, so that only those of one row are held in memory at a time.

        Returns:
            All of them.

        Raises:
            ValueError: There are no runs, or a run was scored on other windows than the first.
        """
        first: MethodScores | None = None
        methods, below, found = {}, {}, list[TraceRun]()
        for row, members in groupby(runs, key=lambda pair: pair[1].row):
            scored, about = zip(*members, strict=True)
            first = first or scored[0]
            if any(not np.array_equal(one.origin_time, first.origin_time) for one in scored):
                raise ValueError(f"row {row!r} was scored on other windows than the rest")
            methods[row] = mean_over([one.methods[row] for one in scored])
            below[row] = np.mean([one.below[row] for one in scored], axis=0)
            found += about
        if first is None:
            raise ValueError("there is no row to join")
        seeds = {row: sum(run.row == row for run in found) for row in methods}
        return cls(replace(first, methods=methods, seeds=seeds, below=below), tuple(found))

    def of_row(self, row: str) -> list[TraceRun]:
        """The runs of a row, by seed."""
        return [run for run in self.runs if run.row == row]

    def summary(self) -> dict[str, Any]:
        """Rows and seeds, for the catalog's preview."""
        return {
            "windows": len(self.scores.row),
            "horizons": list(self.scores.horizons),
            "runs": [asdict(run) for run in self.runs],
        }

    def save_pretrained(self, folder: Path) -> None:
        """Write ``runs.json`` and what :class:`MethodScores` writes."""
        self.scores.save_pretrained(folder)
        lines = json.dumps([asdict(run) for run in self.runs], indent=2)
        (folder / _RUNS).write_text(lines, encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: Path) -> "TraceScores":
        """Read what :meth:`save_pretrained` wrote."""
        lines = json.loads((folder / _RUNS).read_text(encoding="utf-8"))
        runs = tuple(TraceRun(**line) for line in lines)
        return cls(MethodScores.from_pretrained(folder), runs)


def metrics_of(scores: MethodScores, row: str) -> dict[str, dict[str, float]]:
    """``metrics[horizon][metric]`` of one row, for :class:`TraceRun`."""
    values = (scores.methods[row].metrics(number) for number in range(len(scores.horizons)))
    return {
        str(horizon): {name: line[name] for name in VALUES}
        for horizon, line in zip(scores.horizons, values, strict=True)
    }


def frozen_run(scores: MethodScores, latency_ms: Mapping[str, float]) -> TraceRun:
    """The frozen backbone as a run: nothing is trained.

    Args:
        scores: Its scores.
        latency_ms: Milliseconds per window, by windows in a call.
    """
    return TraceRun(
        row=REFERENCE,
        seed=0,
        note="the backbone as it is",
        kept=False,
        parameters=0,
        head_parameters=0,
        sites=0,
        nbytes=0,
        seconds=0.0,
        peak_bytes=0,
        latency_ms=dict(latency_ms),
        latency_ratio=dict.fromkeys(latency_ms, 1.0),
        metrics=metrics_of(scores, REFERENCE),
    )


def pack_run(
    scores: MethodScores, run: TraceRun, texts: Mapping[str, str], files: Mapping[str, bytes]
) -> dict[str, np.ndarray]:
    """A run as plain arrays, to be kept by a shard cache; :func:`unpack_run` reads them.

    Args:
        scores: Its scores under its row's name.
        run: The rest.
        texts: Tables as JSON, by name.
        files: Content of the files of its model, by name; none where it is not kept.
    """
    windows = scores.methods[run.row]
    return {
        "run": np.array(json.dumps(asdict(run))),
        **{f"{_TEXT}{name}": np.array(text) for name, text in texts.items()},
        **{f"{_FILE}{name}": np.frombuffer(text, dtype=np.uint8) for name, text in files.items()},
        **{f"sums/{name}": getattr(windows, name) for name in _SUMS},
        "below": scores.below[run.row],
        "horizons": np.array(scores.horizons),
        "levels": np.array(scores.levels),
        "row": scores.row,
        "origin_time": scores.origin_time,
        "stride": np.array(scores.stride),
    }


def unpack_run(arrays: Mapping[str, np.ndarray]) -> tuple[MethodScores, TraceRun]:
    """Read scores and facts of what :func:`pack_run` gave."""
    run = TraceRun(**json.loads(str(arrays["run"])))
    horizons = tuple(arrays["horizons"].tolist())
    sums = {name: arrays[f"sums/{name}"] for name in _SUMS}
    scores = MethodScores(
        methods={run.row: WindowScores(horizons, **sums)},
        seeds={run.row: 1},
        below={run.row: arrays["below"]},
        levels=tuple(arrays["levels"].tolist()),
        row=arrays["row"],
        origin_time=arrays["origin_time"],
        stride=int(arrays["stride"]),
    )
    return scores, run


def collect_runs(
    shards: Iterable[Mapping[str, np.ndarray]],
) -> tuple[TraceScores, dict[str, pd.DataFrame], dict[str, bytes]]:
    """Put packed runs together, holding the scores of one row at a time.

    Args:
        shards: What :func:`pack_run` gave for each run, rows in order.

    Returns:
        All scores; the tables of all runs joined, by name; and the files of the model that was
        kept.
    """
    lines: dict[str, list[dict[str, Any]]] = {}
    files: dict[str, bytes] = {}

    def unpacked() -> Iterator[tuple[MethodScores, TraceRun]]:
        for arrays in shards:
            for name, array in arrays.items():
                if name.startswith(_TEXT):
                    lines.setdefault(name.removeprefix(_TEXT), []).extend(json.loads(str(array)))
                if name.startswith(_FILE):
                    files[name.removeprefix(_FILE)] = array.tobytes()
            yield unpack_run(arrays)

    joined = TraceScores.join(unpacked())
    return joined, {name: pd.DataFrame(found) for name, found in lines.items()}, files
