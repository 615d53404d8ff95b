"""Forecasts of many tables are those of one call, whatever the pieces."""

import logging

import numpy as np
import pandas as pd
import pytest
from forecasters import OPEN, L, make_forecaster, make_frame

from tsmemory.memory.forecast_tables import (
    COLUMNS,
    ForecastPiece,
    ForecastTables,
    forecast_tables,
)
from tsmemory.memory.known_series import KnownSeries
from tsmemory.memory.new_tables import NewTables, Reading
from tsmemory.scaleout.config import IN_THIS_PROCESS, ShardsConfig
from tsmemory.scaleout.shards import ShardCache
from tsmemory.series.partitions import find_partitions

H, LEVELS = 8, (0.1, 0.5, 0.8)
HOURS = pd.date_range("2024-01-01", periods=100, freq="h")
KNOWN = KnownSeries(("a", "b"), ("load", "load"), np.array([0.0, 1.0]), np.ones(2), 0.8)
FORECASTER = make_forecaster(OPEN, KNOWN)
TABLES = {"one": ("c", "a", "b"), "deep/two": ("d", "e")}


@pytest.fixture
def frames(tmp_path):
    """Two tables on disk."""
    made = {}
    for seed, (name, items) in enumerate(TABLES.items()):
        made[name] = make_frame(HOURS, items, seed)
        path = tmp_path / "new" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        made[name].to_parquet(path)
    return made


@pytest.fixture
def forecast(tmp_path, frames):
    """Forecast them."""

    def ask(
        piece=100,
        forecaster=FORECASTER,
        horizon=H,
        targets=None,
        sharing=IN_THIS_PROCESS,
        folder="workspace",
    ):
        partitions = find_partitions(tmp_path / "new")
        reading = Reading(target_columns=targets)
        return forecast_tables(
            partitions,
            NewTables(partitions, forecaster, reading).survey().tables,
            forecaster,
            reading=reading,
            horizon=horizon,
            levels=LEVELS,
            batch_size=2,
            piece=piece,
            workspace=ShardCache(tmp_path / folder),
            sharing=sharing,
        )

    return ask


@pytest.mark.parametrize("piece", [1, 2, 100])
def test_they_are_those_of_one_call(forecast, frames, piece):
    found = forecast(piece)
    assert set(found.parts) == set(frames)
    for name, frame in frames.items():
        answer = FORECASTER.predict_df(
            frame, target="load", prediction_length=H, quantile_levels=LEVELS
        )
        table = found.read(name)
        assert list(table) == [*COLUMNS, *map(str, LEVELS)]
        for key in COLUMNS[:3]:
            assert (table[key].to_numpy() == answer[key].to_numpy()).all()
        for value in (COLUMNS[3], *map(str, LEVELS)):
            np.testing.assert_allclose(table[value], answer[value], rtol=1e-5, atol=1e-5)
            assert table[value].dtype == np.float32


def test_workers_make_the_same(forecast):
    shared = forecast(2, sharing=ShardsConfig("processes", 2))
    alone = forecast(2, folder="another")
    for name in TABLES:
        pd.testing.assert_frame_equal(shared.read(name), alone.read(name))


def test_they_survive_the_disk_table_by_table(forecast, tmp_path):
    found = forecast(2)
    found.save_pretrained(tmp_path / "saved")
    again = ForecastTables.from_pretrained(tmp_path / "saved")
    assert again.summary() == {"tables": 2}
    for name in TABLES:
        pd.testing.assert_frame_equal(again.read(name), found.read(name), check_dtype=False)
        assert (tmp_path / f"saved/{name}.parquet").is_file()
    assert len(pd.read_parquet(tmp_path / "saved")) == 5 * H
    assert len(again.head(3)) == 3


def test_a_killed_run_goes_on_with_the_piece_it_was_at(forecast, monkeypatch):
    asked = []
    real = ForecastPiece.__call__

    def fail_late(work, piece):
        asked.append(piece)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return real(work, piece)

    monkeypatch.setattr(ForecastPiece, "__call__", fail_late)
    with pytest.raises(KeyboardInterrupt):
        forecast(1)
    again = forecast(1)
    assert len(asked) == 4 + 2  # the piece that failed, and the last
    found = {name: again.read(name) for name in TABLES}
    monkeypatch.undo()
    whole = forecast(100)
    for name, table in found.items():
        pd.testing.assert_frame_equal(table, whole.read(name), rtol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"horizon": H + 1},
        {"targets": ("target",)},
        {"forecaster": make_forecaster(OPEN, KNOWN, seed=1)},
    ],
)
def test_pieces_of_something_else_are_not_taken(forecast, monkeypatch, change):
    forecast()
    calls = []
    real = ForecastPiece.__call__
    monkeypatch.setattr(ForecastPiece, "__call__", lambda *a: calls.append(1) or real(*a))
    forecast()
    assert calls == []
    forecast(**change)
    assert len(calls) == 2


def test_targets_without_a_value_are_left_out(forecast, frames, tmp_path):
    frame = frames["one"]
    frame.loc[frame["item_id"] == "a", "load"] = np.nan
    frame.loc[frame["item_id"] == "b", ["load", "target"]] = np.nan
    frame.to_parquet(tmp_path / "new/one.parquet")
    table = forecast(targets=("load", "target")).read("one")
    pairs = table[["item_id", "target_name"]].drop_duplicates().to_numpy().tolist()
    assert pairs == [["c", "load"], ["c", "target"], ["a", "target"]]
    assert len(table) == 3 * H


def test_a_table_of_which_nothing_is_left_has_no_forecasts(forecast, frames, tmp_path):
    frames["one"].assign(load=np.nan).to_parquet(tmp_path / "new/one.parquet")
    assert set(forecast().parts) == {"deep/two"}


def test_what_every_piece_would_say_is_said_once(forecast, frames, tmp_path, caplog):
    frame = frames["one"].copy()
    frame.loc[frame["item_id"].isin(["a", "b"]), "load"] += 1e6  # has moved
    frame = frame.drop(frame[frame["timestamp"] == HOURS[-L // 2]].index)
    frame.to_parquet(tmp_path / "new/one.parquet")
    with caplog.at_level(logging.WARNING):
        forecast(1)
    assert caplog.text.count("standard deviations from where") == 1
    assert "not whole" not in caplog.text  # the survey counts those
