"""Runs in MLflow: parameters, metrics, files and the forecaster of one run of the project."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsmemory.integrations.extras import require
from tsmemory.integrations.mlflow_model import log_model
from tsmemory.memory.forecaster import MemoryForecaster

_BATCH = 100  # parameters, or metrics, that MLflow takes in one request
_NOT_IN_NAMES = re.compile(r"[^\w./ :-]")


@dataclass(frozen=True)
class Place:
    """Where runs are logged.

    Attributes:
        tracking_uri: Server, database or folder; ``None`` for MLflow's own setting.
        experiment: Name of the experiment; made if it does not exist.
    """

    tracking_uri: str | None
    experiment: str

    def client(self) -> Any:
        """MLflow's client for this place."""
        return require("mlflow", extra="mlflow").MlflowClient(tracking_uri=self.tracking_uri)


@dataclass(frozen=True)
class RunLog:
    """What is logged of a run that has ended.

    Attributes:
        parameters: Nested values.
        metrics: Numbers by name; what is not a number is left out.
        tags: Short texts by name.
        manifest: The run's manifest; logged as ``manifest.json``.
        files: Files to keep.
        forecaster: Logged as the model ``forecaster``.
        failed: Whether the run failed.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Path] = ()
    forecaster: MemoryForecaster | None = None
    failed: bool = False


def begin_run(place: Place, name: str | None = None) -> str:
    """Begin a run, which makes sure that the place can be reached before any long work.

    Args:
        place: Where.
        name: Of the run; MLflow invents one if not given.

    Returns:
        MLflow's identifier of the run.
    """
    client = place.client()
    found = client.get_experiment_by_name(place.experiment)
    experiment = found.experiment_id if found else client.create_experiment(place.experiment)
    return str(client.create_run(experiment, run_name=name).info.run_id)


def end_run(place: Place, run_id: str, log: RunLog) -> None:
    """Log what a run was given and made, and end it.

    Args:
        place: Where it was begun.
        run_id: What :func:`begin_run` returned.
        log: What to log.
    """
    client = place.client()
    try:
        _log_values(client, run_id, log)
        if log.manifest:
            client.log_dict(run_id, dict(log.manifest), "manifest.json")
        for path in log.files:
            client.log_artifact(run_id, str(path))
        if log.forecaster is not None:
            _log_forecaster(place, run_id, log.forecaster)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FAILED" if log.failed else "FINISHED")


def scores(metrics: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> dict[str, Any]:
    """Name the results of an evaluation as MLflow groups them.

    Args:
        metrics: Values by method, horizon and metric, as in ``metrics.json``.

    Returns:
        Values by ``<method>/<metric>_<horizon>``.
    """
    return {
        f"{method}/{metric}_{horizon}": value
        for method, horizons in metrics.items()
        for horizon, values in horizons.items()
        for metric, value in values.items()
    }


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values by dotted paths, as text; lists and the like as JSON."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def _log_values(client: Any, run_id: str, log: RunLog) -> None:
    entities = require("mlflow.entities", extra="mlflow")
    parameters = [entities.Param(_name(k), v) for k, v in flatten(log.parameters).items()]
    tags = [entities.RunTag(_name(k), v) for k, v in flatten(log.tags).items()]
    now = int(1000 * time.time())
    metrics = [
        entities.Metric(_name(key), float(value), now, 0)
        for key, value in log.metrics.items()
        if value is not None and value == value
    ]
    for first in range(0, len(parameters), _BATCH):
        client.log_batch(run_id, params=parameters[first : first + _BATCH])
    client.log_batch(run_id, tags=tags)
    for first in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[first : first + _BATCH])


def _log_forecaster(place: Place, run_id: str, forecaster: MemoryForecaster) -> None:
    mlflow = require("mlflow", extra="mlflow")
    with _tracking(mlflow, place.tracking_uri):
        nested = mlflow.active_run() is not None
        with mlflow.start_run(run_id=run_id, nested=nested):
            log_model(forecaster)


@contextmanager
def _tracking(mlflow: Any, uri: str | None) -> Iterator[None]:
    """Let MLflow's own functions log elsewhere for a while."""
    before = mlflow.get_tracking_uri()
    if uri is not None:
        mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        if uri is not None:
            mlflow.set_tracking_uri(before)


def _name(text: str) -> str:
    """A name that MLflow takes."""
    return _NOT_IN_NAMES.sub("_", text)
