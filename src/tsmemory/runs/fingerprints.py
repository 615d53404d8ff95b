"""Merkle fingerprints: what an artefact would be made from, digested without making it."""

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedro.io.core import is_parameter
from kedro.pipeline.node import Node
from pydantic_core import to_jsonable_python

from tsmemory.fingerprint import (
    digest,
    installed_versions,
    package_digest,
    sha256_of_file,
    sha256_of_path,
)
from tsmemory.runs.artefacts import (
    Catalog,
    artefact_path,
    base_name,
    dataset_of,
    is_workspace,
    pinned_version,
)
from tsmemory.runs.ledger import Recipe
from tsmemory.runs.parameters import ParameterValues


@dataclass(frozen=True)
class Origin:
    """What a dataset is, or would be, made from.

    Attributes:
        fingerprint: Digest of the recipe; ``None`` where something upstream cannot be
            fingerprinted, for example data that only lives in memory.
        recipe: The same for people.
    """

    fingerprint: str | None
    recipe: Recipe


class Fingerprints:
    """Origins of datasets, each computed once."""

    def __init__(
        self, producers: Mapping[str, Node], catalog: Catalog, parameters: ParameterValues
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            producers: The node that makes each dataset, by the dataset's base name.
            catalog: Where parameters and free inputs are found.
            parameters: Normalised parameters.
        """
        self._producers = producers
        self._catalog = catalog
        self._parameters = parameters
        self._datasets: dict[str, Origin] = {}
        self._nodes: dict[str, Origin] = {}

    def of(self, name: str) -> Origin:
        """Origin of a dataset: its producer's, or its content where nothing produces it.

        A version that the user pins counts by its content, whatever would produce it now.
        """
        base = base_name(name)
        if base not in self._datasets:
            producer = self._producers.get(base)
            if producer is None or pinned_version(dataset_of(self._catalog, name)):
                return self.by_content(name)
            made = self._of_node(producer)
            fingerprint = made.fingerprint and digest([made.fingerprint, base])
            self._datasets[base] = Origin(fingerprint, made.recipe)
        return self._datasets[base]

    def by_content(self, name: str) -> Origin:
        """Origin of a dataset that counts as given: the digest of its content, from now on."""
        dataset = dataset_of(self._catalog, name)
        if is_workspace(dataset):
            origin = Origin("workspace", Recipe())
        else:
            content = _content(dataset)
            origin = Origin(content, Recipe(sources={base_name(name): content}))
        self._datasets[base_name(name)] = origin
        return origin

    def _of_node(self, node: Node) -> Origin:
        """Origin of whatever a node makes."""
        if node.name not in self._nodes:
            function, code = _function(node.func)
            recipe = Recipe({}, {}, code, installed_versions())
            inputs: list[tuple[str, Any]] = []
            known = True
            for name in node.inputs:
                if is_parameter(name):
                    contents = self._parameters.contents(name)
                    inputs.append((name, self._parameters.essence(name)))
                    inputs += contents.items()
                    known = known and None not in contents.values()
                    flat = self._parameters.flat(name)
                    recipe = _merge(recipe, Recipe(parameters=flat, sources=contents))
                else:
                    origin = self.of(name)
                    inputs.append((name, origin.fingerprint))
                    known = known and origin.fingerprint is not None
                    recipe = _merge(recipe, origin.recipe)
            parts = {"function": function, "inputs": inputs, "code": code}
            parts["packages"] = installed_versions()
            self._nodes[node.name] = Origin(digest(parts) if known else None, recipe)
        return self._nodes[node.name]


def _function(function: Any) -> tuple[Any, dict[str, str]]:
    """Name a node's function, with the arguments bound to it, and digest its source code."""
    bound = []
    while isinstance(function, functools.partial):
        bound.append([list(function.args), function.keywords])
        function = function.func
    function = inspect.unwrap(function)
    module = getattr(function, "__module__", "")
    name = f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    described = [name, to_jsonable_python(bound, fallback=repr)]
    if module.split(".")[0] == "tsmemory":
        return described, {"tsmemory": package_digest()}
    try:
        source = inspect.getsourcefile(function)
    except TypeError:  # built in or compiled: there is no source to digest
        source = None
    if source is None or not Path(source).is_file():
        return described, {}
    return described, {module: sha256_of_file(source)}


def _content(dataset: Any) -> str | None:
    """Digest of the data that a dataset gives; ``None`` where it cannot be had."""
    if dataset is None:
        return None
    if hasattr(dataset, "content_fingerprint"):
        content: str | None = dataset.content_fingerprint()
        return content
    versioned = getattr(dataset, "_version", None) is not None
    if versioned and not dataset.exists():
        return None
    path = artefact_path(dataset, dataset.resolve_load_version() if versioned else None)
    return sha256_of_path(path) if path is not None and path.exists() else None


def _merge(one: Recipe, other: Recipe) -> Recipe:
    """Everything that either recipe names."""
    return Recipe(
        {**one.parameters, **other.parameters},
        {**one.sources, **other.sources},
        {**one.code, **other.code},
        {**one.packages, **other.packages},
    )
