import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from builders import LEVELS, series_of
from domains import H
from tsmemory.evaluation.leaderboard import build_leaderboard, build_skill
from tsmemory.evaluation.methods import Fused, OnlineKnn, PointWithSpread, frozen
from tsmemory.evaluation.rows import assemble_methods, collect_metrics, in_sample_seasonal_error
from tsmemory.evaluation.scores import score_methods
from tsmemory.memory.closed_form import fit_closed_form
from tsmemory.memory.config import FusionConfig
from tsmemory.memory.fusion import Fusion
from tsmemory.memory.seeded import SeededAdapters
from tsmemory.metrics import last_value, seasonal_naive

BLOCK, MEDIAN = 4, LEVELS.index(0.5)
FUSIONS = {
    "3": Fusion(BLOCK, (0.7, 0.2, 0.0), (1.0, 0.0, 0.0), (1.3, 0.8, 1.0)),
    "4": Fusion(BLOCK, (0.1, 0.0, 0.4), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
}
FUSION = {seed: fusion.to_json() for seed, fusion in FUSIONS.items()}
CONFIG = FusionConfig(block=BLOCK)


@pytest.fixture(scope="module")
def closed_form(domain):
    return fit_closed_form(
        domain.train_windows,
        domain.train,
        domain.validation_windows,
        penalties=(100.0,),
        folds=3,
        config=CONFIG,
    )


@pytest.fixture(scope="module")
def methods(domain, halves, closed_form, adapters):
    return assemble_methods(
        halves[0],
        domain.teacher,
        closed_form,
        SeededAdapters(adapters, {}),
        FUSION,
        season=8,
        k=6,
        temperature=0.3,
        embargo="causal",
        config=CONFIG,
    )


@pytest.fixture(scope="module")
def scores(halves, methods):
    return score_methods(
        halves[1],
        methods,
        horizons=(4, H),
        seasonal_error=np.array([1.0, np.nan]),
        stride=1,
        batch_size=100,
    )


def collected(scores, series):
    options = {"samples": 100, "level": 0.9}
    board = build_leaderboard(scores, rng=np.random.default_rng(0), **options)
    gains = build_skill(scores, series, rng=np.random.default_rng(0), **options)
    return board, gains, collect_metrics(scores, series, board, gains, FUSION, {"k": 6})


def test_all_rows_are_there_once_for_each_seed(methods):
    assert {name: len(seeds) for name, seeds in methods.items()} == {
        "last_value": 1,
        "seasonal_naive": 1,
        "ridge": 1,
        "frozen": 1,
        "online_knn": 1,
        "tsmemory": 2,
    }


def test_point_rows_forecast_their_point(halves, methods, closed_form):
    validation, test = halves
    contexts = test.windows.contexts(test.series)
    points = {
        "last_value": lambda c: last_value(c, H),
        "seasonal_naive": lambda c: seasonal_naive(c, H, 8),
        "ridge": closed_form.ridge.predict,
    }
    for name, point in points.items():
        (method,) = methods[name]
        np.testing.assert_allclose(method(test)[:, MEDIAN], point(contexts), rtol=1e-6)
        expected = PointWithSpread.fit(point, validation, BLOCK).offsets
        np.testing.assert_array_equal(method.offsets, expected)


def test_other_rows_are_what_they_are_named_after(domain, halves, methods, adapters):
    validation, test = halves
    assert methods["frozen"] == [frozen]
    online = OnlineKnn(domain.store, domain.teacher, 6, 0.3, "causal").fit(validation, CONFIG)
    assert methods["online_knn"] == [online]
    for seed, method in zip((3, 4), methods["tsmemory"], strict=True):
        expected = Fused(adapters[seed], FUSIONS[str(seed)])(test)
        np.testing.assert_array_equal(method(test), expected)
    first, second = (method(test) for method in methods["tsmemory"])
    assert np.abs(first - second).max() > 0.1


def test_seasonal_error_is_the_mean_seasonal_change_in_training_in_raw_units():
    rows = [np.array([0.0, 1, 4, 2, 9, 100, 100]), np.array([5.0, np.nan, 1, 3, 2, 50])]
    series = replace(
        series_of(rows, items=["u", "v"], channels=["x", "x"]), std=np.array([10.0, 0.5])
    )
    borders = pd.DataFrame({"item_id": ["v", "u"], "train_end": [5, 5]})
    found = in_sample_seasonal_error(series, borders, 2)
    # Changes over two steps: |4|, |1|, |5| and |-4|, (unknown), |1|.
    assert found == pytest.approx([10 * 10 / 3, 0.5 * 5 / 2])
    assert np.isnan(in_sample_seasonal_error(series, borders, 5)).all()


def test_metrics_are_one_json_value(halves, scores):
    series = replace(halves[1].series, channel=np.array(["a", "b"], dtype=object))
    board, gains, value = collected(scores, series)
    read = json.loads(json.dumps(value, allow_nan=False))
    assert read == value
    for line in board.itertuples():
        found = value["metrics"][line.method][str(line.horizon)][line.metric]
        assert found == line.value
    for number, channel in enumerate("ab"):
        for method, part in scores.methods.items():
            expected = part.metrics(1, scores.row == number)
            found = value["metrics_by_channel"][channel][method][str(H)]
            for metric, figure in expected.items():
                assert found[metric] == (None if np.isnan(figure) else figure)
    assert value["metrics_by_channel"]["b"]["frozen"]["4"]["mase"] is None
    overall = gains[gains["channel"] == "all"]
    assert len(value["skill_vs_frozen"]) == len(overall)
    for line, (_, expected) in zip(value["skill_vs_frozen"], overall.iterrows(), strict=True):
        assert "channel" not in line
        assert all(line[name] == expected[name] for name in ("method", "horizon", "metric"))
        assert line["skill"] == expected["skill"]
    assert value["teacher"] == {"k": 6}
    assert value["scored"] == scores.summary()


def test_the_guards_decisions_are_summed_up(halves, scores):
    _, _, value = collected(scores, halves[1].series)
    assert value["guard"] == {
        "3": {
            "mean_location_weight": pytest.approx(0.3),
            "mean_last_value_weight": 0.0,
            "mean_seasonal_naive_weight": 0.0,
            "mean_long_run_weight": 0.0,
            "mean_spread_weight": pytest.approx(1 / 3),
            "mean_residuals_weight": 0.0,
            "share_of_blocks_closed": pytest.approx(1 / 3),
        },
        "4": {
            "mean_location_weight": pytest.approx(0.5 / 3),
            "mean_last_value_weight": 0.0,
            "mean_seasonal_naive_weight": 0.0,
            "mean_long_run_weight": 0.0,
            "mean_spread_weight": 1.0,
            "mean_residuals_weight": 0.0,
            "share_of_blocks_closed": 0.0,
        },
    }


def test_infinite_and_undefined_figures_are_left_empty(halves, scores):
    series = halves[1].series
    board, gains, _ = collected(scores, series)
    gains["dm_statistic"] = -np.inf  # a difference that never varies
    board["value"] = np.nan
    value = collect_metrics(scores, series, board, gains, FUSION, {})
    json.dumps(value, allow_nan=False)
    assert value["skill_vs_frozen"][0]["dm_statistic"] is None
    assert value["metrics"]["frozen"]["4"]["mse"] is None
