"""Precomputed forecasts below the forecaster: the same answers as the backbone that made them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from domains import H, L
from tables_of_forecasts import table_of
from tsmemory import MemoryForecaster, load_backbone
from tsmemory.backbones import BackboneError
from tsmemory.memory.adapter import AdapterConfig, MemoryAdapter
from tsmemory.memory.errors import ForecasterError
from tsmemory.memory.forecasts import forecast_windows
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.origins import check_origins, window_origins

OPEN = Fusion(4, (0.7, 0.2, 0.0), (1.0, 0.5, 0.0), (1.3, 0.8, 1.0))
LEVEL = 1e6  # of the data: thousands of spreads, so that contexts are moved before they are read


@pytest.fixture(scope="module")
def series(domain):
    """The rows as a scaler leaves them: the data lie at a level and in a unit of their own."""
    rows = len(domain.series.length)
    return replace(domain.series, mean=np.full(rows, LEVEL), std=np.full(rows, 20.0))


@pytest.fixture(scope="module")
def windows(domain):
    return domain.validation_windows


@pytest.fixture(scope="module")
def expected(domain, series, windows):
    return forecast_windows(domain.backbone, windows, series, shard_size=50)


@pytest.fixture(scope="module")
def table(series, windows, expected):
    return table_of(series, windows, expected)


@pytest.fixture(scope="module")
def path(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("forecasts") / "vendor.parquet"
    table.to_parquet(path, index=False)
    return path


@pytest.fixture(scope="module")
def forecasters(domain, series, path, expected):
    """The same memory over the backbone itself and over a table of its forecasts."""
    config = AdapterConfig(
        context_length=L,
        horizon=H,
        quantile_levels=expected.levels,
        key_length=expected.keys.shape[1],
        block=4,
        patch_length=5,
        patch_width=3,
        width=7,
    )
    torch.manual_seed(0)
    adapter = MemoryAdapter(config)
    with torch.no_grad():
        for tensor in (*adapter.parameters(), adapter.weight, adapter.bias):
            tensor.add_(0.1 * torch.randn_like(tensor))
    known = KnownSeries.from_training(series, domain.train_windows)
    return tuple(
        MemoryForecaster(backbone, adapter, OPEN, known, backbone_source=source, domain="made up")
        for backbone, source in ((domain.backbone, "seasonal_naive"), (load_backbone(path), path))
    )


def frame_until(series, step):
    """The data of all rows up to and with a step."""
    parts = [
        pd.DataFrame(
            {
                "item_id": str(series.item_id[row]),
                "timestamp": series.timestamps(np.full(step + 1, row), np.arange(step + 1)),
                "x": series.row_values(row, step + 1).astype(np.float64) * 20.0 + LEVEL,
            }
        )
        for row in range(len(series.length))
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("shard_size", [7, 10_000])
def test_windows_find_their_forecasts(series, windows, path, expected, shard_size):
    backbone = load_backbone(path)
    found = forecast_windows(backbone, windows, series, shard_size=shard_size)
    np.testing.assert_allclose(found.quantiles, expected.quantiles, atol=1e-6)
    np.testing.assert_array_equal(found.keys, expected.keys)
    assert found.backbone == backbone.fingerprint


def test_origins_are_the_last_known_steps(series, windows):
    origins = window_origins(windows, series)
    hours = (origins.timestamps - np.datetime64("2024-01-01")) // np.timedelta64(1, "h")
    np.testing.assert_array_equal(hours, windows.start + L - 1)
    assert origins.items.tolist() == [f"s{row}" for row in windows.row]
    assert set(origins.channels) == {"x"}
    assert set(origins.loc) == {LEVEL}
    assert set(origins.scale) == {20.0}


def test_what_is_missing_is_refused_behind_other_levels_as_well(series, windows, table, tmp_path):
    table[table["cutoff"] < table["cutoff"].max()].to_parquet(tmp_path / "few.parquet")
    backbone = load_backbone(tmp_path / "few.parquet", quantile_levels=(0.25, 0.5))
    origins = window_origins(windows, series)
    latest = int((origins.timestamps == origins.timestamps.max()).sum())
    with pytest.raises(BackboneError, match=f"lacks {latest} of the {len(windows)} forecasts"):
        check_origins(backbone, origins, H)
    with pytest.raises(BackboneError, match=f"lacks {latest} of the"):
        forecast_windows(backbone, windows, series, shard_size=10_000)


def test_frames_are_forecast_as_by_the_backbone_itself(series, forecasters):
    frame = frame_until(series, 300)
    one, other = (f.predict_df(frame, target="x", prediction_length=H) for f in forecasters)
    assert list(one) == list(other)
    pd.testing.assert_frame_equal(one, other, rtol=1e-7)
    assert one["0.9"].gt(one["0.1"]).all()
    np.testing.assert_allclose(one["predictions"], LEVEL, atol=200)


def test_batches_do_not_matter(series, forecasters):
    frame = frame_until(series, 300)
    one, other = (
        forecasters[1].predict_df(frame, target="x", prediction_length=4, batch_size=size)
        for size in (1, 256)
    )
    pd.testing.assert_frame_equal(one, other)


def test_frames_that_end_elsewhere_are_refused(series, forecasters):
    with pytest.raises(BackboneError, match=r"lacks 2 of the 2 .* item s0, target x, cutoff"):
        forecasters[1].predict_df(frame_until(series, 200), target="x", prediction_length=H)
    with pytest.raises(BackboneError, match="holds forecasts of 10 steps, 11 are asked for"):
        forecasters[1].predict_df(frame_until(series, 300), target="x", prediction_length=11)


def test_bare_contexts_are_refused(forecasters):
    with pytest.raises(ForecasterError, match="use predict_df"):
        forecasters[1].predict_quantiles(np.arange(32.0), 4)


def test_a_saved_forecaster_takes_new_forecasts_of_the_same_model(
    series, table, forecasters, tmp_path
):
    forecasters[1].save_pretrained(tmp_path / "forecaster")
    loaded = MemoryForecaster.from_pretrained(tmp_path / "forecaster")
    frame = frame_until(series, 300)
    expected = forecasters[1].predict_df(frame, target="x", prediction_length=H)
    pd.testing.assert_frame_equal(loaded.predict_df(frame, target="x"), expected)

    newer = table.assign(cutoff=table["cutoff"] + pd.Timedelta(days=365))
    newer.to_parquet(tmp_path / "newer.parquet")
    renewed = MemoryForecaster.from_pretrained(
        tmp_path / "forecaster", backbone=tmp_path / "newer.parquet"
    )
    later = frame.assign(timestamp=frame["timestamp"] + pd.Timedelta(days=365))
    answer = renewed.predict_df(later, target="x")
    np.testing.assert_array_equal(answer["predictions"], expected["predictions"])


@pytest.mark.parametrize("change", ["model", "levels", "backbone"])
def test_forecasts_of_another_model_are_refused(change, table, forecasters, tmp_path):
    forecasters[1].save_pretrained(tmp_path / "forecaster")
    other = tmp_path / "other.parquet"
    if change == "model":
        table = table.copy()
        table.attrs["model"] = "another"
    elif change == "levels":
        table = table.drop(columns="0.9")
    table.to_parquet(other)
    backbone = load_backbone("seasonal_naive", season=8) if change == "backbone" else other
    with pytest.raises(ForecasterError, match="was made for"):
        MemoryForecaster.from_pretrained(tmp_path / "forecaster", backbone=backbone)
