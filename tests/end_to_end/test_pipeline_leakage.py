"""Leakage by perturbation, on the whole pipeline (METHOD 1.3): the future changes nothing made."""

import numpy as np
import pandas as pd

SAMPLE = "data/01_raw/tmy_weather.parquet"
UP_TO_TEACHER = ("ingestion", "windowing", "indexing", "teacher")
FROM_TRAINING = (
    "borders",
    "scaler",
    "skipped_series",
    "datastore",
    "train_forecasts",
    "neighbours",
    "teacher_calibration",
)
FROM_VALIDATION = (
    "teacher_diagnosis",
    "teacher_diagnosis_table",
    "validation_forecasts",
    "closed_form",
    "adapter",
    "loss_curve",
    "fusion",
    "forecaster",
)


def rewrite_the_future(project, base, border):
    """Put noise of another size, with gaps, in the place of every value from a border on."""
    path = project.folder / SAMPLE
    table = pd.read_parquet(path)
    ends = pd.read_parquet(base.artefact("borders")).set_index("item_id")[border]
    step = table.groupby("item_id")["timestamp"].rank(method="first").astype(int) - 1
    future = step >= table["item_id"].map(ends)
    values = table.columns.difference(["item_id", "timestamp"])
    rng = np.random.default_rng(0)
    noise = rng.normal(1000, 300, (int(future.sum()), len(values)))
    noise[rng.random(noise.shape) < 0.02] = np.nan
    kinds = table.dtypes
    table.loc[future, values] = noise.astype(np.float32)
    pd.testing.assert_series_equal(table.dtypes, kinds)
    assert 0.05 < future.mean() < 0.35
    table.to_parquet(path, index=False)


def windows_before(project, *splits):
    index = pd.read_parquet(project.artefact("window_index"))
    return index[index["split"].isin(splits)].reset_index(drop=True)


def test_nothing_from_the_test_border_on_changes_what_is_made(base, fresh):
    rewrite_the_future(fresh, base, "validation_end")
    fresh.run(pipelines=[*UP_TO_TEACHER, "distillation"])
    made = (*FROM_TRAINING, *FROM_VALIDATION)
    assert fresh.digests(*made) == base.digests(*made)
    assert fresh.digests("panel") != base.digests("panel")
    assert fresh.digests("series_set") != base.digests("series_set")
    splits = ("datastore", "train", "validation")
    pd.testing.assert_frame_equal(windows_before(fresh, *splits), windows_before(base, *splits))


def test_nothing_from_the_validation_border_on_changes_the_teacher(base, fresh):
    rewrite_the_future(fresh, base, "train_end")
    fresh.run(pipelines=UP_TO_TEACHER)
    assert fresh.digests(*FROM_TRAINING) == base.digests(*FROM_TRAINING)
    assert fresh.digests("validation_forecasts") != base.digests("validation_forecasts")
    splits = ("datastore", "train")
    pd.testing.assert_frame_equal(windows_before(fresh, *splits), windows_before(base, *splits))


def test_the_last_training_value_does_change_what_is_made(base, fresh):
    """Else the tests above would hold for artefacts that depend on nothing."""
    path = fresh.folder / SAMPLE
    table = pd.read_parquet(path)
    end = pd.read_parquet(base.artefact("borders"))["train_end"].iloc[0]
    table.loc[table.index[end - 1], "temperature"] += 5
    table.to_parquet(path, index=False)
    fresh.run(pipelines=["ingestion"])
    assert fresh.digests("scaler") != base.digests("scaler")
