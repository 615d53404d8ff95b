import numpy as np
import pytest

from builders import hourly_panel
from tsmemory.trace.anomaly.series import watched_series
from tsmemory.trace.errors import TraceError


def test_both_ends_of_a_window_are_inside():
    panel = hourly_panel({"x": np.arange(6.0)})
    windows = {
        "one": [("2024-01-01 01:00:00.000000", "2024-01-01 03:00"), ("2024-01-01 05:00",) * 2]
    }
    (series,) = watched_series(panel, "h", windows)
    assert series.name == "one"
    assert series.season == 24
    assert series.values.dtype == np.float32
    assert series.anomalous.tolist() == [False, True, True, True, False, True]


def test_several_channels_are_series_of_their_own():
    panel = hourly_panel({"x": np.arange(3.0), "y": np.zeros(3)})
    series = watched_series(panel, "h", {"one": []})
    assert [each.name for each in series] == ["one/x", "one/y"]
    assert not any(each.anomalous.any() for each in series)
    assert watched_series(panel, "h")[0].anomalous is None


@pytest.mark.parametrize(
    ("windows", "said"),
    [
        ({"two": []}, "'one' has no labels"),
        ({"one": [("2025-01-01", "2025-01-02")]}, "touches none of its steps"),
    ],
)
def test_labels_must_fit(windows, said):
    with pytest.raises(TraceError, match=said):
        watched_series(hourly_panel({"x": np.arange(3.0)}), "h", windows)
