"""The project as a whole: pipelines, catalog and layers fit each other."""

import json
import subprocess
import sys

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io.core import is_parameter

from tsmemory.pipeline_registry import MAIN_WAY, register_pipelines
from tsmemory.settings import CONFIG_LOADER_ARGS

LAYERS = ("raw", "intermediate", "primary", "datastore", "teacher", "models", "reporting")
FOLDERS = {
    "raw": {"01_raw"},
    "intermediate": {"02_intermediate"},
    "primary": {"03_primary"},
    "datastore": {"04_datastore"},
    "teacher": {"05_teacher"},
    "models": {"06_models", "07_model_output"},
    "reporting": {"08_reporting"},
}
VERBS = {
    "calibrate",
    "collect",
    "count",
    "describe",
    "diagnose",
    "distil",
    "export",
    "fit",
    "forecast",
    "fuse",
    "index",
    "list",
    "measure",
    "plot",
    "pretrain",
    "print",
    "read",
    "rebuild",
    "scale",
    "score",
    "search",
    "split",
    "tabulate",
    "write",
}
VERSIONED = {
    "datastore",
    "neighbours",
    "teacher_calibration",
    "adapter",
    "fusion",
    "loss_curve",
    "leaderboard_versions",
    "metrics",
    "manifest_versions",
    "tuned_gates",
    "tuned_mask",
}
WRITTEN_BY_HOOKS = {"manifest", "manifest_versions"}


@pytest.fixture(scope="module")
def catalog(repository):
    loader = OmegaConfigLoader(str(repository / "conf"), env="base", **CONFIG_LOADER_ARGS)
    return {name: entry for name, entry in loader["catalog"].items() if not name.startswith("_")}


@pytest.fixture(scope="module")
def nodes():
    parts = register_pipelines().values()
    return list({node.name: node for part in parts for node in part.nodes}.values())


def datasets_of(nodes):
    names = {name for node in nodes for name in (*node.inputs, *node.outputs)}
    return {name for name in names if not is_parameter(name)}


def test_the_default_is_the_main_way():
    pipelines = register_pipelines()
    assert tuple(MAIN_WAY) == (
        "ingestion",
        "windowing",
        "indexing",
        "teacher",
        "distillation",
        "evaluation",
    )
    parts = {node.name for name in MAIN_WAY for node in pipelines[name].nodes}
    assert {node.name for node in pipelines["__default__"].nodes} == parts
    assert pipelines["__default__"].inputs() - {
        name for name in pipelines["__default__"].inputs() if is_parameter(name)
    } == {
        "raw_table",
        "backbone_answers",
        "indexing_workspace",
        "teacher_workspace",
        "trace_rows",
        "together_rows",
    }


def test_every_dataset_is_in_the_catalog_and_used(catalog, nodes):
    assert datasets_of(nodes) | WRITTEN_BY_HOOKS == set(catalog)


def test_every_entry_says_what_and_where_it_is(catalog):
    for name, entry in catalog.items():
        metadata = entry["metadata"]
        assert metadata["description"].endswith("."), name
        layer = metadata["kedro-viz"]["layer"]
        path = entry.get("filepath") or entry["folder"]
        assert path.split("/")[0] == "data", name
        assert path.split("/")[1] in FOLDERS[layer], name


def test_versions_are_kept_of_what_is_expensive_or_compared(catalog):
    assert {name for name, entry in catalog.items() if entry.get("versioned")} == VERSIONED


def test_layers_only_lead_onwards(catalog, nodes):
    """Kedro-Viz shows no layer at all where they form a cycle."""
    rank = {name: LAYERS.index(e["metadata"]["kedro-viz"]["layer"]) for name, e in catalog.items()}
    for node in nodes:
        before = [rank[name] for name in node.inputs if not is_parameter(name)]
        assert max(before, default=0) <= min(rank[name] for name in node.outputs), node.name
    assert set(rank.values()) == set(range(len(LAYERS)))


def test_every_step_is_named_as_a_verb_and_says_what_it_does(nodes):
    for node in nodes:
        assert node.short_name == node.func.__name__
        assert node.short_name.split("_")[0] in VERBS, node.name
        assert (node.func.__doc__ or "").splitlines()[0].endswith(".")


def test_every_parameter_of_a_step_is_set_in_base(repository, nodes):
    loader = OmegaConfigLoader(str(repository / "conf"), env="base", **CONFIG_LOADER_ARGS)
    asked = {name for node in nodes for name in node.inputs if is_parameter(name)}
    for name in asked:
        value = loader["parameters"]
        for key in name.removeprefix("params:").split("."):
            assert key in value, name
            value = value[key]


@pytest.mark.parametrize("env", ["etth1", "test"])
def test_environments_only_override_what_base_has(repository, env):
    """A name that base lacks would be a setting that nobody reads."""
    base, other = (
        OmegaConfigLoader(str(repository / "conf"), env=name, **CONFIG_LOADER_ARGS)["parameters"]
        for name in ("base", env)
    )
    assert _names(other) == _names(base)


def _names(values, path=""):
    if not isinstance(values, dict):
        return {path}
    # A source is null in base, and a mapping where there is one.
    if path == "ingestion.source":
        return {path}
    return {n for name, v in values.items() for n in _names(v, f"{path}.{name}".lstrip("."))}


def test_registering_imports_nothing_heavy():
    code = (
        "import json, sys; from tsmemory.pipeline_registry import register_pipelines;"
        "register_pipelines(); print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "faiss", "chronos", "transformers", "plotly", "matplotlib", "pyarrow"}
    heavy |= {"optuna"}
    # pandas brings pyarrow where it is installed.
    assert not (heavy - {"pyarrow"}) & set(json.loads(done.stdout))
