"""A hook that logs runs to MLflow, where the parameter ``mlflow.enabled`` asks for it."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline
from pydantic import BaseModel, ConfigDict, ValidationError

from tsmemory.errors import UserError
from tsmemory.runs.artefacts import Catalog, artefact_path, dataset_of
from tsmemory.runs.errors import ParameterError, RefusedRunError
from tsmemory.runs.record import MANIFEST

if TYPE_CHECKING:
    from tsmemory.integrations.mlflow_tracking import Place

FORECASTER = "forecaster"
METRICS = "metrics"
KEPT = {".csv", ".html", ".json", ".pdf", ".png", ".svg"}  # files of the reports' folder
VERSIONS = "_versions"
_TAGS = ("command", "env", "pipelines", "run_id", "parameters_fingerprint", "error")
logger = logging.getLogger(__name__)


class MlflowParams(BaseModel):
    """What is logged where; nothing of it changes results.

    Attributes:
        enabled: Whether runs are logged.
        tracking_uri: Server, database or folder; MLflow's own setting (``MLFLOW_TRACKING_URI``,
            else ``mlflow.db`` in the project) if not given.
        experiment: Name of the experiment; the domain if not given.
        model: Whether the forecaster is logged as a model that can be served.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    tracking_uri: str | None = None
    experiment: str | None = None
    model: bool = True


class MlflowHooks:
    """Logs each run: parameters, metrics, reports and the forecaster.

    Everything is read from the catalog after the run. Its entry ``manifest``, which
    :class:`tsmemory.hooks.RunHooks` writes, is needed, so these hooks come after those; entries
    named ``metrics`` and ``forecaster`` are logged if the run's pipeline makes them.
    """

    def __init__(self) -> None:
        self._params = MlflowParams()
        self._place: Place | None = None
        self._run_id: str | None = None

    @hook_impl(trylast=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Read the parameters; without MLflow the run is refused, not its log lost."""
        parameters = context.params
        self._params, self._place, self._run_id = _read(parameters), None, None
        if self._params.enabled:
            from tsmemory.integrations.extras import require
            from tsmemory.integrations.mlflow_tracking import Place

            try:
                require("mlflow", extra="mlflow")
            except UserError as error:
                raise ParameterError(f"mlflow.enabled = true: {error}") from error
            experiment = self._params.experiment or parameters.get("domain") or "tsmemory"
            self._place = Place(self._params.tracking_uri, str(experiment))

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any], catalog: Catalog) -> None:
        """Begin the run in MLflow, which has to be there."""
        if self._place is None:
            return
        if MANIFEST not in catalog:
            raise ParameterError(f"mlflow.enabled = true: the catalog has no entry {MANIFEST!r}")
        from tsmemory.integrations.mlflow_tracking import begin_run

        try:
            self._run_id = begin_run(self._place, run_params.get("run_id"))
        except Exception as error:
            raise RefusedRunError(
                f"MLflow cannot log to {self._place.tracking_uri or 'its tracking server'}: "
                f"{error}\n`--params mlflow.enabled=false` runs without it"
            ) from error

    @hook_impl(trylast=True)
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Catalog
    ) -> None:
        """Log the run once its manifest is written."""
        self._end(run_params, pipeline, catalog, failed=False)

    @hook_impl(trylast=True)
    def on_pipeline_error(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Catalog
    ) -> None:
        """Log what is known of a run that failed."""
        self._end(run_params, pipeline, catalog, failed=True)

    def _end(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Catalog, *, failed: bool
    ) -> None:
        run_id, self._run_id = self._run_id, None
        if run_id is None or self._place is None:
            return
        from tsmemory.integrations.mlflow_tracking import RunLog, end_run, scores

        try:
            manifest = _load(catalog, MANIFEST)
            root = Path(run_params.get("project_path", "."))
            made = set() if failed else set(pipeline.all_outputs())
            log = RunLog(
                parameters=_taken(manifest["parameters"], pipeline),
                metrics={
                    "seconds": manifest["seconds"],
                    "peak_memory_bytes": manifest["peak_memory_bytes"],
                    **(scores(_load(catalog, METRICS)["metrics"]) if METRICS in made else {}),
                },
                tags=_tags(manifest),
                manifest=manifest,
                files=_reports(manifest, root, catalog, made),
                forecaster=_load(catalog, FORECASTER)
                if self._params.model and FORECASTER in made
                else None,
                failed=failed,
            )
            end_run(self._place, run_id, log)
        except Exception:
            # What the run has made must not be lost for want of its log.
            logger.exception("MLflow: the run could not be logged")
            return
        logger.info("MLflow: logged as run %s of experiment %s", run_id, self._place.experiment)


def _read(parameters: dict[str, Any]) -> MlflowParams:
    """The block ``mlflow`` of the parameters, by default all off.

    Raises:
        ParameterError: Unknown names or impossible values, by their dotted paths.
    """
    try:
        return MlflowParams.model_validate(parameters.get("mlflow") or {})
    except ValidationError as error:
        known = ", ".join(MlflowParams.model_fields)
        lines = [
            f"  mlflow{''.join(f'.{part}' for part in e['loc'])} = {e['input']!r}: "
            + (f"unknown parameter; known: {known}" if e["type"] == "extra_forbidden" else e["msg"])
            for e in error.errors()
        ]
        raise ParameterError("\n".join(["the parameters are not valid:", *lines])) from error


def _load(catalog: Catalog, name: str) -> Any:
    dataset = dataset_of(catalog, name)
    return None if dataset is None else dataset.load()


def _taken(parameters: dict[str, Any], pipeline: Pipeline) -> dict[str, Any]:
    """The parameters that the run's pipeline takes: those of other pipelines say nothing of it."""
    names = {name.removeprefix("params:") for name in pipeline.inputs()}
    roots = {name.partition(".")[0] for name in names}
    return {name: value for name, value in parameters.items() if name in roots}


def _tags(manifest: dict[str, Any]) -> dict[str, Any]:
    """What tells runs apart beside their parameters."""
    git, backbone = manifest["git"] or {}, manifest["backbone"] or {}
    tags = {
        **{f"tsmemory.{name}": manifest.get(name) for name in _TAGS},
        "tsmemory.backbone": backbone.get("name"),
        "tsmemory.backbone_fingerprint": backbone.get("fingerprint"),
        "mlflow.source.git.commit": git.get("commit"),
    }
    return {name: value for name, value in tags.items() if value is not None}


def _reports(manifest: dict[str, Any], root: Path, catalog: Catalog, made: set[str]) -> list[Path]:
    """Tables, plots and pages that the run made or reused, from the folder of its manifest."""
    place = artefact_path(dataset_of(catalog, MANIFEST), None)
    if place is None:
        return []
    # What is kept of every run besides is the same again.
    names = {name for name in made if not name.endswith(VERSIONS)}
    lines = [line for line in manifest["artefacts"] if line["dataset"] in names]
    paths = [root / line["path"] for line in lines]
    return [
        path
        for path in paths
        if path.is_relative_to(place.parent) and path.suffix in KEPT and path.is_file()
    ]
