"""Resuming: nothing current is made again, nothing stale is ever used."""

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import SequentialRunner, ThreadRunner
from kedro_datasets.partitions import PartitionedDataset

from tsmemory.runs.errors import ParameterError, StaleArtefactError
from tsmemory.runs.runner import ResumingRunner

ALL = ["clean", "teach", "fit", "score"]


def test_second_run_skips_everything(project, caplog):
    with caplog.at_level("INFO", logger="tsmemory"):
        assert project.run() == ALL
    assert "teach begins, 2 of 4" in caplog.text
    for step in ALL:
        assert f"{step} done in 0.0 s, " in caplog.text
    with caplog.at_level("INFO", logger="tsmemory"):
        assert project.run() == []
    assert "Reusing all 4 steps" in caplog.text
    assert project.result["metrics"].load() == {"error": 14.0, "horizon": 24}
    assert len(project.versions("metrics")) == 1


def test_a_parameter_reruns_only_what_depends_on_it(project):
    project.run()
    assert project.run(score={"horizon": 96}) == ["score"]
    # `fit` needs the lessons that `teach` keeps in memory, so both run.
    assert project.run(rate=1.0) == ["teach", "fit", "score"]
    assert project.run(teacher={"k": 4}) == ["teach", "fit", "score"]


def test_changing_a_parameter_back_reuses_the_older_version(project):
    project.run()
    project.run(teacher={"k": 4})
    assert project.read("teacher", 2) == {"k": 4}
    assert project.run() == []
    assert project.result["metrics"].load()["error"] == 14.0
    # A step that does run is given the matching version, not the newest on disk.
    assert project.run(score={"horizon": 96}) == ["score"]
    assert project.result["metrics"].load() == {"error": 14.0, "horizon": 96}


def test_an_unversioned_output_is_made_again_when_a_parameter_changes_back(project):
    first = project.folder / "data/raw.json"
    before = first.read_text()
    project.run()
    first.write_text("[5.0, 6.0, 7.0, 8.0]")
    assert project.run() == ALL
    first.write_text(before)
    assert project.run() == ["clean"]  # the rest is versioned and known


def test_changed_input_data_rerun_everything(project):
    project.run()
    (project.folder / "data/raw.json").write_text("[1.0, 1.0]")
    assert project.run() == ALL


@pytest.mark.parametrize("damage", ["truncate", "change", "delete"])
def test_a_damaged_artefact_is_made_again(project, damage):
    project.run()
    path = project.folder / "data/panel.json"
    text = path.read_text()
    if damage == "delete":
        path.unlink()
    else:
        path.write_text(text[:-4] if damage == "truncate" else text.replace("2.0", "9.0"))
    assert project.run() == ["clean"]
    assert path.read_text() == text


def test_a_damaged_version_falls_back_to_an_equal_one(project):
    project.run()
    assert project.run(resume=False) == ALL
    newest = project.folder / "data/adapter.json/2026-01-01T00.00.02/adapter.json"
    newest.write_text("{")
    assert project.run() == []
    assert project.result["metrics"].load()["error"] == 14.0
    project.run(score={"horizon": 96})
    assert project.record.plan.reused["adapter"].version == "2026-01-01T00.00.01"


def test_resume_false_recomputes(project):
    project.run()
    assert project.run(resume=False) == ALL


def test_resume_must_be_a_truth_value(project):
    with pytest.raises(ParameterError, match="resume = 'no'"):
        project.run(resume="no")


def test_a_failed_run_resumes(project, breaking, mended, caplog):
    breaking("score")
    with pytest.raises(RuntimeError, match="score broke"):
        project.run()
    assert "3 of 4 steps were completed" in caplog.text
    mended()
    assert project.run() == ["score"]


def test_partial_pipeline_takes_current_inputs(project):
    project.run("preparation")
    project.run("teaching")
    assert project.run("scoring") == ["score"]
    assert project.run() == []


def test_partial_pipeline_refuses_stale_inputs_and_says_why(project):
    project.run()
    with pytest.raises(StaleArtefactError) as error:
        project.run("scoring", teacher={"k": 4})
    message = error.value.message
    assert "adapter: teacher.k: 3 -> 4" in message
    assert "panel:" not in message
    assert "kedro run --pipelines teaching`" in message


def test_partial_pipeline_names_all_pipelines_that_are_behind(project):
    project.run()
    (project.folder / "data/raw.json").write_text("[1.0]")
    with pytest.raises(StaleArtefactError) as error:
        project.run("scoring")
    assert "panel: the content of raw changed" in error.value.message
    assert "kedro run --pipelines preparation,teaching`" in error.value.message


def test_partial_pipeline_refuses_missing_and_damaged_inputs(project):
    with pytest.raises(StaleArtefactError, match="panel: no recorded run has made it yet"):
        project.run("scoring")
    project.run()
    path = project.folder / "data/panel.json"
    path.write_text(path.read_text()[:-4])
    with pytest.raises(StaleArtefactError, match=r"data/panel.json is damaged"):
        project.run("scoring")
    path.unlink()
    with pytest.raises(StaleArtefactError, match=r"data/panel.json is missing"):
        project.run("scoring")


def test_partial_pipeline_does_not_depend_on_how_parameters_were_validated(project):
    project.run()
    catalog = project.catalog()
    catalog["params:teacher"] = {"k": 3}  # not a model, as when only `scoring` is requested
    assert project.run("scoring", catalog=catalog, score={"horizon": 24}) == []


def test_stale_inputs_are_refused_whatever_the_runner(project):
    project.run()
    with pytest.raises(StaleArtefactError):
        project.run("scoring", runner=SequentialRunner(), teacher={"k": 4})


@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner])
def test_other_runners_run_everything_but_are_remembered(project, runner):
    assert sorted(project.run(runner=runner())) == sorted(ALL)
    assert sorted(project.run(runner=runner())) == sorted(ALL)
    assert project.run() == []


def test_a_partial_run_with_another_runner_loads_the_matching_version(project):
    project.run()
    project.run(teacher={"k": 4})
    project.run("scoring", runner=SequentialRunner())
    assert project.result["metrics"].load()["error"] == 14.0


def test_a_version_that_the_user_pins_is_used(project):
    project.run()
    project.run(teacher={"k": 4})
    catalog = project.catalog(load_versions={"adapter": "2026-01-01T00.00.01"})
    assert project.run("scoring", catalog=catalog) == ["score"]
    assert project.result["metrics"].load()["error"] == 14.0
    pinned = project.catalog({"adapter": "2026-01-01T00.00.01"}, teacher={"k": 4})
    assert project.run(catalog=pinned) == []  # the whole pipeline, with that adapter
    assert project.result["metrics"].load()["error"] == 14.0


def test_without_a_manifest_entry_nothing_is_remembered(project):
    project.ledger_entry = False
    assert project.run() == ALL
    assert project.run() == ALL
    assert not project.ledger.path.exists()


def test_without_hooks_the_runner_runs_everything(project):
    project.run()
    project.calls.clear()
    ResumingRunner().run(project.pipelines["__default__"], project.catalog())
    assert project.calls == ALL


def _stream(raw: list[float]) -> Iterator[dict[str, list[float]]]:
    yield {"first": raw[:2]}
    yield {"second": raw[2:]}


def _break(parts: dict[str, Any]) -> float:
    raise RuntimeError("no use")


def _break_midway(raw: list[float]) -> Iterator[dict[str, list[float]]]:
    yield {"first": raw[:2]}
    raise RuntimeError("midway")


def _run_streaming(project: Any, stream: Any, consumer: Any) -> list[str]:
    pipeline = Pipeline(
        [Node(stream, "raw", "parts", name="stream"), Node(consumer, "parts", "n", name="count")]
    )
    catalog = project.catalog()
    folder = (project.folder / "data/parts").as_posix()
    catalog["parts"] = PartitionedDataset(path=folder, dataset="json.JSONDataset")
    project.run(pipeline=pipeline, catalog=catalog)
    return sorted(project.record.reused)


def test_a_generator_node_is_remembered_once_it_is_read(project):
    with pytest.raises(RuntimeError, match="no use"):
        _run_streaming(project, _stream, _break)
    assert [entry.dataset for entry in project.ledger.entries()] == ["parts"]
    assert _run_streaming(project, _stream, len) == ["stream"]


def test_a_generator_node_that_breaks_midway_is_not_remembered(project):
    with pytest.raises(RuntimeError, match="midway"):
        _run_streaming(project, _break_midway, len)
    assert project.ledger.entries() == []


def test_a_bound_argument_is_part_of_the_recipe(project):
    def run(factor: int) -> tuple[str, ...]:
        scale = functools.update_wrapper(functools.partial(_scale, factor=factor), _scale)
        node = Node(scale, "raw", "panel", name="scale")
        project.run(pipeline=Pipeline([node]))
        return project.record.plan.run

    assert run(2) == ("scale",)
    assert run(2) == ()
    assert run(3) == ("scale",)


def _scale(raw: list[float], factor: int) -> list[float]:
    return [factor * x for x in raw]
