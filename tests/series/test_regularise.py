import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsmemory.series.errors import IngestionError, about_file
from tsmemory.series.layout import to_long
from tsmemory.series.reading import read_table
from tsmemory.series.regularise import regularise


def table(freq="h", periods=48, item="a", start="2020-01-01", **channels):
    stamps = pd.date_range(start, periods=periods, freq=freq).astype("datetime64[ns]")
    columns = channels or {"x": np.arange(periods, dtype=float)}
    return pd.DataFrame({"item_id": item, "timestamp": stamps, **columns})


def test_regular_table_is_left_alone():
    long = pd.concat([table(), table(item="b", start="2020-02-01", periods=9)], ignore_index=True)
    panel, freq, repairs = regularise(long)
    pd.testing.assert_frame_equal(panel, long, check_dtype=False)
    assert panel["timestamp"].dtype == "datetime64[ns]"
    assert freq == "h"
    assert repairs.warnings == ()


def test_unsorted_rows_are_sorted_with_a_warning(caplog):
    long = pd.concat([table(), table(item="b")], ignore_index=True)
    mixed = long.sample(frac=1.0, random_state=0)
    with caplog.at_level(logging.WARNING):
        panel, _, repairs = regularise(mixed)
    by_item = panel.sort_values(["item_id", "timestamp"], ignore_index=True)
    pd.testing.assert_frame_equal(by_item, long, check_dtype=False)
    assert repairs.unsorted_rows > 0
    assert "out of order" in caplog.text


def test_interleaved_series_are_sorted_already():
    long = pd.concat([table(), table(item="b")]).sort_values("timestamp", kind="stable")
    assert regularise(long)[2].warnings == ()


def test_series_keep_their_order_of_appearance():
    long = pd.concat([table(item=name) for name in ("b", "a10", "a9")])
    assert regularise(long)[0]["item_id"].unique().tolist() == ["b", "a10", "a9"]


@pytest.fixture
def doubled():
    long = table()
    again = long.iloc[[3, 3, 7]].assign(x=[10.0, np.nan, 20.0])
    return pd.concat([long, again], ignore_index=True)


def test_duplicates_are_refused_with_the_first(doubled):
    with pytest.raises(IngestionError) as error:
        regularise(doubled)
    text = str(error.value)
    assert "3 rows repeat a timestamp" in text
    assert "series 'a' at 2020-01-01 03:00:00; series 'a' at 2020-01-01 07:00:00;" in text
    assert "ingestion.duplicates" in text
    assert "ingestion.item_id_column" in text


@pytest.mark.parametrize(("how", "third", "seventh"), [("first", 3.0, 7.0), ("mean", 6.5, 13.5)])
def test_duplicates_are_merged(doubled, how, third, seventh):
    panel, _, repairs = regularise(doubled, duplicates=how)
    expected = table()
    expected.loc[[3, 7], "x"] = [third, seventh]
    pd.testing.assert_frame_equal(panel, expected, check_dtype=False)
    assert repairs.duplicate_rows == 3
    assert f"3 duplicate row(s) merged ({how})" in repairs.warnings


def test_first_keeps_a_missing_value():
    long = pd.concat([table().assign(x=np.nan), table()], ignore_index=True)
    assert regularise(long, duplicates="first")[0]["x"].isna().all()


def test_gaps_become_nan_and_are_counted():
    long = table(x=np.arange(48.0), y=np.full(48, np.nan)).drop([5, 6, 20])
    panel, _, repairs = regularise(long)
    expected = table(x=np.arange(48.0), y=np.full(48, np.nan))
    expected.loc[[5, 6, 20], "x"] = np.nan
    pd.testing.assert_frame_equal(panel, expected, check_dtype=False)
    assert (repairs.gap_rows, repairs.gaps, repairs.longest_gap) == (3, 2, 2)


def test_gaps_between_series_are_none():
    long = pd.concat([table(), table(item="b", start="2021-01-01")])
    assert regularise(long)[2].gap_rows == 0


@pytest.mark.parametrize("freq", ["MS", "B"])
def test_calendar_gaps(freq):
    long = table(freq).drop([4, 5])
    panel, found, repairs = regularise(long)
    assert found == freq
    assert repairs.gap_rows == 2
    assert panel["timestamp"].tolist() == table(freq)["timestamp"].tolist()


def test_off_grid_is_refused_with_the_first():
    long = table()
    long.loc[5, "timestamp"] += pd.Timedelta(minutes=7)
    with pytest.raises(IngestionError) as error:
        regularise(long)
    assert "series 'a' at 2020-01-01 05:07:00 (nearest: 2020-01-01 05:00:00)" in str(error.value)
    assert "ingestion.off_grid" in str(error.value)


def test_off_grid_is_moved_if_asked_for():
    long = table()
    long.loc[[5, 9], "timestamp"] += pd.to_timedelta([7, -7], unit="min")
    panel, _, repairs = regularise(long, off_grid="nearest")
    pd.testing.assert_frame_equal(panel, table(), check_dtype=False)
    assert repairs.moved_rows == 2


def test_two_rows_moved_to_one_point():
    extra = table(periods=1, start="2020-01-01 04:59")
    long = pd.concat([table(), extra], ignore_index=True)
    with pytest.raises(IngestionError, match=r"same grid point .* series 'a'"):
        regularise(long, off_grid="nearest")
    panel, _, repairs = regularise(long, off_grid="nearest", duplicates="mean")
    assert panel.loc[5, "x"] == 2.5
    assert repairs.duplicate_rows == 1


def test_frequency_can_be_given():
    long = table("2h")
    panel, freq, repairs = regularise(long, freq="h")
    assert freq == "h"
    assert len(panel) == 2 * 48 - 1
    assert repairs.gap_rows == 47


def test_wrong_frequency_is_refused():
    with pytest.raises(IngestionError, match="beside the grid of frequency '2h'"):
        regularise(table(), freq="2h")


def test_unknown_frequency_is_refused():
    with pytest.raises(IngestionError, match="unknown frequency 'hourly'"):
        regularise(table(), freq="hourly")


def test_stray_date_does_not_fill_the_memory():
    long = pd.concat([table(), table(periods=1, start="1970-01-01")])
    with pytest.raises(IngestionError, match=r"remove stray dates \(first 1970-01-01"):
        regularise(long)


def test_values_are_untouched_by_time_of_other_series():
    long = pd.concat([table(), table(item="b", start="2020-01-01 00:30")])
    panel, _, _ = regularise(long)
    assert panel.groupby("item_id")["timestamp"].first().dt.minute.tolist() == [0, 30]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_against_reindexing(data):
    """Any subset of rows in any order gives what pandas' reindex gives for each series."""
    parts, expected = [], []
    for item in ("a", "b"):
        full = table(item=item, periods=30, start=data.draw(st.sampled_from(["2020", "2021"])))
        drop = data.draw(st.sets(st.integers(1, 28), max_size=10))
        kept = full.drop(list(drop))
        parts.append(kept)
        expected.append(full.assign(x=full["x"].where(~full.index.isin(drop))))
    long = pd.concat(parts, ignore_index=True)
    long = long.iloc[data.draw(st.permutations(range(len(long))))]
    panel, _, repairs = regularise(long, freq="h")
    panel = panel.sort_values(["item_id", "timestamp"], ignore_index=True)
    pd.testing.assert_frame_equal(panel, pd.concat(expected, ignore_index=True), check_dtype=False)
    assert repairs.gap_rows == panel["x"].isna().sum()


@pytest.mark.parametrize(
    ("name", "settings", "repairs"),
    [
        ("ambient_temperature_system_failure", {}, {"gap_rows": 621, "gaps": 10}),
        ("cpu_utilization_asg_misconfiguration", {}, {"gap_rows": 0}),
        (
            "ec2_request_latency_system_failure",
            {"duplicates": "mean", "off_grid": "nearest"},
            {"duplicate_rows": 12, "moved_rows": 12, "gap_rows": 13},
        ),
        (
            "machine_temperature_system_failure",
            {"duplicates": "first"},
            {"duplicate_rows": 12, "unsorted_rows": 1, "gap_rows": 0},
        ),
        ("nyc_taxi", {}, {"gap_rows": 0}),
        ("rogue_agent_key_hold", {}, {"gaps": 91}),
        ("rogue_agent_key_updown", {}, {"gaps": 10, "longest_gap": 9}),
    ],
)
def test_published_anomaly_series(shared_data, name, settings, repairs):
    path = shared_data(f"nab/realKnownCause/{name}.csv")
    long, _ = to_long(read_table(path), path=path)
    panel, freq, found = regularise(long, **settings)
    assert freq in {"5min", "30min", "h"}
    assert {key: getattr(found, key) for key in repairs} == repairs
    steps = panel["timestamp"].diff().dropna()
    assert steps.nunique() == 1
    if "duplicates" in settings:
        with pytest.raises(IngestionError, match="repeat a timestamp"):
            regularise(long)


def test_warnings_are_one_line_that_names_the_file(caplog):
    stamps = pd.to_datetime(
        ["2024-01-01 01:00", "2024-01-01 00:00", "2024-01-01 02:00", "2024-01-01 05:00"]
    )
    long = pd.DataFrame({"item_id": "a", "timestamp": stamps.as_unit("ns"), "x": 1.0})
    with caplog.at_level(logging.WARNING), about_file("sales.csv"):
        regularise(long, freq="h")
    assert [record.getMessage() for record in caplog.records] == [
        "sales.csv: 1 row(s) came out of order and have been sorted; 2 missing row(s) in 1 gap(s) "
        "filled with NaN, the longest of 2"
    ]
