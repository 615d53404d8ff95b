import pandas as pd
import pytest

from tsmemory.series.errors import IngestionError
from tsmemory.series.timestamps import to_timestamps


def parse(values):
    return to_timestamps(pd.Series(values, name="when"))


@pytest.mark.parametrize(
    "values",
    [
        ["2020-01-31 00:00:00", "2020-01-31 01:00:00"],
        ["2020-01-31T00:00", "2020-01-31T01:00"],
        ["2020-01-31", "2020-01-31 01:00"],
        ["2020/01/31 00:00", "2020/01/31 01:00"],
        ["2020/1/31 0:00", "2020/1/31 1:00"],
        ["1/31/2020 0:00", "1/31/2020 1:00"],
        ["31.01.2020 00:00", "31.01.2020 01:00"],
        ["31-01-2020 00:00:00", "31-01-2020 01:00:00"],
        ["01/31/2020 12:00 AM", "01/31/2020 01:00 AM"],
        [" 2020-01-31 00:00 ", "2020-01-31 01:00"],
        pd.to_datetime(["2020-01-31 00:00", "2020-01-31 01:00"]),
        pd.to_datetime(["2020-01-31 00:00", "2020-01-31 01:00"]).astype("datetime64[ms]"),
    ],
)
def test_usual_writings(values):
    times, note = parse(values)
    assert times.dtype == "datetime64[ns]"
    assert times.tolist() == [pd.Timestamp("2020-01-31 00:00"), pd.Timestamp("2020-01-31 01:00")]
    assert note is None


@pytest.mark.parametrize("values", [[20200131, 20200201], ["20200131", "20200201"]])
def test_compact_dates(values):
    assert parse(values)[0].tolist() == [pd.Timestamp("2020-01-31"), pd.Timestamp("2020-02-01")]


@pytest.mark.parametrize(
    ("zone", "hour"),
    [("Z", 6), (" UTC", 6), ("+00:00", 6), ("+02:00", 4), ("-0330", 9.5), ("+05", 1)],
)
def test_one_zone_becomes_utc(zone, hour):
    times, note = parse([f"2020-01-31T06:00:00{zone}", f"2020-01-31T07:00:00{zone}"])
    assert times.iloc[0] == pd.Timestamp("2020-01-31") + pd.Timedelta(hours=hour)
    assert "converted to UTC" in note


def test_equal_zones_written_differently():
    times, _ = parse(["2020-01-31T06:00Z", "2020-01-31T07:00+00:00"])
    assert times.dt.hour.tolist() == [6, 7]


def test_date_is_not_taken_for_an_offset():
    assert parse(["2020-01-02", "2020-01-03"])[1] is None


def test_aware_column_with_summer_time_is_regular_in_utc():
    local = pd.date_range("2020-03-28", "2020-03-30", freq="h", tz="Europe/Berlin")
    times, note = parse(local)
    assert (times.diff().dropna() == pd.Timedelta(hours=1)).all()
    assert "Europe/Berlin converted to UTC" in note


def test_daily_column_keeps_its_local_dates():
    local = pd.date_range("2020-03-28", periods=3, freq="D", tz="Europe/Berlin")
    times, note = parse(local)
    assert times.tolist() == list(pd.date_range("2020-03-28", periods=3, freq="D"))
    assert "local dates kept" in note


@pytest.mark.parametrize(
    "values",
    [
        ["2020-01-31T06:00Z", "2020-01-31T07:00+01:00"],
        ["2020-01-31T06:00+02:00", "2020-01-31T07:00"],
        ["2020-01-31T06:00", "2020-01-31T07:00Z"],
    ],
)
def test_mixed_zones_are_refused(values):
    with pytest.raises(IngestionError, match=r"'when' mixes time zones .* row 1: .* row 2: "):
        parse(values)


@pytest.mark.parametrize(
    ("bad", "shown"),
    [("soon", "row 2: 'soon'"), ("2020-13-01", "row 2: '2020-13-01'"), (None, r"row 2: \(empty\)")],
)
def test_unreadable_dates_are_shown(bad, shown):
    with pytest.raises(IngestionError, match=f"'when' .*{shown}"):
        parse(["2020-01-01", bad, "2020-01-03"])


def test_only_the_first_offenders_are_shown():
    with pytest.raises(IngestionError, match=r"row 2: 'x1'.*row 4: 'x3' \(and 6 more\)"):
        parse(["2020-01-01", *(f"x{i}" for i in range(1, 10))])


@pytest.mark.parametrize(
    "values", [[1577836800, 1577840400], [0.5, 1.5], ["3000-01-01", "3000-01-02"]]
)
def test_numbers_and_impossible_years_are_no_dates(values):
    with pytest.raises(IngestionError, match="cannot be read"):
        parse(values)


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "datetime64[ns, UTC]"])
def test_missing_timestamps_are_refused(dtype):
    with pytest.raises(IngestionError, match=r"row 2: \(empty\)"):
        parse(pd.Series(["2020-01-01", None], dtype=dtype))


def test_day_or_month_first_is_settled_by_the_data():
    times, _ = parse(["01/02/2020", "13/02/2020"])
    assert times.iloc[0] == pd.Timestamp("2020-02-01")


def test_day_or_month_first_unsettled_is_refused():
    with pytest.raises(IngestionError, match="day or the month first"):
        parse(["01/02/2020", "01/03/2020"])
