"""What is shipped forecasts without the datastore that it was made from."""

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd

FORECAST = """
import sys
import numpy as np
import pandas as pd
from tsmemory import MemoryForecaster

folder, history, answer = sys.argv[1:]
forecaster = MemoryForecaster.from_pretrained(folder)
table = forecaster.predict_df(pd.read_parquet(history), target=["ghi", "temperature"])
table.to_parquet(answer)
loaded = [name for name in sys.modules if name.split(".")[0] == "faiss" or "datastore" in name]
assert not loaded, loaded
"""


def forecast(project, history, answer):
    """Forecast in a process of its own, which may not even load what retrieval needs."""
    call = [sys.executable, "-c", FORECAST, project.artefact("forecaster"), history, answer]
    done = subprocess.run(call, capture_output=True, text=True, cwd=project.folder, check=False)
    assert done.returncode == 0, done.stderr
    return pd.read_parquet(answer)


def test_forecasting_needs_no_datastore(grown, tmp_path):
    history = tmp_path / "history.parquet"
    table = pd.read_parquet(grown.folder / "data/01_raw/tmy_weather.parquet")
    table.groupby("item_id").head(200).to_parquet(history)
    before = forecast(grown, history, tmp_path / "before.parquet")

    store = grown.folder / "data/04_datastore"
    assert grown.artefact("datastore").is_relative_to(store)
    assert sum(file.stat().st_size for file in store.rglob("*") if file.is_file()) > 10_000
    shutil.rmtree(store)
    after = forecast(grown, history, tmp_path / "after.parquet")

    pd.testing.assert_frame_equal(after, before)
    assert np.isfinite(after["predictions"]).all()
    assert len(after) == 2 * 16 * table["item_id"].nunique()
