"""What was gained on validation, beside what is left of it on test."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tsmemory.evaluation.scores import MethodScores
from tsmemory.metrics import WindowScores
from tsmemory.metrics.seed_interval import seed_interval
from tsmemory.tuning.overtuning import (
    Chosen,
    describe_overtuning,
    tabulate_overtuning,
)

HORIZONS = (4, 8)
CHOSEN = [
    Chosen("default", 0, 1.0, (0.8, 1.0, 1.2)),
    Chosen("tuned", 60, 0.9, (0.7, 0.9, 1.1)),
    Chosen("random_search", 60, 0.95, (0.9, 0.9, 1.05)),
]
TAKEN = {"taken": True, "choice": {"best": 7, "reason": "better"}}
BOOTSTRAP = {"metric": "mse", "samples": 200, "level": 0.9}


def scores_of(**factors):
    """Scores of 400 origins whose errors are a common draw times a factor."""
    rng = np.random.default_rng(0)
    base = rng.gamma(4, 1, (400, 2)) * np.array([4, 8])
    noise = {name: rng.normal(0, 0.05, base.shape) for name in factors}
    methods = {}
    for name, factor in {"frozen": 1.2, **factors}.items():
        errors = base * (factor + noise.get(name, 0.0))
        fields = dict.fromkeys(WindowScores.__dataclass_fields__, errors)
        count = np.broadcast_to(np.array(HORIZONS, float), base.shape)
        methods[name] = WindowScores(**{**fields, "horizons": HORIZONS, "count": count})
    return MethodScores(
        methods=methods,
        seeds=dict.fromkeys(methods, 1),
        below={},
        levels=(0.5,),
        row=np.zeros(400, np.int64),
        origin_time=np.arange(400),
        stride=1,
    )


def table_of(scores, chosen=CHOSEN, **changes):
    return tabulate_overtuning(chosen, scores, rng=np.random.default_rng(0), **BOOTSTRAP | changes)


def line(table, setting, split, horizon="all"):
    own = table[(table["setting"] == setting) & (table["split"] == split)]
    return own[own["horizon"] == horizon].iloc[0]


@pytest.fixture(scope="module")
def scores():
    return scores_of(default=1.0, tuned=0.97, random_search=1.05)


def test_every_setting_has_lines_for_both_splits(scores):
    table = table_of(scores)
    assert len(table) == 3 * (1 + len(HORIZONS) + 1)
    assert set(table["horizon"]) == {"4", "8", "all"}
    assert (table.loc[table["setting"] == "default", "gain"] == 0).all()


def test_gains_on_validation_are_over_the_default_with_intervals_over_blocks(scores):
    found = line(table_of(scores), "tuned", "validation")
    assert (found["value"], found["trials"]) == (0.9, 60)
    assert found["gain"] == pytest.approx(0.1)
    assert (found["low"], found["high"]) == pytest.approx((0.1, 0.1))
    found = line(table_of(scores), "random_search", "validation")
    expected = seed_interval([-0.1, 0.1, 0.15], 0.9)
    assert (found["low"], found["high"]) == pytest.approx(expected[1:])


def test_gains_on_test_are_skills_of_the_metric(scores):
    table = table_of(scores)
    for number, horizon in enumerate(HORIZONS):
        own, reference = (
            scores.methods[name].metrics(number)["mse"] for name in ("tuned", "default")
        )
        found = line(table, "tuned", "test", str(horizon))
        assert found["value"] == pytest.approx(own)
        assert found["gain"] == pytest.approx(1 - own / reference)
        assert found["low"] < found["gain"] < found["high"]


def test_all_is_the_mean_over_horizons(scores):
    table = table_of(scores)
    means = {
        name: np.mean([scores.methods[name].metrics(n)["mse"] for n in range(2)])
        for name in ("default", "tuned")
    }
    found = line(table, "tuned", "test")
    assert found["value"] == pytest.approx(means["tuned"])
    assert found["gain"] == pytest.approx(1 - means["tuned"] / means["default"])
    assert found["low"] < found["gain"] < found["high"]


def test_without_blocks_there_is_no_interval(scores):
    bare = [replace(choice, blocks=()) for choice in CHOSEN]
    assert np.isnan(line(table_of(scores, bare), "tuned", "validation")["low"])


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (0.97, "Tuning helps on test."),
        (1.05, "Tuning does not help on test."),
        (0.997, "within noise: tuning is not shown to help"),
    ],
)
def test_it_is_said_whether_tuning_helps(factor, said):
    table = table_of(scores_of(default=1.0, tuned=factor, random_search=1.0))
    text = " ".join(describe_overtuning(table, TAKEN, level=0.9))
    assert said in text
    assert "The best of 60 trials has a MSE 10.0 % lower than the default's on validation" in text
    assert "The best of 60 random trials: 5.0 % lower on validation" in text


def test_it_is_said_that_the_default_stays(scores):
    kept = {"taken": False, "choice": {"best": 7, "reason": "better on only 1 of 4 blocks"}}
    text = " ".join(describe_overtuning(table_of(scores), kept, level=0.9))
    assert "It is not taken, the default stays: better on only 1 of 4 blocks." in text
    assert "helps on test" not in text
    none = {"taken": False, "choice": {"best": 0, "reason": "the default is the best"}}
    text = " ".join(describe_overtuning(table_of(scores), none, level=0.9))
    assert text.startswith("None of 60 trials beat the default on validation")


def test_a_table_that_was_read_back_says_the_same(scores, tmp_path):
    table = table_of(scores, CHOSEN[:2])
    table.to_csv(tmp_path / "table.csv", index=False)
    read = pd.read_csv(tmp_path / "table.csv", dtype={"horizon": str})
    said = describe_overtuning(read, TAKEN, level=0.9)
    assert said == describe_overtuning(table, TAKEN, level=0.9)
    assert "random" not in " ".join(said)
