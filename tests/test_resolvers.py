"""Resolvers of the configuration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsmemory.resolvers import data_file, domain, first


@pytest.mark.parametrize(
    ("explicit", "path", "expected"),
    [
        ("Etth1", "data/x.csv", "etth1"),
        (None, "data/01_raw/tmy_weather.parquet", "tmy_weather"),
        (None, "/far/Vic Electricity (2014).csv", "vic_electricity_2014"),
        ("", "a-b--c.csv", "a_b_c"),
        (None, "data/sales.csv.gz", "sales"),
        (None, "Überlast.csv", "überlast"),
        (None, None, "data"),
        (None, "---.csv", "data"),
    ],
)
def test_domain(explicit, path, expected):
    assert domain(explicit, path) == expected


@given(st.none() | st.text(), st.none() | st.text())
def test_a_domain_is_a_safe_folder_name(explicit, path):
    name = domain(explicit, path)
    assert name
    assert name.replace("_", "").isalnum()
    assert domain(name, None) == name


def test_data_file_lies_in_the_raw_folder_by_default(monkeypatch):
    monkeypatch.delenv("MY_DATA", raising=False)
    assert data_file("ETTh1.csv", "MY_DATA") == "data/01_raw/ETTh1.csv"


def test_data_file_follows_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("MY_DATA", str(tmp_path))
    assert data_file("ETTh1.csv", "MY_DATA") == f"{tmp_path.as_posix()}/ETTh1.csv"
    monkeypatch.setenv("MY_DATA", str(tmp_path / "other.csv"))
    assert data_file("ETTh1.csv", "MY_DATA") == f"{tmp_path.as_posix()}/other.csv"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((None, "a", "b"), "a"),
        ((False, "a"), False),
        (("", None), ""),
        ((None, None), None),
        ((), None),
    ],
)
def test_first_is_the_first_that_is_given(values, expected):
    assert first(*values) == expected
