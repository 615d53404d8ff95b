import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import series_of
from tsmemory.series.series_set import SeriesSet


@pytest.fixture
def panel():
    rng = np.random.default_rng(0)
    parts = []
    for item, begin, length in (("a", "2024-01-01 05:00", 30), (7, "2024-01-01 00:00", 20)):
        stamps = pd.date_range(begin, periods=length, freq="h")
        frame = pd.DataFrame({"item_id": item, "timestamp": stamps})
        parts.append(frame.assign(x=rng.normal(5, 2, length), y=rng.normal(0, 1, length)))
    panel = pd.concat(parts, ignore_index=True)
    panel.loc[3, "x"] = np.nan
    return panel


@pytest.fixture
def scaler():
    return pd.DataFrame(
        {
            "item_id": ["a", "7", "a"],
            "channel": ["y", "x", "x"],
            "mean": [0.5, 5.0, 4.0],
            "std": [1.0, 2.0, 3.0],
        }
    )


def test_rows_follow_the_scaler_in_z_units(panel, scaler):
    series = SeriesSet.from_panel(panel, scaler, "h")
    assert series.item_id.tolist() == ["a", "7", "a"]
    assert series.channel.tolist() == ["y", "x", "x"]
    assert series.length.tolist() == [30, 20, 30]
    assert series.flat.dtype == np.float32
    np.testing.assert_allclose(series.row_values(0), panel["y"][:30] - 0.5, rtol=1e-6)
    np.testing.assert_allclose(series.row_values(1), (panel["x"][30:] - 5) / 2, rtol=1e-5)
    assert np.flatnonzero(np.isnan(series.row_values(2))).tolist() == [3]


def test_the_calendar_is_shared_by_all_series(panel, scaler):
    assert SeriesSet.from_panel(panel, scaler, "h").calendar.tolist() == [5, 0, 5]


def test_timestamps_are_those_of_the_panel(panel, scaler):
    series = SeriesSet.from_panel(panel, scaler, "h")
    for row in range(3):
        stamps = panel.loc[panel["item_id"].astype(str) == series.item_id[row], "timestamp"]
        steps = np.arange(len(stamps))
        found = series.timestamps(np.full(len(stamps), row), steps)
        assert found.dtype == "datetime64[ns]"
        np.testing.assert_array_equal(found, stamps.to_numpy())


@pytest.mark.parametrize("freq", ["ME", "MS", "B", "QS-JAN", "W-MON", "3D"])
def test_timestamps_of_calendar_steps(freq):
    """The earliest series is not in use: positions still count from the same grid."""
    grid = pd.date_range("2020-01-01", periods=30, freq=freq)
    parts = [(item, grid[first:]) for item, first in (("early", 0), ("a", 4), ("b", 9))]
    panel = pd.concat(
        [pd.DataFrame({"item_id": item, "timestamp": stamps, "x": 1.0}) for item, stamps in parts]
    )
    scaler = pd.DataFrame({"item_id": ["b", "a"], "channel": "x", "mean": 0.0, "std": 1.0})
    series = SeriesSet.from_panel(panel, scaler, freq)
    found = series.timestamps(np.array([0, 1, 1]), np.array([20, 0, 25]))
    np.testing.assert_array_equal(found, grid[[29, 4, 29]].to_numpy().astype("datetime64[ns]"))


def test_row_values_up_to_an_end(panel, scaler):
    series = SeriesSet.from_panel(panel, scaler, "h")
    assert len(series.row_values(1, 7)) == 7
    assert len(series.row_values(1, 700)) == 20


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-9, 20)), max_size=6), st.integers(1, 9))
def test_gather_against_plain_slicing(wanted, length):
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=n).astype(np.float32) for n in (4, 11, 7)]
    row = np.array([r for r, _ in wanted], dtype=np.int64)
    start = np.array([s for _, s in wanted], dtype=np.int64)
    expected = np.full((len(wanted), length), np.nan, np.float32)
    for line, (r, s) in enumerate(wanted):
        for step in range(length):
            if 0 <= s + step < len(rows[r]):
                expected[line, step] = rows[r][s + step]
    np.testing.assert_array_equal(series_of(rows).gather(row, start, length), expected)


def test_gather_copies():
    series = series_of([np.zeros(5)])
    series.gather(np.array([0]), np.array([0]), 5)[:] = 9
    assert (series.flat == 0).all()


def test_it_survives_a_round_trip(panel, scaler, tmp_path):
    series = SeriesSet.from_panel(panel, scaler, "h")
    series.save_pretrained(tmp_path / "series")
    loaded = SeriesSet.from_pretrained(tmp_path / "series")
    for name in series.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(series, name))
    assert loaded.summary() == series.summary()
    assert loaded.summary()["missing_share"] == pytest.approx(1 / 80)
