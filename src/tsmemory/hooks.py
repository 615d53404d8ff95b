"""Hooks into Kedro's run: what they do lives in :mod:`tsmemory.runs`."""

import logging
import os
import time
import warnings
from collections.abc import Mapping
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from tsmemory.progress import is_watched
from tsmemory.runs.artefacts import Catalog
from tsmemory.runs.record import MANIFEST, MANIFEST_VERSIONS, RunRecord

USELESS_WARNINGS = (
    # Chronos: longer horizons are rolled out on purpose, and measured.
    "We recommend keeping prediction length",
    # PyTorch: arrays that are mapped from files are only read.
    "The given NumPy array is not writable",
)
logger = logging.getLogger(__name__)


def _registered() -> Mapping[str, Pipeline]:
    """The pipelines of the project that runs."""
    from kedro.framework.project import pipelines

    return dict(pipelines)


class QuietHooks:
    """Keeps known useless messages of other libraries away."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Silence them before anything heavy is imported."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        if not is_watched():
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        for message in USELESS_WARNINGS:
            warnings.filterwarnings("ignore", message=message)


class ParameterHooks:
    """Refuses unknown and impossible parameters before the run, and puts tuned ones in place."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check the parameters of all pipelines, before Kedro builds the catalog."""
        from tsmemory.pipelines.tuning.use import use_tuned
        from tsmemory.runs.parameters import check_parameters

        check_parameters(context.config_loader, _registered())
        if use_tuned(context.config_loader, context.project_path):
            check_parameters(context.config_loader, _registered())


class RunHooks:
    """Plans the run, keeps the ledger, writes the manifest, shows the result.

    Attributes:
        record: The run that is under way, or the last one; the runner reads its plan.
    """

    def __init__(self, pipelines: Mapping[str, Pipeline] | None = None) -> None:
        """Watch runs.

        Args:
            pipelines: All pipelines of the project; by default those that Kedro has registered.
        """
        self._pipelines = pipelines
        self.record: RunRecord | None = None

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Catalog
    ) -> None:
        """Plan, and refuse stale inputs."""
        pipelines = _registered() if self._pipelines is None else self._pipelines
        self.record = None  # of an earlier run in this process, should this one be refused
        self.record = RunRecord(run_params, pipeline, catalog, pipelines)

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str, node: Node) -> None:
        """A node begins, and what it reads is complete."""
        if self.record is not None:
            self.record.touched(node)
            self.record.read(dataset_name)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """A node without inputs begins here."""
        if self.record is not None:
            self.record.touched(node)

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """A node has computed."""
        if self.record is not None:
            self.record.touched(node)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """An output is on disk: only now does the ledger know it."""
        if self.record is not None:
            self.record.saved(dataset_name, node)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: Catalog) -> None:
        """Write the manifest and show the results."""
        if self.record is None:
            return
        try:
            self.record.complete()
            self._close(catalog)
        finally:
            self.record.release()
        from tsmemory.runs.results import show_results

        show_results(self.record)

    @hook_impl
    def on_pipeline_error(self, error: Exception, catalog: Catalog) -> None:
        """Write the manifest of a failed run."""
        if self.record is not None:
            try:
                self._close(catalog, error)
            finally:
                self.record.release()

    def _close(self, catalog: Catalog, error: Exception | None = None) -> None:
        """Stop the clock and save the manifest wherever the catalog has a place for it."""
        from tsmemory.runs.manifest import build_manifest

        record = self.record
        if record is None:
            return
        record.meter.stop()
        if error is None:
            logger.info("Completed in %.1f s", time.perf_counter() - record.clock)
        places = [name for name in (MANIFEST, MANIFEST_VERSIONS) if name in catalog]
        manifest = build_manifest(record, error) if places else {}
        for name in places:
            try:
                catalog.save(name, manifest)
            except Exception:
                # A run must not fail, nor its own error be hidden, for want of a manifest.
                logger.exception("The manifest could not be saved to %s", name)
