import json

import numpy as np
import pandas as pd

from tsmemory.series.layout import to_long
from tsmemory.series.reading import read_raw
from tsmemory.series.regularise import regularise
from tsmemory.series.summary import summarise_panel


def test_summary_tells_what_was_read_and_repaired(tmp_path):
    stamps = pd.date_range("2020-01-01", periods=20, freq="h", tz="UTC")
    frame = pd.DataFrame({"time": stamps, "x": np.arange(20.0), "note": "a"}).drop([4, 5])
    path = tmp_path / "a.parquet"
    frame.to_parquet(path, index=False)
    raw = read_raw(path)
    long, layout = to_long(raw.frame, path=path)
    panel, freq, repairs = regularise(long)
    summary = summarise_panel(panel, raw=raw, freq=freq, layout=layout, repairs=repairs)
    assert json.loads(json.dumps(summary)) == {
        "file": path.as_posix(),
        "sha256": raw.sha256,
        "rows": 20,
        "items": 1,
        "channels": ["x"],
        "freq": "h",
        "start": "2020-01-01T00:00:00",
        "end": "2020-01-01T19:00:00",
        "missing_share": {"x": 0.1},
        "gaps": {"rows": 2, "stretches": 1, "longest": 2},
        "unsorted_rows": 0,
        "duplicate_rows": 0,
        "moved_rows": 0,
        "ignored_columns": {"note": "text, such as 'a'"},
        "warnings": [
            "column 'time': times in zone UTC converted to UTC",
            "2 missing row(s) in 1 gap(s) filled with NaN, the longest of 2",
        ],
    }
