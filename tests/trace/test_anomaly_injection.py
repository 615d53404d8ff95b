import numpy as np
import pytest

from builders import hourly_panel
from tsmemory.trace.anomaly.injection import KINDS, inject_anomalies
from tsmemory.trace.anomaly.metrics import segments
from tsmemory.trace.anomaly.series import watched_series
from tsmemory.trace.errors import TraceError


def _series(length=3000):
    step = np.arange(length)
    values = np.sin(2 * np.pi * step / 24) + np.random.default_rng(0).normal(0, 0.1, length)
    return watched_series(hourly_panel({"x": values}), "h")[0]


@pytest.mark.parametrize("seed", range(20))
def test_one_anomaly_of_each_kind_and_nothing_else(seed):
    series = _series()
    changed = inject_anomalies(series, first=100, rng=np.random.default_rng(seed))
    assert not changed.anomalous[:100].any()
    lengths = [end - first for first, end in segments(changed.anomalous)]
    assert len(lengths) == len(KINDS)
    assert min(lengths) >= 12
    assert max(lengths) <= 7 * 24
    moved = series.values != changed.values
    assert not moved[~changed.anomalous].any()
    assert all(moved[first:end].any() for first, end in segments(changed.anomalous))
    assert series.anomalous is None


def test_the_same_seed_gives_the_same_anomalies():
    first, again, other = (
        inject_anomalies(_series(), first=100, rng=np.random.default_rng(seed))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.values, again.values)
    assert (first.anomalous != other.anomalous).any()


def test_gaps_stay_gaps():
    series = _series()
    series.values[::7] = np.nan
    changed = inject_anomalies(series, first=100, rng=np.random.default_rng(3))
    phase = np.isnan(changed.values) != np.isnan(series.values)
    assert len(segments(changed.anomalous & phase)) >= 0
    assert (
        np.isnan(changed.values[~changed.anomalous]).sum()
        == np.isnan(series.values[~changed.anomalous]).sum()
    )


@pytest.mark.parametrize(("length", "first"), [(110, 100), (3000, 10)])
def test_too_short_a_series_is_refused(length, first):
    with pytest.raises(TraceError, match="too few for anomalies"):
        inject_anomalies(_series(length), first=first, rng=np.random.default_rng(0))
