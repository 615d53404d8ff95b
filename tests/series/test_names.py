import pytest

from tsmemory.series.names import stem


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.csv", "b"),
        ("b.csv.gz", "b"),
        ("b.v2.parquet", "b.v2"),
        ("B.CSV", "B"),
        ("a.csv.v2", "a.csv.v2"),
    ],
)
def test_stem(path, name):
    assert stem(path) == name
