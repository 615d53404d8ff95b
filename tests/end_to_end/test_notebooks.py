"""Every notebook runs from top to bottom on what a run leaves, and is committed without outputs."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from projects import Project

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.fixture(scope="module")
def project(base: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after two runs, of which the second had another parameter."""
    project = base.copy(tmp_path_factory.mktemp("notebooks"))
    project.run({"teacher.k": 5})
    (project.folder / "notebooks").mkdir()
    return project


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSMEMORY_DOMAIN", project.domain)
    folder = project.folder / "notebooks"
    copied = Path(shutil.copy(path, folder))
    notebook = nbformat.read(copied, as_version=4)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
    client.execute()
    assert all(cell.outputs for cell in notebook.cells[2:] if cell.cell_type == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
