"""The environment ``etth1`` with tiny settings, where the public file is at hand."""

import pandas as pd
from projects import tiny


def test_etth1(fresh, repository, shared_data, monkeypatch):
    monkeypatch.setenv("TSMEMORY_ETTH1", str(shared_data("ETTh1.csv")))
    strides = {"datastore": 101, "train": 211, "validation": 101, "test": 101}
    changes = {f"windowing__strides__{name}": value for name, value in strides.items()}
    changes |= {"windowing__horizons": [24, 48], "distillation__training__epochs": 1}
    benchmark = fresh.serving("etth1")
    benchmark.run(tiny(repository, **changes), env="etth1")
    borders = pd.read_parquet(benchmark.artefact("borders"))
    assert borders[["train_end", "validation_end", "test_end"]].to_numpy().tolist() == [
        [8640, 11520, 14400]
    ]
    table = benchmark.report("leaderboard.csv")
    assert set(table["horizon"]) == {24, 48}
    assert table["value"].notna().all()
    index = pd.read_parquet(benchmark.artefact("window_index"))
    test = index[index["split"] == "test"]
    assert (test["start"] + 64).min() == 11520  # the context reaches back over the border
    assert set(test["limit"]) == {14400}
