"""What a fingerprint depends on, and what it does not."""

from pathlib import Path
from typing import Annotated

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import BaseModel, Field

from tsmemory.fingerprint import digest
from tsmemory.io import AtomicJSONDataset, ShardCacheDataset
from tsmemory.runs.ledger import Ledger
from tsmemory.runs.plan import plan_run


def join(raw, shards, options):
    return raw


class Fetched(AtomicJSONDataset):
    """Offers its own digest, as a dataset that may be a download does."""

    def content_fingerprint(self) -> str | None:
        return "known digest" if self.exists() else None


@pytest.fixture
def catalog(tmp_path) -> DataCatalog:
    (tmp_path / "raw.json").write_text("[1]")
    catalog = DataCatalog(
        {
            "raw": AtomicJSONDataset(filepath=str(tmp_path / "raw.json")),
            "out": AtomicJSONDataset(filepath=str(tmp_path / "out.json")),
            "shards": ShardCacheDataset(filepath=str(tmp_path / "shards")),
        }
    )
    catalog["params:options"] = {"a": 1, "b": {"c": [1, 2]}}
    return catalog


PIPELINE = Pipeline([Node(join, ["raw", "shards", "params:options"], "out", name="join")])


def _origin(catalog, pipeline=PIPELINE, name="out"):
    return plan_run(pipeline, {}, catalog, None).origins[name]


def test_same_inputs_same_fingerprint(catalog):
    assert _origin(catalog) == _origin(catalog)
    assert len(_origin(catalog).fingerprint) == 16


def test_parameters_by_value_not_by_order(catalog):
    before = _origin(catalog).fingerprint
    catalog["params:options"] = {"b": {"c": [1, 2]}, "a": 1}
    assert _origin(catalog).fingerprint == before
    catalog["params:options"] = {"a": 1, "b": {"c": [2, 1]}}
    assert _origin(catalog).fingerprint != before


def test_the_recipe_is_readable(catalog):
    recipe = _origin(catalog).recipe
    assert recipe.parameters == {"options.a": 1, "options.b.c": [1, 2]}
    assert set(recipe.sources) == {"raw"}
    assert "numpy" in recipe.packages


def test_content_counts_and_the_place_does_not(catalog, tmp_path):
    before = _origin(catalog).fingerprint
    (tmp_path / "moved.json").write_text("[1]")
    catalog["raw"] = AtomicJSONDataset(filepath=str(tmp_path / "moved.json"))
    assert _origin(catalog).fingerprint == before
    (tmp_path / "moved.json").write_text("[2]")
    assert _origin(catalog).fingerprint != before


def test_shards_do_not_count(catalog, tmp_path):
    before = _origin(catalog).fingerprint
    catalog["shards"] = ShardCacheDataset(filepath=str(tmp_path / "elsewhere"))
    assert _origin(catalog).fingerprint == before


def test_the_code_counts(catalog, monkeypatch):
    before = _origin(catalog).fingerprint
    monkeypatch.setattr("tsmemory.runs.fingerprints.sha256_of_file", lambda path: "edited")
    assert _origin(catalog).fingerprint != before


def test_the_package_counts_for_its_own_functions(catalog, monkeypatch):
    pipeline = Pipeline([Node(digest, "raw", "out", name="digest")])
    monkeypatch.setattr("tsmemory.runs.fingerprints.package_digest", lambda: "before")
    before = _origin(catalog, pipeline)
    assert before.recipe.code == {"tsmemory": "before"}
    monkeypatch.setattr("tsmemory.runs.fingerprints.package_digest", lambda: "after")
    assert _origin(catalog, pipeline).fingerprint != before.fingerprint


def test_library_versions_count(catalog, monkeypatch):
    before = _origin(catalog).fingerprint
    monkeypatch.setattr("tsmemory.runs.fingerprints.installed_versions", lambda: {"torch": "9"})
    assert _origin(catalog).fingerprint != before


def test_a_dataset_may_give_its_own_digest(catalog, tmp_path):
    catalog["raw"] = Fetched(filepath=str(tmp_path / "raw.json"))
    assert _origin(catalog).recipe.sources == {"raw": "known digest"}
    (tmp_path / "raw.json").unlink()
    assert _origin(catalog).fingerprint is None


@pytest.mark.parametrize("kind", ["memory", "missing"])
def test_what_cannot_be_fingerprinted_always_runs(catalog, tmp_path, kind):
    if kind == "memory":
        catalog["raw"] = MemoryDataset([1])
    else:
        (tmp_path / "raw.json").unlink()
    assert _origin(catalog).fingerprint is None
    plan = plan_run(PIPELINE, {}, catalog, Ledger(tmp_path / "ledger.json"))
    assert plan.run == ("join",)


def test_inputs_of_untraceable_origin_count_by_content(catalog, tmp_path, caplog):
    catalog["raw"] = MemoryDataset([1])
    (tmp_path / "out.json").write_text("[1]")
    catalog["end"] = AtomicJSONDataset(filepath=str(tmp_path / "end.json"))
    later = Pipeline([Node(len, "out", "end", name="later")])
    ledger = Ledger(tmp_path / "ledger.json")
    plan = plan_run(later, {"first": PIPELINE, "later": later}, catalog, ledger)
    assert plan.origins["end"].fingerprint is not None
    assert "Using out as it is" in caplog.text


def test_transcoded_names_are_one_dataset(catalog, tmp_path):
    for name in ("out@one", "out@two", "end"):
        path = tmp_path / f"{name.split('@')[0]}.json"
        catalog[name] = AtomicJSONDataset(filepath=str(path))
    pipeline = Pipeline(
        [
            Node(join, ["raw", "shards", "params:options"], "out@one", name="join"),
            Node(len, "out@two", "end", name="later"),
        ]
    )
    plan = plan_run(pipeline, {}, catalog, None)
    assert plan.origins["out@one"] == plan.origins["out@two"]
    assert plan.origins["end"].recipe.parameters["options.a"] == 1


class Model(BaseModel):
    """Names a file whose content counts, and has fields that cannot change results."""

    weights: str
    size: Annotated[int, Field(json_schema_extra={"affects_results": False})] = 1
    place: Annotated[str, Field(json_schema_extra={"affects_results": "file_name"})] = "a/b"

    def content_fingerprint(self) -> str | None:
        path = Path(self.weights)
        return path.read_text() if path.exists() else None


def apply(raw, options: Model):
    return raw


@pytest.fixture
def model(catalog, tmp_path) -> dict[str, object]:
    (tmp_path / "weights").write_text("one")
    catalog["params:options"] = {"weights": str(tmp_path / "weights")}
    return catalog["params:options"].load()


APPLY = Pipeline([Node(apply, ["raw", "params:options"], "out", name="apply")])


def test_what_a_parameter_names_counts_by_content(catalog, model, tmp_path):
    before = _origin(catalog, APPLY)
    assert before.recipe.sources["params:options"] == "one"
    (tmp_path / "weights").write_text("two")
    after = _origin(catalog, APPLY)
    assert after.fingerprint != before.fingerprint
    assert before.recipe.differences(after.recipe) == ["the content of params:options changed"]
    (tmp_path / "weights").unlink()
    assert _origin(catalog, APPLY).fingerprint is None


def test_fields_without_effect_do_not_count(catalog, model):
    before = _origin(catalog, APPLY)
    catalog["params:options"] = {**model, "size": 2, "place": "c/b"}
    assert _origin(catalog, APPLY) == before
    assert "options.size" not in before.recipe.parameters
    catalog["params:options"] = {**model, "place": "c/d"}
    after = _origin(catalog, APPLY)
    assert before.recipe.differences(after.recipe) == ["options.place: b -> d"]
