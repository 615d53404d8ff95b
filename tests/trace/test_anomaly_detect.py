from dataclasses import replace

import numpy as np
import pytest
from adapted import small_bolt

from builders import hourly_panel
from tsmemory.backbones.seasonal_naive import SeasonalNaive
from tsmemory.trace.anomaly.detect import METRICS, AnomalyConfig, detect, judge
from tsmemory.trace.anomaly.metrics import average_precision
from tsmemory.trace.anomaly.series import WatchedSeries, watched_series
from tsmemory.trace.encoder import PatchEncoder
from tsmemory.trace.errors import TraceError

EVENT = slice(500, 548)


def _series(name, *, seed, missing=()) -> WatchedSeries:
    rng = np.random.default_rng(seed)
    values = np.sin(2 * np.pi * np.arange(700) / 24) + rng.normal(0, 0.2, 700)
    values[EVENT] += rng.normal(0, 1.5, 48)
    values[list(missing)] = np.nan
    panel = hourly_panel({"x": values}, item=name)
    stamps = panel["timestamp"].astype(str)
    windows = {name: [(stamps[EVENT.start], stamps[EVENT.stop - 1])]}
    return watched_series(panel, "h", windows)[0]


@pytest.fixture(scope="module")
def series():
    return [_series("a", seed=0), _series("b", seed=1, missing=range(300, 320))]


@pytest.fixture(scope="module")
def scores(series):
    encoder = PatchEncoder(small_bolt(), 32)
    return detect(series, SeasonalNaive(24), config=AnomalyConfig(), encoder=encoder)


def test_every_step_has_a_line(series, scores):
    assert list(scores.columns) == [
        *("series", "timestamp", "value", "anomalous", "season"),
        *("seasonal_naive", "forecast", "reconstruction"),
        *("seasonal_naive_smoothed", "forecast_smoothed", "reconstruction_smoothed"),
        "random",
    ]
    assert scores.groupby("series").size().to_dict() == {"a": 700, "b": 700}
    for each in series:
        lines = scores[scores["series"] == each.name]
        known = ~np.isnan(each.values)
        known[: round(0.15 * 700)] = False
        for method in lines.columns[5:]:
            np.testing.assert_array_equal(lines[method].notna(), known)


def test_without_an_encoder_nothing_is_reconstructed(series, scores):
    plain = detect(series, SeasonalNaive(24), config=AnomalyConfig())
    assert not [name for name in plain.columns if "reconstruction" in name]
    np.testing.assert_array_equal(plain["forecast"], scores["forecast"])


def test_judgement_is_of_the_steps_that_all_methods_score(series, scores):
    table = judge(scores)
    lines = table[table["series"] != "mean"].set_index(["method", "series"])
    assert lines["steps"].xs("b", level="series").unique() == [700 - 105 - 20]
    for method, name in lines.index:
        chosen = scores[(scores["series"] == name) & scores["forecast"].notna()]
        anomalous = chosen["anomalous"].to_numpy(dtype=bool)
        expected = average_precision(anomalous, chosen[method].to_numpy())
        assert lines.loc[(method, name), "auc_pr"] == pytest.approx(expected)


def test_means_come_first_and_the_best_method_before_the_others(scores):
    table = judge(scores)
    means = table[table["series"] == "mean"]
    assert means["auc_pr"].is_monotonic_decreasing
    assert means["method"].iloc[-1] == "random"
    for _, mean in means.iterrows():
        lines = table[(table["method"] == mean["method"]) & (table["series"] != "mean")]
        np.testing.assert_allclose(
            mean[list(METRICS)].to_numpy(dtype=float), lines[list(METRICS)].mean(), rtol=1e-9
        )
        assert lines["wins"].isna().all()
    lines = table[table["series"] != "mean"].set_index(["method", "series"])["auc_pr"]
    for method, wins in means.set_index("method")["wins"].items():
        assert wins == (lines[method] > lines["seasonal_naive"]).sum()


def test_point_adjustment_flatters_random_scores(scores):
    means = judge(scores).query("series == 'mean'").set_index("method")
    assert means.loc["random", "best_f1_adjusted"] > 2 * means.loc["random", "best_f1"]


def test_unlabelled_series_are_scored_but_not_judged(series):
    unknown = replace(series[0], name="new", anomalous=None)
    scores = detect([unknown, series[1]], SeasonalNaive(24), config=AnomalyConfig())
    assert scores.loc[scores["series"] == "new", "anomalous"].isna().all()
    assert set(judge(scores)["series"]) == {"mean", "b"}
    with pytest.raises(TraceError, match="no series has labels"):
        judge(scores[scores["series"] == "new"])


def test_the_same_seed_gives_the_same_table(series, scores):
    config = AnomalyConfig()
    again = detect(series, SeasonalNaive(24), config=config)
    np.testing.assert_array_equal(again["random"], scores["random"])
    other = detect(series, SeasonalNaive(24), config=replace(config, seed=1))
    assert (other["random"].dropna() != again["random"].dropna()).all()


def test_names_must_differ(series):
    with pytest.raises(TraceError, match="names of their own"):
        detect([series[0], series[0]], SeasonalNaive(24), config=AnomalyConfig())


@pytest.mark.parametrize(
    "wrong", [{"usual_share": 0.0}, {"usual_most": 0}, {"smoothed_seasons": 0.0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(TraceError, match="anomaly settings"):
        AnomalyConfig(**wrong)
