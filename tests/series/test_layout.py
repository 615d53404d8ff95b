import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from tsmemory.series.errors import IngestionError
from tsmemory.series.layout import to_long

WIDE = pd.DataFrame(
    {
        "Time": ["2020-01-01 00:00", "2020-01-01 01:00", "2020-01-01 02:00"],
        "load": [1.0, None, 3.0],
        "count": [1, 2, 3],
        "day": ["mon", "mon", "mon"],
        "Holiday": [True, False, True],
    }
)
LONG = pd.DataFrame(
    {
        "store": [7, 7, 8],
        "ds": ["2020-01-01", "2020-01-02", "2020-01-01"],
        "sales": [1.0, 2.0, 3.0],
    }
)


def test_wide_table_is_one_series():
    long, report = to_long(WIDE, path="folder/grid.csv")
    assert long.columns.tolist() == ["item_id", "timestamp", "load", "count"]
    assert set(long["item_id"]) == {"grid"}
    assert long["timestamp"].dtype == "datetime64[ns]"
    assert long[["load", "count"]].dtypes.tolist() == [np.float64, np.float64]
    np.testing.assert_array_equal(long["load"], [1.0, np.nan, 3.0])
    assert report.channels == ("load", "count")
    assert report.ignored == {"day": "text, such as 'mon'", "Holiday": "flag"}


def test_long_table_keeps_its_series():
    long, report = to_long(LONG, path="a.csv", item_id_column="store")
    assert long["item_id"].tolist() == ["7", "7", "8"]
    assert report.channels == ("sales",)


def test_item_id_is_found_by_name():
    long, _ = to_long(LONG.rename(columns={"store": "item_id"}), path="a.csv")
    assert long["item_id"].tolist() == ["7", "7", "8"]


@pytest.mark.parametrize("name", ["timestamp", "TimeStamp", "date", "DS", "DateTime", "time"])
def test_timestamp_column_is_found_by_name(name):
    long, _ = to_long(WIDE.rename(columns={"Time": name}), path="a.csv")
    assert long["timestamp"].iloc[0] == pd.Timestamp("2020-01-01")


def test_timestamp_wins_over_other_names():
    table = WIDE.assign(timestamp=WIDE["Time"], date="2000-01-01").drop(columns="Time")
    long, report = to_long(table, path="a.csv")
    assert long["timestamp"].iloc[0] == pd.Timestamp("2020-01-01")
    assert "date" in report.ignored


def test_several_time_columns_must_be_told_apart():
    with pytest.raises(IngestionError, match=r"several could be \(Time, Date\); columns found"):
        to_long(WIDE.assign(Date="2020-01-01"), path="a.csv")


def test_no_time_column():
    with pytest.raises(IngestionError, match="none is known; columns found: load, count"):
        to_long(WIDE.drop(columns="Time"), path="a.csv")


@pytest.mark.parametrize(
    ("setting", "name", "closest"),
    [
        ("timestamp_column", "time", "Time"),
        ("item_id_column", "Days", "day"),
        ("target_columns", "laod", "load"),
    ],
)
def test_misnamed_column_lists_columns_and_the_closest(setting, name, closest):
    value = (name,) if setting == "target_columns" else name
    with pytest.raises(IngestionError) as error:
        to_long(WIDE, path="a.csv", **{setting: value})
    text = str(error.value)
    assert f"no column {name!r} (ingestion.{setting})" in text
    assert "columns found: Time, load, count, day, Holiday" in text
    assert f"Did you mean {closest!r}?" in text


def test_wrong_separator_is_guessed():
    with pytest.raises(IngestionError, match="separate the fields by commas"):
        to_long(pd.DataFrame({"date;load": ["2020-01-01;1"]}), path="a.csv")


def test_chosen_targets_leave_out_the_others():
    long, report = to_long(WIDE, path="a.csv", target_columns=("count", "Holiday"))
    assert long.columns.tolist() == ["item_id", "timestamp", "count", "Holiday"]
    assert long["Holiday"].tolist() == [1.0, 0.0, 1.0]
    assert report.ignored == {"load": "not asked for", "day": "not asked for"}


@pytest.mark.parametrize("name", ["Time", "item_id"])
def test_keys_are_no_targets(name):
    with pytest.raises(IngestionError, match="cannot be a channel"):
        to_long(WIDE.assign(item_id="a"), path="a.csv", target_columns=(name,))


def test_reserved_name_is_left_out():
    table = LONG.assign(item_id=[1.0, 2.0, 3.0])
    long, report = to_long(table, path="a.csv", item_id_column="store")
    assert report.ignored == {"item_id": "its name is reserved"}
    assert long["item_id"].tolist() == ["7", "7", "8"]


def test_no_number_at_all():
    with pytest.raises(IngestionError, match=r"no numeric column .* day: text, such as 'mon'"):
        to_long(WIDE[["Time", "day", "Holiday"]], path="a.csv")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([True, None, False], "flag"),
        ([None, None, None], "empty"),
        (pd.to_datetime(["2020-01-01"] * 3), "date"),
        ([datetime.date(2020, 1, 1)] * 3, "text, such as '2020-01-01'"),
    ],
)
def test_reasons_for_leaving_out(values, reason):
    _, report = to_long(WIDE.assign(other=pd.Series(values)), path="a.csv")
    assert report.ignored["other"] == reason


def test_target_that_is_no_number():
    table = WIDE.assign(load=["1.5", "n.a", " "])
    with pytest.raises(IngestionError, match=r"'load' holds what is no number.*row 2: 'n\.a' "):
        to_long(table, path="a.csv", target_columns=["load"])


def test_target_that_is_a_date():
    with pytest.raises(IngestionError, match="no number"):
        to_long(WIDE.assign(load=pd.Timestamp("2020-01-01")), path="a.csv", target_columns=["load"])


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1, None, 3], dtype="Int64"),
        pd.array([1.0, None, 3.0], dtype="Float32"),
        ["1", "", "3.0"],
        [Decimal("1"), None, Decimal("3")],
    ],
)
def test_numbers_of_any_type(values):
    long, _ = to_long(WIDE.assign(load=values), path="a.csv", target_columns=["load"])
    np.testing.assert_array_equal(long["load"], [1.0, np.nan, 3.0])


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinities_are_refused(value):
    table = LONG.assign(sales=[1.0, 2.0, value])
    with pytest.raises(IngestionError, match=r"'sales' .* series '8' at 2020-01-01"):
        to_long(table, path="a.csv", item_id_column="store")


def test_missing_series_name():
    table = LONG.assign(store=["a", None, "b"])
    with pytest.raises(IngestionError, match=r"'store' names no series at row 2: \(empty\)"):
        to_long(table, path="a.csv", item_id_column="store")


def test_zone_is_reported():
    _, report = to_long(WIDE.assign(Time=WIDE["Time"] + "Z"), path="a.csv")
    assert report.notes == ("column 'Time': times in zone +00:00 converted to UTC",)


def test_a_channel_is_not_called_as_all_channels_together_are():
    table = WIDE.assign(all=1.0)
    with pytest.raises(IngestionError, match=r"a column is called 'all'.*rename it"):
        to_long(table, path="a.csv")
    with pytest.raises(IngestionError, match="a column is called 'all'"):
        to_long(table, path="a.csv", target_columns=["all"])
    others = list(to_long(WIDE, path="a.csv")[0].columns[2:])
    assert list(to_long(table, path="a.csv", target_columns=others)[0].columns[2:]) == others


def test_a_column_of_numbers_is_not_lost_to_a_bad_cell(tmp_path):
    cells = [f"{value}.5" for value in range(40)]
    table = pd.DataFrame(
        {
            "timestamp": pd.date_range("2024", periods=40, freq="h"),
            "load": [*cells[:-1], "n/a?"],
            "note": [*cells[:10], *["fine"] * 30],
            "temp": np.arange(40.0),
        }
    )
    with pytest.raises(IngestionError, match=r"'load' holds what is no number.*n/a\?"):
        to_long(table, path=tmp_path / "x.csv")
    _, report = to_long(table.drop(columns="load"), path=tmp_path / "x.csv")
    assert report.channels == ("temp",)
    assert report.ignored["note"].startswith("text")
