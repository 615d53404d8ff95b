"""The journal of studies in the catalog: kept from run to run, but no input of the computation."""

import pytest
from kedro.io import DataCatalog
from kedro.io.core import DatasetError

from tsmemory.io import StudyJournalDataset
from tsmemory.runs.artefacts import dataset_of, is_persistent, is_workspace
from tsmemory.tuning.journal import StudyJournal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models" / "studies.journal"


@pytest.fixture
def catalog(path):
    entry = {"type": "tsmemory.io.StudyJournalDataset", "filepath": str(path)}
    return DataCatalog.from_config({"studies": entry})


def test_it_names_the_journal_without_making_it(catalog, path):
    assert catalog.exists("studies")
    assert catalog.load("studies") == StudyJournal(path)
    assert not path.parent.exists()


def test_it_cannot_be_saved(path):
    with pytest.raises(DatasetError, match="make it an input of the node"):
        StudyJournalDataset(filepath=str(path)).save({})


def test_it_takes_no_part_in_fingerprints_and_is_not_emptied(catalog, path):
    dataset = dataset_of(catalog, "studies")
    assert is_workspace(dataset)
    assert not is_persistent(dataset)
    path.parent.mkdir()
    path.write_text("a trial\n")
    catalog.load("studies").clear()
    assert path.read_text() == "a trial\n"


def test_it_is_shown_from_the_working_folder(monkeypatch, path):
    assert StudyJournal(path).shown() == path.as_posix()
    monkeypatch.chdir(path.parents[1])
    assert StudyJournal(path).shown() == "models/studies.journal"
