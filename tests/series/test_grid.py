import numpy as np
import pandas as pd
import pytest

from tsmemory.series.errors import IngestionError
from tsmemory.series.grid import DAY, Grid, check_frequency, fixed_step, infer_frequency


def coded(*series):
    code = np.repeat(np.arange(len(series)), [len(stamps) for stamps in series])
    time = np.concatenate([pd.DatetimeIndex(s).astype("datetime64[ns]").asi8 for s in series])
    return code, time


def dates(freq, start="2019-12-31 05:00", periods=60):
    return pd.date_range(pd.Timestamp(start), periods=periods, freq=freq)


@pytest.mark.parametrize("freq", ["s", "15min", "30min", "h", "3h", "D", "7D", "10D"])
def test_fixed_steps_are_inferred_through_gaps(freq):
    stamps = dates(freq).delete([7, 8, 30])
    assert infer_frequency(*coded(stamps, stamps[3:20])) == freq


@pytest.mark.parametrize(
    "freq", ["MS", "ME", "BMS", "QS-OCT", "QE-DEC", "YS-JAN", "YE-DEC", "W-MON", "B"]
)
def test_calendar_steps_are_inferred(freq):
    found = infer_frequency(*coded(dates(freq)))
    grid = Grid.covering(*coded(dates(freq)), found)
    code, time = coded(dates(freq))
    position = grid.position(code, time)
    np.testing.assert_array_equal(grid.time(code, position), time)
    np.testing.assert_array_equal(np.diff(position), 1)


@pytest.mark.parametrize(("given", "found"), [("QS-OCT", "QS-JAN"), ("QE-DEC", "QE-MAR")])
def test_quarters_have_one_name(given, found):
    assert infer_frequency(*coded(dates(given))) == found


def test_months_on_no_common_day_are_irregular():
    days = pd.date_range("2020-01-01", periods=30, freq="MS") + pd.to_timedelta(
        np.arange(30) % 7, unit="D"
    )
    with pytest.raises(IngestionError, match="irregular"):
        infer_frequency(*coded(days))


def test_months_are_inferred_through_gaps():
    assert infer_frequency(*coded(dates("MS").delete([10, 25, 26]))) == "MS"


def test_days_with_weekends_are_days():
    assert infer_frequency(*coded(dates("D"))) == "D"


def test_one_long_series_speaks_for_a_single_stamp():
    assert infer_frequency(*coded(dates("h"), dates("h", periods=1))) == "h"


@pytest.mark.parametrize(
    "stamps",
    [
        pd.Timestamp("2020-01-01") + pd.to_timedelta([0, 7, 9, 20, 31, 33, 50], unit="min"),
        pd.Timestamp("2020-01-01") + pd.to_timedelta([0, 4, 8, 11, 15, 18, 22], unit="min"),
    ],
)
def test_irregular_stamps_are_refused(stamps):
    with pytest.raises(IngestionError, match=r"irregular: the most common .*ingestion\.freq"):
        infer_frequency(*coded(stamps))


def test_single_stamps_have_no_frequency():
    with pytest.raises(IngestionError, match="single timestamp"):
        infer_frequency(*coded(["2020-01-01"], ["2020-01-02"]))


@pytest.mark.parametrize(("freq", "step"), [("h", DAY // 24), ("D", DAY), ("2D", 2 * DAY)])
def test_fixed_step(freq, step):
    assert fixed_step(freq) == step


@pytest.mark.parametrize("freq", ["MS", "B", "W-SUN", "QE-DEC"])
def test_varying_step(freq):
    assert fixed_step(freq) == 0


@pytest.mark.parametrize(("given", "name"), [("60min", "60min"), ("h", "h"), ("W", "W-SUN")])
def test_known_frequencies(given, name):
    assert check_frequency(given) == name


@pytest.mark.parametrize("freq", ["fortnight", "", "0h", "-1h"])
def test_unusable_frequencies(freq):
    with pytest.raises(IngestionError, match="frequency"):
        check_frequency(freq)


def test_each_series_has_its_phase():
    early, late = dates("h", "2020-01-01 00:00"), dates("h", "2020-03-01 00:30")
    code, time = coded(early, late)
    grid = Grid.covering(code, time, "h")
    np.testing.assert_array_equal(grid.time(code, grid.position(code, time)), time)
    assert (grid.anchor / (DAY / 24)).tolist() == [0.0, 0.5]


def test_phase_is_that_of_most_stamps():
    stamps = dates("5min", "2020-01-01 00:01").insert(0, pd.Timestamp("2020-01-01 00:00"))
    grid = Grid.covering(*coded(stamps), "5min")
    assert grid.anchor.tolist() == [60 * 10**9]


def test_phase_of_jittered_stamps_is_the_round_clock():
    jitter = pd.to_timedelta(np.arange(60) % 7 - 3, unit="s")
    code, time = coded(dates("h", "2020-01-01 06:00") + jitter)
    grid = Grid.covering(code, time, "h")
    expected = dates("h", "2020-01-01 06:00").astype("datetime64[ns]").asi8
    np.testing.assert_array_equal(grid.time(code, grid.position(code, time)), expected)


@pytest.mark.parametrize("freq", ["h", "MS"])
def test_nearest_point(freq):
    points = dates(freq, "2020-01-01", 5).astype("datetime64[ns]").asi8
    code = np.zeros(5, dtype=np.int64)
    grid = Grid.covering(code, points, freq)
    for shift in (-DAY // 60, 0, DAY // 60):
        np.testing.assert_array_equal(grid.time(code, grid.position(code, points + shift)), points)


def test_halfway_goes_to_the_earlier_point():
    code, time = coded(dates("h", "2020-01-01", 9))
    grid = Grid.covering(code, time, "h")
    half = time + DAY // 48
    np.testing.assert_array_equal(grid.time(code, grid.position(code, half)), time)
