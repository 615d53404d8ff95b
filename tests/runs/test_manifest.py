"""The manifest accounts for a run, whether it succeeds or fails."""

import subprocess

import pytest

from tsmemory.fingerprint import digest, sha256_of_path
from tsmemory.runs.environment import git_state

TEACHER = {"k": 3, "seed": 0}


def test_a_completed_run(project):
    project.run()
    manifest = project.read("manifest")
    assert manifest == project.read("manifest_versions", 1)
    assert manifest["status"] == "completed"
    assert manifest["error"] is None
    assert manifest["parameters"]["teacher"] == TEACHER
    assert manifest["parameters"].pop("resume") is True
    assert manifest["parameters_fingerprint"] == digest(manifest["parameters"])
    assert manifest["seeds"] == {"teacher.seed": 0}
    assert manifest["pipelines"] == ["__default__"]
    assert manifest["env"] == "test"
    assert manifest["started"] <= manifest["finished"]
    assert {"torch", "numpy", "tsmemory"} <= set(manifest["packages"])
    raw = project.folder / "data/raw.json"
    assert manifest["inputs"] == [{"dataset": "raw", "fingerprint": sha256_of_path(raw)}]


def test_nodes_and_artefacts(project):
    project.run()
    manifest = project.read("manifest")
    assert [line["node"] for line in manifest["nodes"]] == ["clean", "teach", "fit", "score"]
    for line in manifest["nodes"]:
        assert line["reused"] is False
        assert line["seconds"] >= 0
        assert line["peak_memory_bytes"] > 2**20
        assert manifest["peak_memory_bytes"] >= line["peak_memory_bytes"]
    artefacts = {line["dataset"]: line for line in manifest["artefacts"]}
    assert set(artefacts) == {"panel", "teacher", "adapter", "metrics"}
    panel = artefacts["panel"]
    assert panel["path"] == "data/panel.json"
    assert panel["sha256"] == sha256_of_path(project.folder / panel["path"])
    assert panel["bytes"] == (project.folder / panel["path"]).stat().st_size
    assert artefacts["teacher"]["version"] == "2026-01-01T00.00.01"
    assert artefacts["teacher"]["path"].startswith("data/teacher.json/2026-01-01T00.00.01/")
    assert all(line["made_now"] for line in manifest["artefacts"])


def test_reused_steps_are_marked(project):
    project.run()
    project.run(score={"horizon": 96})
    manifest = project.read("manifest")
    assert [line["reused"] for line in manifest["nodes"]] == [True, True, True, False]
    assert [line["seconds"] is None for line in manifest["nodes"]] == [True, True, True, False]
    made = {line["dataset"]: line["made_now"] for line in manifest["artefacts"]}
    assert made == {"panel": False, "teacher": False, "adapter": False, "metrics": True}


def test_a_failed_run(project, breaking):
    breaking("fit")
    with pytest.raises(RuntimeError):
        project.run()
    manifest = project.read("manifest")
    assert manifest["status"] == "failed"
    assert manifest["error"] == "RuntimeError: fit broke"
    assert {line["dataset"] for line in manifest["artefacts"]} == {"panel", "teacher"}
    assert manifest["nodes"][-1]["seconds"] is None


def test_a_manifest_that_cannot_be_saved_does_not_fail_the_run(project, caplog):
    (project.folder / "data/manifest.json").mkdir()
    assert len(project.run()) == 4
    assert "manifest could not be saved" in caplog.text
    assert project.read("manifest_versions", 1)["status"] == "completed"


def test_parameters_fingerprint_does_not_depend_on_what_is_run(project):
    project.run()
    whole = project.read("manifest")["parameters_fingerprint"]
    catalog = project.catalog(resume=False)
    catalog["params:teacher"] = {"k": 3}
    project.run("scoring", catalog=catalog)
    assert project.read("manifest")["parameters_fingerprint"] == whole


def test_git_state(tmp_path):
    assert git_state(tmp_path) is None

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        command = ["git", *identity, *arguments]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init")
    (tmp_path / "file").write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    assert git_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "file").write_text("2")
    state = git_state(tmp_path)
    assert state is not None
    assert state["dirty"] is True
