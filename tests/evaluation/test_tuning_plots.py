import json

import numpy as np
import pandas as pd
import plotly.io as pio
import pytest

from tsmemory.evaluation.tuning_plots import (
    draw_history,
    draw_parameter_importance,
    draw_slices,
)


def trials(count=20):
    rng = np.random.default_rng(0)
    lines = []
    for study in ("tpe", "random"):
        for number in range(count):
            lines.append(
                {
                    "study": study,
                    "number": number,
                    "state": "pruned" if number % 5 == 4 else "complete",
                    "setting": "proposed" if number else "default",
                    "loss": 0.4 + rng.gamma(2, 0.01),
                    "temperature": float(10 ** rng.uniform(-2, 1)),
                    "key<b>": rng.choice(["embedding", "tail"]),
                    "min_spread": np.nan if number % 2 else 0.1,
                }
            )
    return pd.DataFrame(lines)


IMPORTANCE = pd.DataFrame(
    {"parameter": ["temperature", "key<b>", "min_spread", "gone"], "importance": [0.6, 0.3, 0.1, 0]}
)


def test_the_history_shows_complete_trials_and_the_best_so_far():
    table = trials()
    figure = draw_history(table)
    assert [trace.name for trace in figure.data] == [
        *("random search, trials", "random search, best so far"),
        *("TPE, trials", "TPE, best so far"),
    ]
    own = table[(table["study"] == "tpe") & (table["state"] == "complete")]
    assert list(figure.data[2].x) == own["number"].tolist()
    assert list(figure.data[3].y) == own["loss"].cummin().tolist()
    assert figure.layout.shapes[0].y0 == table["loss"].iloc[0]


def test_a_search_of_one_kind_is_alone():
    table = trials()
    figure = draw_history(table[table["study"] == "tpe"])
    assert len(figure.data) == 2


def test_importance_reads_from_the_top():
    figure = draw_parameter_importance(IMPORTANCE)
    assert list(figure.data[0].y)[:2] == ["temperature", "key&lt;b&gt;"]
    assert list(figure.data[0].x) == [0.6, 0.3, 0.1, 0]
    assert figure.layout.yaxis.autorange == "reversed"


def test_slices_show_the_parameters_that_matter_most():
    table = trials()
    figure = draw_slices(table, IMPORTANCE)
    done = table[table["state"] == "complete"]
    assert len(figure.data) == 3
    assert list(figure.data[0].x) == done["temperature"].tolist()
    assert figure.layout.xaxis.type == "log"
    assert set(figure.data[1].x) == {"embedding", "tail"}
    assert figure.layout.xaxis2.type is None
    assert len(figure.data[2].x) == done["min_spread"].notna().sum()


def test_the_worst_losses_do_not_squeeze_the_rest():
    table = trials()
    table.loc[3, "loss"] = 40.0
    low, high = draw_history(table).layout.yaxis.range
    complete = table[table["state"] == "complete"]
    assert low < complete["loss"].min()
    assert high < 1


@pytest.mark.parametrize("importance", [IMPORTANCE, IMPORTANCE.iloc[:0]])
def test_figures_survive_json_and_a_table_read_back(importance, tmp_path):
    trials().to_csv(tmp_path / "trials.csv", index=False)
    read = pd.read_csv(tmp_path / "trials.csv")
    figures = (
        draw_history(read),
        draw_parameter_importance(importance),
        draw_slices(read, importance),
    )
    for figure in figures:
        again = pio.from_json(figure.to_json())
        assert json.loads(again.to_json())["layout"] == json.loads(figure.to_json())["layout"]
