import gzip

import pandas as pd
import pytest

from tsmemory.fingerprint import sha256_of_file
from tsmemory.series.errors import IngestionError
from tsmemory.series.reading import read_raw, read_table

TABLE = pd.DataFrame({"timestamp": ["2020-01-01", "2020-01-02"], "value": [1.5, 2.5]})

CUT_GZIP = gzip.compress(b"a,b\n" + b"1,2\n" * 999, mtime=0)[:-12]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "A.CSV", "A.PARQUET"])
def test_reads_every_kind(tmp_path, name):
    path = tmp_path / name
    if name.lower().endswith("parquet"):
        TABLE.to_parquet(path)
    else:
        TABLE.to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_table(path), TABLE)


def test_raw_table_knows_its_file(tmp_path):
    path = tmp_path / "a.csv"
    TABLE.to_csv(path, index=False)
    raw = read_raw(path)
    assert raw.path == path
    assert raw.sha256 == sha256_of_file(path)


def test_index_of_a_parquet_file_becomes_a_column(tmp_path):
    path = tmp_path / "a.parquet"
    TABLE.set_index("timestamp").to_parquet(path)
    pd.testing.assert_frame_equal(read_table(path), TABLE)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "no such file"),
        ("missing.parquet", None, "no such file"),
        ("table.xlsx", b"x", r"ends in \.csv, \.csv\.gz or \.parquet"),
        ("empty.csv", b"", "is empty"),
        ("header.csv", b"timestamp,value\n", "no rows"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3,4\n", "not readable as CSV"),
        ("latin.csv", b"a,b\n\xe9\xff,2\n", "not readable as CSV"),
        ("plain.csv.gz", b"a,b\n1,2\n", "not readable as CSV"),
        ("cut.csv.gz", CUT_GZIP, "not readable as CSV"),
        ("text.parquet", b"a,b\n1,2\n", "not readable as Parquet"),
        ("empty.parquet", b"", "not readable as Parquet"),
    ],
)
def test_unusable_files_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IngestionError, match=message) as error:
        read_table(path)
    assert str(path) in str(error.value)


def test_truncated_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    TABLE.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(IngestionError, match="not readable as Parquet"):
        read_table(path)


def test_folder_is_no_file(tmp_path):
    path = tmp_path / "a.csv"
    path.mkdir()
    with pytest.raises(IngestionError, match="is a folder"):
        read_table(path)
