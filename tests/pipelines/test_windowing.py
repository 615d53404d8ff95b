import json

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
    assert [node.short_name for node in pipeline.nodes] == [
        "scale_series",
        "list_windows",
        "list_forecast_origins",
    ]
    assert pipeline.inputs() == {
        "panel",
        "panel_summary",
        "scaler",
        "borders",
        "params:windowing",
    }
    assert pipeline.outputs() == {"window_counts", "forecast_origins"}
    assert pipeline.all_outputs() - pipeline.outputs() == {"series_set", "window_index"}


def test_defaults_are_those_of_the_model(defaults):
    assert defaults["windowing"].pop("strides") == THINNED
    assert WindowingParams(**defaults["windowing"]) == WindowingParams()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"context_length": 4}, "windowing.context_length = 4: "),
        ({"horizons": [0]}, "windowing.horizons.0 = 0: "),
        ({"horizons": [96, 24]}, "windowing.horizons = [96, 24]: horizons must increase"),
        ({"horizons": "12 x"}, "windowing.horizons.1 = 'x': "),
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
        table, counts = list_windows(series, borders(60, 75, 100), params)
    assert "Windows: datastore 37, train 37, validation 14, test 24" in caplog.text
    assert table["split"].value_counts().to_dict() == {
        "datastore": 37,
        "train": 37,
        "validation": 14,
        "test": 24,
    }
    assert counts == {
        "splits": {
            split: {"kept": kept, "left_out": 0}
            for split, kept in table["split"].value_counts().items()
        },
        "rows_without_training_windows": [],
        "calendar_overlap": {"series": 0, "worst": None},
    }
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_what_is_left_out_is_said_and_counted(caplog):
    scarce = np.full(100, np.nan)
    scarce[[3, 40]] = 1.0
    series = series_of([np.arange(100.0), scarce], items=["s0", "s0"], channels=["x", "y"])
    params = WindowingParams(context_length=16, horizons=(2, 8))
    with caplog.at_level("INFO"):
        table, counts = list_windows(series, borders(60, 75, 100), params)
    assert set(table["row"]) == {0}
    assert json.loads(json.dumps(counts)) == counts
    assert counts["splits"]["train"] == {"kept": 37, "left_out": 37}
    (row,) = counts["rows_without_training_windows"]
    assert (row["item_id"], row["channel"]) == ("s0", "y")
    assert "more than 30% of their values missing: datastore 37, train 37" in caplog.text
    assert "Nothing is learnt from 1 row(s): 's0' 'y': too many missing values" in caplog.text


def test_training_on_the_test_days_of_another_series_is_said_and_counted(caplog):
    series = series_of([np.arange(100.0)] * 3, calendar=[0, 0, 60])
    every = pd.concat([borders(60, 75, 100).assign(item_id=f"s{n}") for n in (2, 1, 0)])
    _, counts = list_windows(series, every, WindowingParams(context_length=16, horizons=(2, 8)))
    worst = {"training": "s2", "tested": "s0", "steps": 25}
    assert counts["calendar_overlap"] == {"series": 1, "worst": worst}
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "1 series train on days on which others are tested" in record.getMessage()
    assert "'s2' trains on 25 test steps of 's0'" in record.getMessage()


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


@pytest.mark.parametrize("horizons", [24, "24", [24], ("24",)])
def test_one_horizon_needs_no_brackets(horizons):
    assert WindowingParams(horizons=horizons).horizons == (24,)


def test_several_horizons_can_be_given_on_the_command_line():
    assert WindowingParams(horizons="12 48").horizons == (12, 48)
