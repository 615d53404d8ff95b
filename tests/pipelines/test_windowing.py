import numpy as np
import pandas as pd
import pytest

from builders import series_of
from tsmemory.pipelines.windowing import create_pipeline
from tsmemory.pipelines.windowing.nodes import list_windows
from tsmemory.pipelines.windowing.params import WindowingParams
from tsmemory.series.windows import WindowError

# The sample is judged on every fifth window: a run takes a minute instead of ten.
THINNED = {"datastore": 7, "train": 7, "validation": 5, "test": 5}


def test_wiring():
    pipeline = create_pipeline()
    assert [node.name for node in pipeline.nodes] == ["scale_series", "list_windows"]
    assert pipeline.inputs() == {
        "panel",
        "panel_summary",
        "scaler",
        "borders",
        "params:windowing",
    }
    assert pipeline.outputs() == {"window_index"}
    assert pipeline.all_outputs() == {"series_set", "window_index"}


def test_defaults_are_those_of_the_model(defaults):
    assert defaults["windowing"].pop("strides") == THINNED
    assert WindowingParams(**defaults["windowing"]) == WindowingParams()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"context_length": 4}, "windowing.context_length = 4: "),
        ({"horizons": [0]}, "windowing.horizons.0 = 0: "),
        ({"horizons": [96, 24]}, "windowing.horizons = [96, 24]: horizons must increase"),
        ({"horizons": 24}, "windowing.horizons = 24: "),
        ({"strides": {"train": 0}}, "windowing.strides.train = 0: "),
        ({"strides": {"tset": 1}}, "did you mean windowing.strides.test?"),
        ({"max_missing_share": 1.0}, "windowing.max_missing_share = 1.0: "),
        ({"max_missing_share": float("nan")}, "windowing.max_missing_share = nan: "),
    ],
)
def test_nonsense_is_refused(refusal, params, said):
    assert said in refusal(windowing=params)


def borders(train, validation, test):
    return pd.DataFrame(
        {
            "item_id": ["s0"],
            "length": [test],
            "train_end": [train],
            "validation_end": [validation],
            "test_end": [test],
        }
    )


def test_every_split_has_its_windows(caplog):
    series = series_of([np.arange(100.0)])
    params = WindowingParams(context_length=16, horizons=(2, 8))
    with caplog.at_level("INFO"):
        table = list_windows(series, borders(60, 75, 100), params)
    assert "Windows: datastore 37, train 37, validation 14, test 24" in caplog.text
    assert table["split"].value_counts().to_dict() == {
        "datastore": 37,
        "train": 37,
        "validation": 14,
        "test": 24,
    }


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((20, 75, 100), "the datastore split holds no window of 16 + 8 steps"),
        ((60, 61, 100), "the validation split holds no window of 16 + 2 steps"),
        ((60, 99, 100), "the test split holds no window of 16 + 2 steps"),
    ],
)
def test_an_empty_split_is_refused_with_the_way_out(ends, said):
    params = WindowingParams(context_length=16, horizons=(2, 8))
    with pytest.raises(WindowError) as error:
        list_windows(series_of([np.arange(100.0)]), borders(*ends), params)
    for words in (said, "windowing.context_length", "ingestion.borders", "at most 30% missing"):
        assert words in str(error.value)
