import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from tsmemory.evaluation.importance_plot import draw_importance, last_scores

KINDS = ("wo", "q", "k")


def importance(seeds=(0, 1), rounds=2):
    rng = np.random.default_rng(0)
    lines = []
    for seed in seeds:
        for number in range(rounds):
            for layer in (0, 1):
                for kind in KINDS:
                    lines.append(
                        {
                            "seed": seed,
                            "round": number,
                            "site": f"encoder.block.{layer}.{kind}",
                            "layer": layer,
                            "kind": kind,
                            "score": float(rng.random()) * (seed + 1),
                            "standard_error": 0.1,
                            "open": kind == "q" or (kind == "k" and seed == 0),
                        }
                    )
    return pd.DataFrame(lines)


def test_the_last_round_counts_and_seeds_weigh_alike():
    table = importance()
    found = last_scores(table).set_index("site")
    last = table[table["round"] == 1]
    for site, lines in last.groupby("site"):
        assert found.loc[site, "score"] == pytest.approx(lines["score"].mean())
        parts = [
            line["score"] / last.loc[last["seed"] == line["seed"], "score"].max()
            for line in lines.to_dict("records")
        ]
        assert found.loc[site, "relative"] == pytest.approx(np.mean(parts))
    assert found.loc["encoder.block.0.q", ["kept", "seeds"]].tolist() == [2, 2]
    assert found.loc["encoder.block.1.k", "kept"] == 1


def test_scores_of_zero_stay_zero():
    table = importance().assign(score=0.0)
    assert (last_scores(table)["relative"] == 0).all()


def test_cells_lie_by_layer_and_module_with_marks_where_sites_are_kept():
    figure = draw_importance(importance())
    heat, every, some = figure.data
    assert isinstance(heat, go.Heatmap)
    assert list(figure.layout.xaxis.ticktext) == ["q", "k", "wo"]
    assert np.shape(heat.z) == (2, 3)
    assert "encoder.block.1.k" in heat.hovertext[1][1]
    assert "kept by 1 of 2" in heat.hovertext[1][1]
    assert list(zip(every.x, every.y, strict=True)) == [(0, 0), (0, 1)]
    assert list(zip(some.x, some.y, strict=True)) == [(1, 0), (1, 1)]


def test_a_site_that_a_model_lacks_is_an_empty_cell():
    table = importance()
    table = table[table["site"] != "encoder.block.0.wo"]
    heat = draw_importance(table).data[0]
    assert heat.z[0][2] is None
    assert heat.hovertext[0][2] == ""


def test_it_survives_json_and_a_table_without_sites():
    for table in (importance(), importance().iloc[:0]):
        figure = draw_importance(table)
        again = go.Figure(json.loads(figure.to_json()))
        assert len(again.data) == len(figure.data)
