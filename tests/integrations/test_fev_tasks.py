"""fev's tasks on a local file, without a network."""

import numpy as np
import pandas as pd
import pytest

fev = pytest.importorskip("fev")

from tsmemory import MemoryForecaster  # noqa: E402
from tsmemory.integrations import fev_tasks  # noqa: E402
from tsmemory.memory.config import TrainingConfig  # noqa: E402
from tsmemory.memory.fit_config import FitConfig, StrideConfig, TeacherConfig  # noqa: E402
from tsmemory.memory.reference import without_memory  # noqa: E402

H = 6


@pytest.fixture
def make_task(tmp_path, monkeypatch):
    """Write a data set of three hourly series, and make a task on it."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    rng = np.random.default_rng(0)
    parts = []
    for number, item in enumerate(("c", "a", "b")):
        steps = np.arange(120 + 10 * number)
        wave = np.sin(steps * 2 * np.pi / 24 + number)
        part = {
            "id": item,
            "timestamp": pd.date_range("2024-01-01", periods=len(steps), freq="h"),
            "load": 10 * number + wave + rng.normal(0, 0.1, len(steps)),
            "wind": rng.normal(0, 1, len(steps)),
        }
        parts.append(pd.DataFrame(part))
    path = tmp_path / "series.parquet"
    pd.concat(parts).to_parquet(path)

    def make(**changes):
        known = {
            "horizon": H,
            "num_windows": 2,
            "seasonality": 24,
            "target": "load",
            "eval_metric": "WQL",
            "extra_metrics": ["MAE"],
            "quantile_levels": [0.1, 0.5, 0.9],
        }
        return fev.Task(dataset_path=str(path), **{**known, **changes})

    return make


def test_predictions_are_those_of_the_forecaster(forecaster, make_task):
    task = make_task()
    predictions, seconds = fev_tasks.predict_task(task, forecaster)
    assert seconds > 0
    for window, made in zip(task.iter_windows(), predictions, strict=True):
        past, _ = window.get_input_data()
        for number, series in enumerate(past):
            quantiles, median = forecaster.predict_quantiles(
                series["load"], H, [0.1, 0.9], channels=["load"], items=[series["id"]]
            )
            line = made["load"][number]
            np.testing.assert_allclose(line["0.1"], quantiles[0, :, 0], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(line["0.9"], quantiles[0, :, 1], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(line["predictions"], median[0], rtol=1e-4, atol=1e-5)


def test_tasks_are_run_with_the_memory_and_without_it(forecaster, make_task):
    table = fev_tasks.run_tasks([make_task(), make_task(horizon=4)], forecaster)
    assert table["model_name"].tolist() == ["tsmemory", "frozen"] * 2
    assert table["num_forecasts"].tolist() == [6] * 4
    assert table["horizon"].tolist() == [H, H, 4, 4]
    assert table["test_error"].notna().all()
    assert (table["training_time_s"] == 0).all()
    assert table["guard"].nunique() == 2
    board = fev.leaderboard(table, baseline_model="frozen")
    assert set(board.index) == {"tsmemory", "frozen"}


def test_without_memory_the_backbone_stands_as_it_is(forecaster, make_task):
    predictions, _ = fev_tasks.predict_task(make_task(), without_memory(forecaster))
    window = make_task().get_window(1)
    past, _ = window.get_input_data()
    series = past[0]["load"][-32:].astype(np.float32)
    bare = forecaster.backbone.predict_quantiles(series[None], H)[0]
    np.testing.assert_allclose(predictions[1]["load"][0]["0.1"], bare[0], rtol=1e-4, atol=1e-4)


def test_several_targets_are_forecast_each_on_its_own(forecaster, make_task):
    both, _ = fev_tasks.predict_task(make_task(target=["wind", "load"]), forecaster)
    one, _ = fev_tasks.predict_task(make_task(), forecaster)
    assert set(both[0]) == {"load", "wind"}
    np.testing.assert_allclose(both[0]["load"]["0.5"], one[0]["load"]["0.5"], rtol=1e-4, atol=1e-5)


def test_each_task_gets_a_memory_of_what_lies_before_its_first_cutoff(
    make_task, bolt_folder, monkeypatch
):
    seen = []
    fit = MemoryForecaster.fit
    monkeypatch.setattr(
        MemoryForecaster,
        "fit",
        lambda df, **options: seen.append((df, options)) or fit(df, **options),
    )
    config = FitConfig(
        strides=StrideConfig(2, 2, 2),
        teacher=TeacherConfig(k=3, k_min=1, shift_length=4),
        training=TrainingConfig(epochs=1),
    )
    options = {"backbone": bolt_folder, "context_length": 32, "config": config}
    table = fev_tasks.run_tasks([make_task(target=["load", "wind"])], **options)
    ((df, given),) = seen
    assert df["id"].value_counts().to_dict() == {"a": 118, "b": 128, "c": 108}  # two windows less
    assert given["target"] == ["load", "wind"]
    assert given["freq"] == "h"
    assert given["prediction_length"] == H
    assert (table["training_time_s"] > 0).tolist() == [True, False]
    assert table["test_error"].notna().all()


def test_a_task_may_ask_for_points_alone(forecaster, make_task):
    task = make_task(quantile_levels=[], eval_metric="MSE")
    table = fev_tasks.run_tasks([task], forecaster)
    assert table["test_error"].notna().all()
