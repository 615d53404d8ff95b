"""Made-up anomalies in real series without labels, by which the defaults were chosen."""

from dataclasses import replace

import numpy as np
import pytest

from tsmemory import load_backbone
from tsmemory.series.layout import to_long
from tsmemory.series.reading import read_table
from tsmemory.series.regularise import regularise
from tsmemory.trace.anomaly.detect import AnomalyConfig, detect, judge
from tsmemory.trace.anomaly.injection import inject_anomalies
from tsmemory.trace.anomaly.residuals import RollingForecasts
from tsmemory.trace.anomaly.series import watched_series

TRAIN_ROWS = 8640  # of ETTh1


@pytest.fixture(scope="module")
def series(shared_data):
    path = shared_data("ETTh1.csv")
    columns = ["HUFL", "OT"]
    long, _ = to_long(read_table(path).head(TRAIN_ROWS), path=path, target_columns=columns)
    panel, freq, _ = regularise(long)
    rng = np.random.default_rng(0)
    return [inject_anomalies(each, first=750, rng=rng) for each in watched_series(panel, freq)]


@pytest.mark.parametrize("error", ["quantile_loss", "band"])
def test_forecasts_find_more_than_the_seasonal_naive(benchmark, series, error):
    rolling = RollingForecasts(context_length=512, overlap=1, error=error)
    config = replace(AnomalyConfig(), rolling=rolling)
    backbone = load_backbone("bundled")
    scores = benchmark.pedantic(
        lambda: detect(series, backbone, config=config), rounds=1, iterations=1
    )
    table = judge(scores)
    found = table[table["series"] == "mean"].set_index("method")["auc_pr"].round(3)
    benchmark.extra_info.update(found.to_dict())
    assert found["forecast_smoothed"] > 1.2 * found["seasonal_naive_smoothed"]
