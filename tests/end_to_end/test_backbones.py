"""The main way with models of other libraries: tiny ones, in each library's own format."""

import numpy as np
import pytest

from tiny_models import save_tiny_chronos2, save_tiny_timesfm
from tsmemory import MemoryForecaster, load_backbone

# Few windows, horizons beyond the native one (16), levels that are none of the model's own.
SPARSE = {
    "windowing.horizons": [8, 24],
    "windowing.strides.datastore": 301,
    "windowing.strides.train": 601,
    "windowing.strides.validation": 151,
    "windowing.strides.test": 401,
    "distillation.seeds": [0],
}
CASES = {
    "chronos2": (
        save_tiny_chronos2,
        {"rollout": "quantile", "quantile_levels": [0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97]},
    ),
    "timesfm": (save_tiny_timesfm, {"dtype": "bfloat16"}),
}


@pytest.mark.parametrize("kind", CASES)
def test_the_main_way_goes_on_any_backbone(fresh, kind):
    save, options = CASES[kind]
    folder = save(fresh.folder / "weights" / kind)
    params = {
        "backbone.name": str(folder),
        **{f"backbone.{name}": value for name, value in options.items()},
        **SPARSE,
    }
    fresh.run(params)
    table = fresh.report("leaderboard.csv")
    assert {"frozen", "tsmemory", "online_knn"} <= set(table["method"])
    assert set(table["horizon"]) == {8, 24}
    assert {"crps", "coverage_80"} <= set(table["metric"])
    assert np.isfinite(table["value"]).all()
    assert (table.loc[table["metric"] == "crossing_rate", "value"] == 0).all()

    forecaster = MemoryForecaster.from_pretrained(fresh.artefact("forecaster"))
    assert forecaster.backbone.fingerprint == load_backbone(folder, **options).fingerprint
    levels = forecaster.backbone.quantile_levels
    quantiles, _ = forecaster.predict_quantiles(np.sin(np.arange(64.0)), 30, levels)
    assert quantiles.isfinite().all()
    assert (quantiles.diff(dim=2) >= 0).all()

    assert fresh.run(params) == []
