import numpy as np
import pytest

from builders import seasonal_rows, series_of, windows_over
from tsmemory.retrieval.datastore import Datastore
from tsmemory.retrieval.keys import KeyConfig, window_keys

L, H = 24, 8


@pytest.fixture
def series():
    rows = seasonal_rows(np.random.default_rng(0), [150, 120])
    return series_of(rows, calendar=[0, 20])


@pytest.fixture
def windows(series):
    return windows_over(series, L, H)


@pytest.fixture
def build_store():
    def build(series, windows, *, same_channel=True, index_kind="flat"):
        keys = window_keys(windows.contexts(series))
        return Datastore.build(
            keys,
            windows,
            series,
            key=KeyConfig("window"),
            index_kind=index_kind,
            same_channel=same_channel,
        )

    return build
