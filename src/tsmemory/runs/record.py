"""The record of one run, shared by the hooks and the runner."""

import inspect
import logging
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from tsmemory.fingerprint import sha256_of_path
from tsmemory.runs.artefacts import (
    Catalog,
    artefact_path,
    base_name,
    dataset_of,
    is_workspace,
    pin_version,
    pinned_version,
    saved_version,
)
from tsmemory.runs.environment import git_state
from tsmemory.runs.errors import ParameterError
from tsmemory.runs.ledger import Entry, Ledger, size_of
from tsmemory.runs.lock import DomainLock
from tsmemory.runs.meter import Meter
from tsmemory.runs.plan import RunPlan, plan_run

MANIFEST = "manifest"
MANIFEST_VERSIONS = "manifest_versions"
LEDGER = "ledger.json"
LOCK = "run.lock"
logger = logging.getLogger(__name__)


class RunRecord:
    """What a run plans, reuses, makes and takes.

    The ledger lies beside the catalog's ``manifest``; a catalog without that entry has no ledger,
    so that nothing is remembered and nothing is reused.

    Attributes:
        plan: What is reusable and what has to run.
        reused: Names of the nodes that the runner left out.
        made: Ledger entries of what this run saved, by dataset name.
        meter: Time and memory of the nodes.
        git: Commit and state of the project's tree when the run began.
        lock: Keeps other runs of the domain away; ``None`` where there is no ledger.
    """

    def __init__(
        self,
        run_params: Mapping[str, Any],
        pipeline: Pipeline,
        catalog: Catalog,
        pipelines: Mapping[str, Pipeline],
    ) -> None:
        """Plan the run and let its inputs load the versions that the plan found.

        Args:
            run_params: Kedro's description of the run.
            pipeline: What was asked for.
            catalog: The datasets of this run.
            pipelines: All registered pipelines.

        Raises:
            StaleArtefactError: See :func:`tsmemory.runs.plan.plan_run`.
            ParameterError: ``resume`` is neither true nor false.
            RefusedRunError: Another run of the domain is under way.
        """
        self.run_params = run_params
        self.pipeline = pipeline
        self.catalog = catalog
        self.ledger = self._find_ledger()
        self.lock = DomainLock(self.ledger.path.with_name(LOCK)) if self.ledger else None
        try:
            self.plan: RunPlan = plan_run(
                pipeline, pipelines, catalog, self.ledger, resume=self._resume()
            )
        except BaseException:
            self.release()
            raise
        for name, entry in self.plan.inputs.items():
            pin_version(dataset_of(catalog, name), entry.version)
        self.git = git_state(Path(run_params.get("project_path", ".")))
        self.started = datetime.now(UTC)
        self.clock = time.perf_counter()
        self.reused: frozenset[str] = frozenset()
        self.made: dict[str, Entry] = {}
        self._saved: dict[str, set[str]] = {}
        self._streaming: dict[str, Node] = {}
        self._process = os.getpid()
        self.meter = Meter()

    def reuse(self) -> Pipeline:
        """Let reused datasets load the version that is current, and return what is left to run."""
        self.reused = frozenset(self.plan.skip)
        current = {base_name(name): entry for name, entry in self.plan.reused.items()}
        for name in self.pipeline.datasets():
            if base_name(name) in current:
                pin_version(dataset_of(self.catalog, name), current[base_name(name)].version)
        count, total = len(self.reused), len(self.pipeline.nodes)
        if count:
            what = "all" if count == total else f"{count} of"
            logger.info(
                "Reusing %s %d steps whose inputs, parameters and code have not changed; "
                "`--params resume=false` recomputes them",
                what,
                total,
            )
        return Pipeline([node for node in self.pipeline.nodes if node.name not in self.reused])

    def touched(self, node: Node) -> None:
        """Note that a node loads, computes or saves."""
        if os.getpid() != self._process:
            return  # a worker of ParallelRunner
        if node.name not in self.meter.costs:
            total = len(self.pipeline.nodes) - len(self.reused)
            logger.info("%s begins, %d of %d", node.name, len(self.meter.costs) + 1, total)
        self.meter.touch(node.name)

    def read(self, name: str) -> None:
        """Note that a dataset is about to be loaded: whoever streams into it has finished."""
        producer = self._streaming.pop(name, None)
        if producer is not None:
            self._remember(name, producer)

    def saved(self, name: str, node: Node) -> None:
        """Note that an output is complete, and remember it.

        A generator node saves its outputs piece by piece: they are complete only when another node
        reads them, or at the end of the run.
        """
        if os.getpid() != self._process:
            return  # a worker of ParallelRunner: the main process remembers at the end
        self.touched(node)
        if inspect.isgeneratorfunction(node.func):
            self._streaming[name] = node
            return
        self._remember(name, node)
        done = self._saved.setdefault(node.name, set())
        done.add(name)
        if done == set(node.outputs):
            self._finish(node)

    def complete(self) -> None:
        """After a successful run, remember what could not be remembered before."""
        self._streaming.clear()
        for node in self.pipeline.nodes:
            if node.name not in self.reused:
                for name in set(node.outputs) - self._saved.get(node.name, set()):
                    self._remember(name, node)
                self._finish(node)

    def release(self) -> None:
        """Let other runs of the domain begin."""
        if self.lock is not None:
            self.lock.release()

    def _finish(self, node: Node) -> None:
        """Close a node's books and drop the shards that its outputs were merged from."""
        if self.meter.is_open(node.name):
            cost = self.meter.close(node.name)
            seconds, megabytes = cost.finished - cost.started, cost.peak / 2**20
            logger.info("%s done in %.1f s, %.0f MB", node.name, seconds, megabytes)
        for name in node.inputs:
            dataset = dataset_of(self.catalog, name)
            if is_workspace(dataset):
                dataset.load().clear()  # type: ignore[union-attr]

    def _remember(self, name: str, node: Node) -> None:
        """Enter a saved dataset into the ledger, if it can ever be reused."""
        origin = self.plan.origins[name]
        dataset = dataset_of(self.catalog, name)
        # Kedro's --only-missing-outputs, under another runner than ours, takes whatever exists.
        untrusted = bool(self.run_params.get("only_missing_outputs"))
        if self.ledger is None or origin.fingerprint is None or dataset is None or untrusted:
            return
        version = saved_version(dataset)
        path = artefact_path(dataset, version)
        if path is None or not path.exists() or pinned_version(dataset):
            return
        self.made[name] = Entry(
            dataset=name,
            fingerprint=origin.fingerprint,
            path=self.shown(path),
            version=version,
            sha256=sha256_of_path(path),
            bytes=size_of(path),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            node=node.name,
            recipe=origin.recipe,
        )
        self.ledger.add(self.made[name])

    def _find_ledger(self) -> Ledger | None:
        path = artefact_path(dataset_of(self.catalog, MANIFEST), None)
        return None if path is None else Ledger(path.with_name(LEDGER))

    def _resume(self) -> bool:
        dataset = self.catalog.get("params:resume")
        resume = True if dataset is None else dataset.load()
        if not isinstance(resume, bool):
            raise ParameterError(f"resume = {resume!r}: expected true or false")
        return resume

    def shown(self, path: Path) -> str:
        """Path as people should read it: from the project's root where it lies inside."""
        root = Path(self.run_params.get("project_path", "."))
        return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
