"""One forecaster in several threads, from the first forecast on."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pandas as pd
import pytest
from forecasters import FULL, make_forecaster, make_frame

THREADS = 6


def at_once(functions):
    """Call functions in as many threads, all at the same moment; what they return, in order."""
    barrier = Barrier(len(functions))

    def call(function):
        barrier.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(call, functions))


@pytest.mark.parametrize("freq", ["h", "B"])
def test_tables_are_forecast_as_one_after_another(freq):
    stamps = pd.date_range("2024-01-01", periods=70, freq=freq)
    frames = [make_frame(stamps, items=("b", "a", str(n)), seed=n) for n in range(THREADS)]
    asked = [{"prediction_length": 5 + 10 * n, "target": ["load", "target"]} for n in range(6)]
    one = make_forecaster(FULL)
    expected = [one.predict_df(f, **a) for f, a in zip(frames, asked, strict=True)]
    fresh = make_forecaster(FULL)
    before = list(warnings.filters)
    calls = [
        lambda frame=frame, more=more: fresh.predict_df(frame, **more)
        for frame, more in zip(frames, asked, strict=True)
    ]
    for found, table in zip(at_once(calls), expected, strict=True):
        pd.testing.assert_frame_equal(found, table)
    assert warnings.filters == before


def test_forecasts_and_explanations_do_not_disturb_each_other():
    frame = make_frame(pd.date_range("2024-01-01", periods=70, freq="h"))
    forecaster = make_forecaster(FULL)
    table, lines = forecaster.predict_df(frame), forecaster.explain(frame).forecasts
    fresh = make_forecaster(FULL)
    calls = [lambda: fresh.predict_df(frame), lambda: fresh.explain(frame).forecasts] * 3
    found = at_once(calls)
    for number, result in enumerate(found):
        pd.testing.assert_frame_equal(result, lines if number % 2 else table)
