import pandas as pd
import pytest

from tsmemory.series.errors import IngestionError
from tsmemory.series.partitions import find_partitions

TABLE = pd.DataFrame({"date": ["2024-01-01", "2024-01-02"], "x": [1.0, 2.0]})


def place(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name.endswith(".parquet"):
            TABLE.to_parquet(path)
        else:
            TABLE.to_csv(path, index=False)


def test_a_file_is_one_partition(tmp_path):
    place(tmp_path, "Sales.csv.gz")
    found = find_partitions(tmp_path / "Sales.csv.gz")
    assert [file.name for file in found.files] == ["Sales"]
    assert found.files[0].read().equals(TABLE)


def test_a_folder_is_searched_however_deep(tmp_path):
    place(tmp_path, "b.parquet", "north/a.csv", "north/_old/x.csv", ".hidden.csv", "_delta/y.csv")
    (tmp_path / "README.txt").write_text("not a table")
    found = find_partitions(tmp_path)
    assert [file.name for file in found.files] == ["b", "north/a"]
    assert all(file.read()["x"].tolist() == [1.0, 2.0] for file in found.files)


def test_files_that_differ_in_their_endings_keep_them(tmp_path):
    place(tmp_path, "a.csv", "a.parquet", "c.csv")
    assert [file.name for file in find_partitions(tmp_path).files] == ["a.csv", "a.parquet", "c"]


def test_columns_that_folders_name_are_added(tmp_path):
    place(tmp_path, "item_id=shop 1/part.parquet", "x=7/part.csv")
    first, second = (file.read() for file in find_partitions(tmp_path).files)
    assert first["item_id"].tolist() == ["shop 1", "shop 1"]
    assert second["x"].tolist() == [1.0, 2.0]  # the file's own column stands


def test_the_fingerprint_is_of_names_and_contents(tmp_path):
    place(tmp_path, "one/a.csv", "two/a.csv", "three/b.csv")
    one, two, three = (find_partitions(tmp_path / name) for name in ("one", "two", "three"))
    assert one.fingerprint() == two.fingerprint() != three.fingerprint()
    (tmp_path / "two/a.csv").write_text("date,x\n2024-01-01,3\n")
    assert find_partitions(tmp_path / "two").fingerprint() != one.fingerprint()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: None, "no such file or folder; put it there"),
        (lambda folder: folder.mkdir(), "no table in this folder (it is empty)"),
        (lambda folder: (folder.mkdir(), (folder / "x.xlsx").touch()), "(found: x.xlsx)"),
    ],
)
def test_nothing_to_read_is_refused(tmp_path, prepare, said):
    prepare(tmp_path / "new")
    with pytest.raises(IngestionError) as refusal:
        find_partitions(tmp_path / "new")
    assert str(refusal.value).startswith(str(tmp_path / "new"))
    assert said in str(refusal.value)
