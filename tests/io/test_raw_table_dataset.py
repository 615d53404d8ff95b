import inspect
import json

import pandas as pd
import pytest
from kedro.io import DataCatalog, DatasetError

from tsmemory.io.raw_table_dataset import RawTableDataset

FRAME = pd.DataFrame(
    {
        "timestamp": pd.date_range("2020-01-01", periods=9, freq="h"),
        "x": [0.0, None, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
    }
)


@pytest.fixture(params=["csv", "parquet"])
def path(request, tmp_path):
    path = tmp_path / f"a.{request.param}"
    if request.param == "csv":
        FRAME.to_csv(path, index=False)
    else:
        FRAME.to_parquet(path)
    return path


def test_load_from_the_catalog(path):
    config = {"type": "tsmemory.io.raw_table_dataset.RawTableDataset", "filepath": str(path)}
    raw = DataCatalog.from_config({"raw_table": config}).load("raw_table")
    assert raw.path == path
    assert len(raw.sha256) == 64
    assert raw.frame["x"].tolist()[2:] == FRAME["x"].tolist()[2:]


def test_exists(path, tmp_path):
    assert RawTableDataset(filepath=str(path)).exists()
    assert not RawTableDataset(filepath=str(tmp_path / "b.csv")).exists()


def test_missing_file_says_what_to_do(tmp_path):
    source = {"url": "https://example.org/b.csv", "sha256": "0" * 64}
    dataset = RawTableDataset(filepath=str(tmp_path / "b.csv"), source=source)
    with pytest.raises(DatasetError, match=r"ingestion\.download=true"):
        dataset.load()


def test_download_if_agreed(path, tmp_path):
    raw = RawTableDataset(filepath=str(path)).load()
    source = {"url": path.as_uri(), "sha256": raw.sha256}
    copy = tmp_path / f"copy{path.suffix}"
    dataset = RawTableDataset(filepath=str(copy), source=source, download=True)
    assert dataset.load().sha256 == raw.sha256
    assert copy.read_bytes() == path.read_bytes()


def test_save_is_refused(path):
    with pytest.raises(DatasetError, match="never written"):
        RawTableDataset(filepath=str(path)).save("anything")


def test_preview_is_json(path):
    preview = RawTableDataset(filepath=str(path)).preview(nrows=3)
    assert preview["columns"] == ["timestamp", "x"]
    assert [row[1] for row in preview["data"]] == [0.0, None, 2.0]
    assert json.loads(json.dumps(preview))["data"][0][0].startswith("2020-01-01")
    returned = inspect.signature(RawTableDataset.preview).return_annotation
    assert returned.__name__ == "TablePreview"


def test_description_names_the_file(path):
    assert str(path) in repr(RawTableDataset(filepath=str(path)))
