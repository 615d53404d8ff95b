"""New tables are looked through before any work, and what does not fit is refused."""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from forecasters import OPEN, L, make_forecaster, make_frame

from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.new_tables import SKIPPED, SURVEY, NewTables, Reading
from tsmemory.series.errors import IngestionError
from tsmemory.series.partitions import find_partitions

HOURS = pd.date_range("2024-01-01", periods=100, freq="h")
KNOWN = KnownSeries(("a", "b"), ("load", "load"), np.array([0.0, 1.0]), np.ones(2), 0.8)
FORECASTER = make_forecaster(OPEN, KNOWN)


@pytest.fixture
def look(tmp_path):
    """Write tables and look them through."""

    def survey(forecaster=FORECASTER, reading=None, **tables):
        for name, table in tables.items():
            table.to_csv(tmp_path / f"{name}.csv", index=False)
        where = tmp_path if len(tables) > 1 else tmp_path / f"{name}.csv"
        return NewTables(find_partitions(where), forecaster, reading or Reading()).survey()

    return survey


def test_every_table_has_a_line(look):
    found = look(one=make_frame(HOURS, ("a", "b")), two=make_frame(HOURS[:70], ("c",)))
    assert list(found.tables) == list(SURVEY)
    assert list(found.skipped) == list(SKIPPED)
    assert found.skipped.empty
    one, two = found.tables.to_dict("records")
    assert one["table"] == "one"
    assert (one["rows"], one["series"], one["forecasts"], one["new"]) == (200, 2, 2, 0)
    assert (two["rows"], two["series"], two["forecasts"], two["new"]) == (70, 1, 1, 1)
    assert one["freq"] == two["freq"] == "h"
    assert two["last_end"] == "2024-01-03T21:00:00"


def test_what_is_missing_is_counted_and_what_is_empty_left_out(look, caplog):
    frame = make_frame(HOURS, ("a", "b", "c"))
    frame.loc[(frame["item_id"] == "a") & (frame["timestamp"] == HOURS[-3]), "load"] = np.nan
    frame.loc[frame["item_id"] == "b", "load"] = np.nan
    early = (frame["item_id"] == "c") & (frame["timestamp"] < HOURS[-L])
    frame.loc[early, "load"] = np.nan
    frame = frame.drop(index=10)
    with caplog.at_level(logging.WARNING):
        found = look(one=frame)
    line = found.tables.iloc[0]
    assert (line["forecasts"], line["incomplete"], line["skipped"]) == (2, 1, 1)
    assert line["repairs"].startswith("1 missing row(s)")
    assert caplog.text == ""  # the caller says it, once for all tables
    assert found.skipped.to_dict("records") == [
        {
            "table": "one",
            "item_id": "b",
            "target_name": "load",
            "reason": f"no observed value in the last {L} steps",
        }
    ]


def test_a_file_without_identifiers_is_the_only_series_there_is(look):
    frame = make_frame(HOURS, ("a",)).drop(columns="item_id")
    only = make_forecaster(OPEN, KnownSeries(("a",), ("load",), np.zeros(1), np.ones(1), 0.8))
    assert look(only, newest=frame).tables["new"].tolist() == [0]
    assert look(FORECASTER, newest=frame).tables["new"].tolist() == [1]


def test_targets_are_those_of_the_memory_unless_told(look):
    frame = make_frame(HOURS, ("a",))
    assert look(one=frame).tables["forecasts"].tolist() == [1]
    both = Reading(target_columns=("load", "target"))
    assert look(reading=both, one=frame).tables["forecasts"].tolist() == [2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop(columns="load"), "made from column(s) 'load' of the domain 'sample'"),
        (lambda f: f.drop(columns="timestamp"), "which column holds the timestamps?"),
        (lambda f: pd.concat([f, f.tail(1)]), "rows repeat a timestamp"),
        (lambda f: f.assign(load="n/a?"), "column 'load' holds what is no number"),
        (lambda f: f.assign(load=np.inf), "column 'load' holds infinite values"),
        (lambda f: f.assign(load=np.nan), f"no observed value in the last {L} steps"),
        (lambda f: f.head(1), "frequency"),
    ],
)
def test_what_cannot_be_forecast_is_refused_with_the_file(look, change, said):
    with pytest.raises((ForecasterError, IngestionError)) as refusal:
        look(bad=change(make_frame(HOURS, ("a",))))
    assert "bad.csv: " in str(refusal.value)
    assert said in str(refusal.value)


def test_a_series_in_two_files_is_refused(look):
    frame = make_frame(HOURS, ("a", "b"))
    with pytest.raises(ForecasterError, match=r"south\.csv: series 'b' \(also in north\)"):
        look(north=frame, south=make_frame(HOURS, ("b", "c")))


def test_tables_of_different_steps_are_refused(look):
    days = pd.date_range("2024-01-01", periods=70, freq="D")
    with pytest.raises(ForecasterError, match=r"two\.csv: its rows are D apart, those of one h"):
        look(one=make_frame(HOURS, ("a",)), two=make_frame(days, ("b",)))


def test_other_steps_than_the_memory_was_made_from_are_refused(look):
    days = make_frame(pd.date_range("2024-01-01", periods=70, freq="D"), ("a",))
    hourly = make_forecaster(OPEN, replace(KNOWN, freq="h"))
    assert look(hourly, one=make_frame(HOURS, ("a",))).tables["forecasts"].tolist() == [1]
    with pytest.raises(ForecasterError, match="step by h, here rows are D apart"):
        look(hourly, one=days)
    assert look(FORECASTER, one=days).tables["forecasts"].tolist() == [1]  # it does not say


def test_the_latest_table_is_kept(tmp_path, monkeypatch):
    for name in ("one", "two"):
        make_frame(HOURS, (name,)).to_csv(tmp_path / f"{name}.csv", index=False)
    tables = NewTables(find_partitions(tmp_path), FORECASTER, Reading())
    one, two = tables.partitions.files
    assert tables.read(one) is tables.read(one)
    assert tables.read(two).items.tolist() == ["two"]
    assert tables.read(one).items.tolist() == ["one"]


def test_columns_are_named_as_ingestion_names_them(look):
    frame = make_frame(HOURS, ("a",)).rename(columns={"item_id": "shop", "timestamp": "when"})
    reading = Reading(timestamp_column="when", item_id_column="shop", freq="h")
    assert look(reading=reading, one=frame).tables["new"].tolist() == [0]
