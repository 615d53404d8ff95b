"""The plan of a run: which steps are still whole and current, which have to run."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kedro.io.core import is_parameter
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from tsmemory.runs.artefacts import (
    Catalog,
    artefact_path,
    base_name,
    dataset_of,
    is_persistent,
    pinned_version,
)
from tsmemory.runs.errors import StaleArtefactError
from tsmemory.runs.fingerprints import Fingerprints, Origin
from tsmemory.runs.ledger import Entry, Ledger
from tsmemory.runs.parameters import ParameterValues, parameter_types

DEFAULT_PIPELINE = "__default__"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunPlan:
    """What a run will do.

    Attributes:
        origins: What every dataset of the pipeline is made from, by its name.
        run: Names of the nodes that have to run, in order.
        skip: Names of the nodes whose outputs are whole and current, in order.
        inputs: Ledger entries of the pipeline's inputs that other pipelines made.
        reused: Ledger entries of the outputs of skipped nodes.
        parameters: All parameters, normalised.
    """

    origins: Mapping[str, Origin]
    run: tuple[str, ...]
    skip: tuple[str, ...]
    inputs: Mapping[str, Entry]
    reused: Mapping[str, Entry]
    parameters: Mapping[str, Any]


def plan_run(
    pipeline: Pipeline,
    pipelines: Mapping[str, Pipeline],
    catalog: Catalog,
    ledger: Ledger | None,
    *,
    resume: bool = True,
) -> RunPlan:
    """Decide what has to run.

    A node is skipped when everything that it persists is in the ledger with the fingerprint that
    the current inputs, parameters and code give, and is still on disk as it was saved. What lives
    in memory forces its node to run only where a node that has to run needs it, or where nothing
    else comes of the node.

    Args:
        pipeline: What was asked for.
        pipelines: All registered pipelines; they tell where the inputs of a partial pipeline
            come from.
        catalog: The datasets.
        ledger: What was made before; ``None`` remembers nothing.
        resume: False to recompute everything in ``pipeline``.

    Returns:
        The plan.

    Raises:
        StaleArtefactError: An input that another pipeline makes is missing, damaged, or was made
            from something else than the current parameters, data and code.
    """
    workshop = _Workshop(pipeline, pipelines, catalog, ledger)
    inputs = workshop.check_inputs() if ledger is not None else {}
    run: set[str] = set()
    needed: set[str] = set()
    for node in reversed(pipeline.nodes):
        outputs = {base_name(name) for name in node.outputs}
        if not resume or needed & outputs or not workshop.is_current(node):
            run.add(node.name)
            needed.update(
                base_name(name)
                for name in node.inputs
                if not is_persistent(dataset_of(catalog, name))
            )
    reused = {}
    for node in pipeline.nodes:
        if node.name not in run:
            found = {name: workshop.find(name) for name in node.outputs}
            reused.update({name: entry for name, entry in found.items() if entry is not None})
    return RunPlan(
        origins={
            n: workshop.fingerprints.of(n) for n in pipeline.datasets() if not is_parameter(n)
        },
        run=tuple(node.name for node in pipeline.nodes if node.name in run),
        skip=tuple(node.name for node in pipeline.nodes if node.name not in run),
        inputs=inputs,
        reused=reused,
        parameters=workshop.parameters.value("parameters"),
    )


class _Workshop:
    """What planning looks things up in."""

    def __init__(
        self,
        pipeline: Pipeline,
        pipelines: Mapping[str, Pipeline],
        catalog: Catalog,
        ledger: Ledger | None,
    ) -> None:
        self.pipeline = pipeline
        self.pipelines = pipelines
        self.catalog = catalog
        self.producers = _producers(pipeline, pipelines)
        self.parameters = ParameterValues(catalog, parameter_types({**pipelines, "": pipeline}))
        self.fingerprints = Fingerprints(self.producers, catalog, self.parameters)
        self._entries: dict[str, list[Entry]] = {}
        for entry in ledger.entries() if ledger is not None else []:
            self._entries.setdefault(base_name(entry.dataset), []).insert(0, entry)
        self._found: dict[str, Entry | None] = {}

    def find(self, name: str) -> Entry | None:
        """The latest entry of a dataset that is current and whole."""
        if name not in self._found:
            wanted = self.fingerprints.of(name).fingerprint
            candidates = [
                e for e in self._entries.get(base_name(name), []) if self._fits(e, wanted)
            ]
            whole = (e for e in candidates if self._is_whole(name, e))
            self._found[name] = next(whole, None)
        return self._found[name]

    def is_current(self, node: Node) -> bool:
        """Whether a node need not run, unless another needs what it keeps in memory."""
        kept = [n for n in node.outputs if is_persistent(dataset_of(self.catalog, n))]
        if not kept:
            return bool(node.outputs) and not set(node.outputs) & self.pipeline.outputs()
        return all(self._is_pinned(name) or self.find(name) is not None for name in kept)

    def check_inputs(self) -> dict[str, Entry]:
        """Entries of the free inputs that other pipelines make.

        Raises:
            StaleArtefactError: Some are not current.
        """
        entries, stale = {}, []
        for name in sorted(self.pipeline.inputs()):
            dataset = dataset_of(self.catalog, name)
            made = base_name(name) in self.producers and not self._is_pinned(name)
            if is_parameter(name) or not made or not is_persistent(dataset):
                continue
            if self.fingerprints.of(name).fingerprint is None:
                logger.warning("Using %s as it is: what it is made from cannot be traced", name)
                self.fingerprints.by_content(name)
            elif (entry := self.find(name)) is not None:
                entries[name] = entry
            else:
                stale.append(name)
        if stale:
            raise StaleArtefactError(self._explain(stale))
        return entries

    def _fits(self, entry: Entry, wanted: str | None) -> bool:
        return wanted is not None and entry.fingerprint == wanted

    def _is_whole(self, name: str, entry: Entry) -> bool:
        path = artefact_path(dataset_of(self.catalog, name), entry.version)
        return path is not None and entry.is_whole(path)

    def _is_pinned(self, name: str) -> bool:
        return pinned_version(dataset_of(self.catalog, name)) is not None

    def _explain(self, stale: list[str]) -> str:
        """Say what is wrong with each stale input and which command makes it."""
        lines = ["these inputs are not what the current parameters, data and code make:"]
        lines += [f"  {name}: {self._reason(name)}" for name in stale]
        names = self._pipelines_that_make(stale)
        command = f"kedro run --pipelines {','.join(names)}" if names else "kedro run"
        lines.append(f"Make them with `{command}` (and the same --env and --params, if any).")
        return "\n".join(lines)

    def _reason(self, name: str) -> str:
        """Say what is wrong with one stale input."""
        origin = self.fingerprints.of(name)
        entries = self._entries.get(base_name(name), [])
        for entry in entries:
            if self._fits(entry, origin.fingerprint):
                path = artefact_path(dataset_of(self.catalog, name), entry.version)
                gone = path is None or not path.exists()
                return f"{entry.path} is {'missing' if gone else 'damaged or was changed'}"
        if entries:
            changes = entries[0].recipe.differences(origin.recipe)
            return "; ".join(changes) or "the pipeline itself changed"
        return "no recorded run has made it yet"

    def _pipelines_that_make(self, stale: Iterable[str]) -> list[str]:
        """The smallest registered pipelines that bring the stale inputs up to date, in order."""
        nodes: dict[str, Node] = {}
        waiting = list(stale)
        while waiting:
            name = waiting.pop()
            producer = self.producers.get(base_name(name))
            if producer is None or producer.name in nodes or self.find(name) is not None:
                continue
            nodes[producer.name] = producer
            waiting += [n for n in producer.inputs if not is_parameter(n)]
        chosen = set()
        for node_name in nodes:
            homes = [
                (len(part.nodes), name)
                for name, part in self.pipelines.items()
                if name != DEFAULT_PIPELINE and node_name in {n.name for n in part.nodes}
            ]
            chosen.update({min(homes)[1]} if homes else set())
        return [name for name in self.pipelines if name in chosen]


def _producers(pipeline: Pipeline, pipelines: Mapping[str, Pipeline]) -> dict[str, Node]:
    """The node that makes each dataset: the run's own, then the default pipeline's, then others."""
    default = pipelines.get(DEFAULT_PIPELINE)
    others = [part for name, part in pipelines.items() if name != DEFAULT_PIPELINE]
    producers: dict[str, Node] = {}
    for part in [pipeline, *([default] if default is not None else []), *others]:
        for node in part.nodes:
            for name in node.outputs:
                producers.setdefault(base_name(name), node)
    return producers
