"""``distillation.profile=paper`` on the main way, with a tiny adapter."""

import json

import numpy as np

from tsmemory import MemoryForecaster

PAPER = {
    "distillation.profile": "paper",
    "distillation.paper_adapter.width": 16,
    "distillation.paper_adapter.heads": 2,
    "distillation.paper_adapter.feedforward": 32,
    "distillation.objective.gate": "out_of_fold",
    "distillation.seeds": [0],
}


def test_another_profile_makes_another_adapter_and_nothing_before_it(grown):
    steps = grown.run(PAPER)
    assert {"distil_adapter", "fuse_and_guard", "export_forecaster", "measure_cost"} <= set(steps)
    assert not {"search_neighbours", "forecast_training_windows", "forecast_test_windows"} & set(
        steps
    )
    about = json.loads((grown.artefact("adapter") / "summary.json").read_text())
    assert about["adapter"]["profile"] == "paper"
    assert about["report"]["0"]["profile"] == (
        "paper, reduced: other sizes, at most 2 of 20 epochs, training stride 211"
    )
    table = grown.report("leaderboard.csv")
    assert np.isfinite(table["value"]).all()
    assert (table.loc[table["metric"] == "crossing_rate", "value"] == 0).all()
    cost = grown.report("cost.csv")
    work = cost[cost["metric"].str.contains("flops")]
    assert set(work["metric"]) == {"flops_per_window", "adapter_flops_per_window"}
    assert (work["value"] > 1000).all()

    forecaster = MemoryForecaster.from_pretrained(grown.artefact("forecaster"))
    assert forecaster.summary()["adapter"]["profile"] == "paper"
    quantiles, _ = forecaster.predict_quantiles(np.sin(np.arange(64.0)), 20)
    assert quantiles.isfinite().all()
    assert (quantiles.diff(dim=2) >= 0).all()
