"""Retrieval other than by default, from the command line's parameters to the tables."""

import json

import numpy as np
import pytest


@pytest.mark.parametrize("index_kind", ["hnsw", "ivf"])
def test_other_keys_index_and_pool(fresh, index_kind):
    fresh.run(
        {
            "indexing.key_kind": "tail",
            "indexing.tail_length": 24,
            "indexing.phase_weight": 0.5,
            "indexing.statistics_weight": 0.5,
            "indexing.index_kind": index_kind,
            "indexing.same_channel": False,
            "teacher.rerank_pool": 40,
        }
    )
    leaderboard = fresh.report("leaderboard.csv")
    online = leaderboard[leaderboard["method"] == "online_knn"]
    assert len(online) > 0
    assert np.isfinite(online.loc[online["metric"] == "mae", "value"]).all()
    diagnosis = json.loads(fresh.artefact("teacher_diagnosis").read_text())
    assert diagnosis["key"]["kind"] == "tail"
    assert diagnosis["index_kind"] == index_kind
    assert 0.5 < diagnosis["recall_at_20"] <= 1
    assert diagnosis["queries_below_k_min"] < diagnosis["queries"]
