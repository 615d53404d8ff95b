"""The rows of the TRACE table, seed by seed: each is trained, scored, timed and packed."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tsmemory.pipelines.lazy_types import BackboneForecasts, MethodScores
from tsmemory.pipelines.trace.params import TRACE, TUNED, TraceParams
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.series_set import Float, SeriesSet
from tsmemory.series.windows import Windows

_FROZEN = "frozen"
logger = logging.getLogger(__name__)


class Job(NamedTuple):
    """A row with a seed."""

    row: str
    seed: int


@dataclass(frozen=True)
class Judge:
    """Scores and times forecasters on the test windows.

    Attributes:
        series: The rows.
        windows: Test windows.
        borders: Ends of the training splits.
        forecasts: The frozen backbone on the test windows.
        backbone: The frozen backbone.
        windowing: Lengths and strides.
        batch_size: Windows at a time.
        timed: Windows in a call that is timed.
    """

    series: SeriesSet
    windows: Windows
    borders: pd.DataFrame
    forecasts: BackboneForecasts
    backbone: Any
    windowing: WindowingParams
    batch_size: int
    timed: tuple[int, ...]

    def score(self, row: str, method: Any) -> MethodScores:
        """Scores on the test windows.

        Args:
            row: What is scored.
            method: Turns a split into quantiles.
        """
        from tsmemory.evaluation.rows import in_sample_seasonal_error
        from tsmemory.evaluation.scores import score_methods
        from tsmemory.memory.split import Split
        from tsmemory.metrics import season_length

        season = season_length(self.series.freq)
        return score_methods(
            Split(self.series, self.windows, self.forecasts),
            {row: [method]},
            horizons=self.windowing.horizons,
            seasonal_error=in_sample_seasonal_error(self.series, self.borders, season),
            stride=self.windowing.strides.test,
            batch_size=self.batch_size,
        )

    def latency(self, predict: Any) -> tuple[dict[str, float], dict[str, float]]:
        """Time of a forecaster beside the frozen backbone's, taken in turn.

        Args:
            predict: Called with contexts and a horizon.

        Returns:
            Milliseconds per window, and the ratio, by windows in a call.
        """
        from tsmemory.evaluation.latency import measure_latency

        sample = self.windows.take(slice(0, max(self.timed))).contexts(self.series)
        return measure_latency(
            self.backbone.predict_quantiles,
            predict,
            np.nan_to_num(sample),
            horizon=self.windowing.longest,
            batches=self.timed,
        )


class RowJobs:
    """All rows with all seeds, the frozen backbone first.

    Attributes:
        names: What there is to do, the seeds of a row one after another.
    """

    def __init__(self, judge: Judge, bench: Any, params: TraceParams) -> None:
        """Plan; nothing is trained yet.

        Args:
            judge: Scores and times the rows.
            bench: What rows are trained on.
            params: Which rows and seeds.
        """
        rows = [Job(row, seed) for row in params.trained_rows() for seed in params.seeds]
        self.names = [Job(_FROZEN, params.seeds[0]), *rows]
        self._judge = judge
        self._bench = bench
        self._params = params

    def fingerprint(self) -> str:
        """Digest of all that the runs depend on, for work that a killed run has left."""
        from tsmemory.fingerprint import digest
        from tsmemory.runs.parameters import essence

        judge, windows = self._judge, self._bench.windows
        parts = (windows.train, windows.scoring, windows.selection, judge.windows)
        return digest(
            {
                "windows": [part.fingerprint(judge.series) for part in parts],
                "horizons": judge.windowing.horizons,
                "forecasts": judge.forecasts.backbone,
                "backbone": judge.backbone.fingerprint,
                "params": essence(self._params),
            }
        )

    def run(self, job: Job) -> dict[str, np.ndarray]:
        """Make one row with one seed, and pack what was found."""
        return self._frozen() if job.row == _FROZEN else self._trained(job)

    def _frozen(self) -> dict[str, np.ndarray]:
        from tsmemory.evaluation.methods import frozen
        from tsmemory.evaluation.trace_scores import frozen_run, pack_run

        windows = self._bench.windows
        logger.info(
            "TRACE: %d runs on %d training windows; %d windows of validation score sites, %d "
            "select. A run that is stopped goes on at the row it was at.",
            len(self.names) - 1,
            *(len(part) for part in (windows.train, windows.scoring, windows.selection)),
        )
        scores = self._judge.score(_FROZEN, frozen)
        latency, _ = self._judge.latency(self._judge.backbone.predict_quantiles)
        return pack_run(scores, frozen_run(scores, latency), {}, {})

    def _trained(self, job: Job) -> dict[str, np.ndarray]:
        """A trained row with its tables, and with its model if it is the shipped one."""
        from tsmemory.evaluation.trace_scores import TraceRun, metrics_of, pack_run
        from tsmemory.trace.arms import ARMS, run_arm

        sites = self._params.sites if job.row == TUNED else None
        with PeakMemory() as peak:
            made = run_arm(self._bench, job.row, job.seed, sites=sites)
        scores = self._judge.score(job.row, _forecaster(made.model))
        first = job.seed == self._params.seeds[0]
        milliseconds, ratio = self._judge.latency(made.model.predict) if first else ({}, {})
        about = TraceRun(
            row=job.row,
            seed=job.seed,
            note=ARMS[job.row].note,
            kept=made.kept,
            parameters=made.parameters,
            head_parameters=made.head_parameters,
            sites=len(made.open_sites),
            nbytes=made.nbytes,
            seconds=made.seconds,
            peak_bytes=peak.bytes,
            latency_ms=milliseconds,
            latency_ratio=ratio,
            metrics=metrics_of(scores, job.row),
        )
        scored = job.row == TRACE
        tables = {
            "history": pd.DataFrame(made.history),
            "importance": made.importance if scored else made.importance.iloc[:0],
        }
        texts = {
            name: table.assign(row=job.row, seed=job.seed).to_json(orient="records")
            for name, table in tables.items()
        }
        ships = first and job.row == self._params.shipped
        files = _model_files(made.model) if ships else {}
        return pack_run(scores, about, texts, files)


class PeakMemory:
    """Highest resident memory of the process inside a ``with`` block.

    Attributes:
        bytes: The peak, as sampled; 0 where it cannot be had.
    """

    def __enter__(self) -> "PeakMemory":
        from tsmemory.runs.meter import Meter

        self.bytes = 0
        self._meter = Meter()
        return self

    def __exit__(self, *_: object) -> None:
        self._meter.stop()
        self.bytes = self._meter.peak


def training_windows(
    window_index: pd.DataFrame, windowing: WindowingParams, train_stride: int
) -> Windows:
    """Training windows, as far apart as is asked for, or as there are.

    Args:
        window_index: All windows.
        windowing: Lengths, and the stride that they have.
        train_stride: Steps that should lie between them.
    """
    lengths = (windowing.context_length, windowing.longest)
    every = max(1, round(train_stride / windowing.strides.train))
    return Windows.from_table(window_index, "train", *lengths).take(slice(None, None, every))


def _forecaster(model: Any) -> Any:
    """A model as what scores windows of a split."""

    def forecast(split: Any) -> Float:
        contexts = split.windows.contexts(split.series)
        return np.asarray(model.predict(contexts, split.windows.horizon))

    return forecast


def _model_files(model: Any) -> dict[str, bytes]:
    """What the model is saved as."""
    from tsmemory.trace.artefact import save_trace

    with tempfile.TemporaryDirectory() as folder:
        save_trace(model, Path(folder))
        return {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
