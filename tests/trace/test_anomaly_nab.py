import json

import numpy as np
import pandas as pd
import pytest

from tsmemory.series.errors import IngestionError
from tsmemory.trace.anomaly.nab import LABELS, read_nab
from tsmemory.trace.errors import TraceError

ROWS = {
    "00:00": 1.0,
    "00:10": 3.0,
    "00:05": 2.0,  # out of order
    "00:15": 4.0,
    "00:16": 6.0,  # a minute beside the grid, thus a second value of 00:15
    "00:30": 7.0,  # after a gap
    "00:35": 8.0,
    "00:40": 9.0,
    "00:45": 1.0,
}
ROWS |= {f"01:{minute:02d}": 5.0 for minute in range(0, 60, 5)}


@pytest.fixture
def folder(tmp_path):
    group = tmp_path / "realKnownCause"
    group.mkdir()
    stamps = [f"2014-03-01 {clock}:00" for clock in ROWS]
    table = pd.DataFrame({"timestamp": stamps, "value": list(ROWS.values())})
    table.to_csv(group / "server.csv", index=False)
    windows = [["2014-03-01 00:10:00.000000", "2014-03-01 00:20:00.000000"]]
    (tmp_path / LABELS).write_text(json.dumps({"realKnownCause/server.csv": windows}))
    return tmp_path


def test_files_are_repaired_as_in_ingestion(folder):
    (series,) = read_nab(folder)
    nan = np.nan
    assert (series.name, series.freq, series.season) == ("server", "5min", 288)
    np.testing.assert_array_equal(series.values[:12], [1, 2, 3, 5, nan, nan, 7, 8, 9, 1, nan, nan])
    assert np.flatnonzero(series.anomalous).tolist() == [2, 3, 4]
    assert read_nab(folder, duplicates="first")[0].values[3] == 4


def test_repairs_must_be_asked_for(folder):
    with pytest.raises(IngestionError, match=r"server\.csv: .*ingestion\.off_grid"):
        read_nab(folder, off_grid="error")


def test_missing_files_are_named(folder):
    with pytest.raises(TraceError, match="elsewhere: no CSV file there"):
        read_nab(folder, group="elsewhere")
    (folder / LABELS).write_text("{}")
    with pytest.raises(TraceError, match="'server' has no labels"):
        read_nab(folder)
    (folder / LABELS).unlink()
    with pytest.raises(TraceError, match=f"{LABELS}: no such file"):
        read_nab(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 3}', '{"a": [["2014-01-01"]]}'])
def test_damaged_labels_are_refused(folder, text):
    (folder / LABELS).write_text(text)
    with pytest.raises(TraceError, match=LABELS):
        read_nab(folder)


def test_the_published_files_are_read_whole(shared_data):
    series = {each.name: each for each in read_nab(shared_data("nab"))}
    assert len(series) == 7
    assert all(each.anomalous.any() for each in series.values())
    machine = series["machine_temperature_system_failure"]  # 22,695 rows, 12 of them duplicates
    assert np.sum(~np.isnan(machine.values)) == 22_695 - 12
    assert machine.anomalous.mean() == pytest.approx(0.1, abs=0.01)
