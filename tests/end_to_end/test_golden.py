"""The leaderboard of the environment ``test``, held against values written down before.

After a change that is meant to move them, or a new bundled backbone, write them anew with

    TSMEMORY_REFRESH_GOLDEN=1 pytest tests/end_to_end/test_golden.py

and say in the commit why they moved.
"""

import json
import os
from pathlib import Path

import pytest

GOLDEN = Path(__file__).with_name("golden_leaderboard.json")
TOLERANCE = 1e-3  # relative: room for another processor, none for another method


def test_results_are_the_golden_ones(base):
    table = base.report("leaderboard.csv")
    found: dict[str, dict[str, dict[str, float]]] = {}
    for line in table.itertuples():
        by_horizon = found.setdefault(line.method, {}).setdefault(str(line.horizon), {})
        by_horizon[line.metric] = float(f"{line.value:.6g}")
    if os.environ.get("TSMEMORY_REFRESH_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    golden = json.loads(GOLDEN.read_text())
    assert set(found) == set(golden)
    for method, horizons in golden.items():
        for horizon, metrics in horizons.items():
            assert found[method][horizon] == pytest.approx(metrics, rel=TOLERANCE, abs=1e-6)
