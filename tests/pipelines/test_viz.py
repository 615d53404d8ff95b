"""The graph as kedro-viz draws it."""

import json
import logging

import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog

from tsmemory.pipeline_registry import MAIN_WAY, register_pipelines
from tsmemory.settings import CONFIG_LOADER_ARGS

LAYERS = ["raw", "intermediate", "primary", "datastore", "teacher", "models", "reporting"]


@pytest.fixture(scope="module")
def catalog(repository):
    loader = OmegaConfigLoader(str(repository / "conf"), env="base", **CONFIG_LOADER_ARGS)
    entries = {name: e for name, e in loader["catalog"].items() if not name.startswith("_")}
    return DataCatalog.from_config(entries)


@pytest.fixture(scope="module")
def graph(catalog):
    """What kedro-viz makes of the project: boxes of a pipeline and its layers."""
    pytest.importorskip("kedro_viz")
    from kedro_viz.data_access.managers import DataAccessManager
    from kedro_viz.server import populate_data

    manager = DataAccessManager()
    logging.disable(logging.WARNING)  # parameters are not in this catalog
    try:
        populate_data(manager, catalog, register_pipelines(), {})
    finally:
        logging.disable(logging.NOTSET)

    def boxes_and_layers(name):
        tree = manager.create_modular_pipelines_tree_for_registered_pipeline(name)
        return tree, manager.get_sorted_layers_for_registered_pipeline(name)

    return boxes_and_layers


def test_the_main_way_collapses_into_its_pipelines(graph):
    tree, layers = graph("__default__")
    assert set(tree) == {"__root__", *MAIN_WAY}
    assert layers == LAYERS


@pytest.mark.parametrize("name", register_pipelines())
def test_every_pipeline_has_layers(graph, name):
    """Where they lead back anywhere, with boxes collapsed or not, kedro-viz shows none at all."""
    _, layers = graph(name)
    assert set(layers) == set(LAYERS)


def test_each_step_stands_in_a_box_of_a_pipeline():
    pipelines = register_pipelines()
    for name, pipeline in pipelines.items():
        if name != "__default__":
            assert {node.namespace for node in pipeline.nodes} <= set(pipelines)
            assert name in {node.namespace for node in pipeline.nodes}


def test_names_of_data_and_parameters_know_nothing_of_boxes():
    for pipeline in register_pipelines().values():
        assert not any("." in name for name in pipeline.all_outputs())


def test_whatever_can_be_shown_has_a_preview(catalog):
    """Scratch space and pages of HTML have none; the rest is a table, a plot or a summary."""
    without = {name for name in catalog if not hasattr(catalog[name], "preview")}
    kinds = {type(catalog[name]).__name__ for name in without}
    scratch = {"ShardCacheDataset", "ContentCacheDataset", "StudyJournalDataset"}
    assert kinds <= {*scratch, "AtomicTextDataset"}


def test_every_table_says_how_much_of_it_is_shown(catalog):
    for name in catalog:
        if type(catalog[name]).__name__ in ("CSVDataset", "ParquetDataset"):
            assert catalog[name].metadata["kedro-viz"]["preview_args"]["nrows"] >= 5, name


def test_summaries_of_folders_are_previews(catalog, tmp_path):
    from tsmemory.evaluation.print_figures import PrintedFigures
    from tsmemory.io import FolderDataset

    kind = "tsmemory.evaluation.print_figures.PrintedFigures"
    dataset = FolderDataset(filepath=str(tmp_path / "figures"), kind=kind)
    dataset.save(PrintedFigures({"skill.pdf": b"%PDF"}))
    assert json.loads(dataset.preview()) == {"skill.pdf": 4}
