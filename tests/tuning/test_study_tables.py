"""Tables of a study."""

import numpy as np
import optuna
import pytest
from studies import Toy, plan_of

from tsmemory.tuning.tables import importance_table, trials_table
from tsmemory.tuning.workers import run_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return run_study(folder / "j", plan_of(30, prune=True), Toy(folder / "log"))


def test_every_finished_trial_has_a_line(study):
    table = trials_table(study)
    assert table["number"].tolist() == list(range(30))
    assert set(table["state"]) == {"complete", "pruned"}
    assert table["setting"].tolist() == ["default"] + ["proposed"] * 29
    complete = table["state"] == "complete"
    assert (table.loc[complete, "blocks"] == 3).all()
    assert (table["blocks"] > 0).all()
    expected = (table["x"] - 0.3) ** 2 + (table["kind"] == "slow")
    np.testing.assert_allclose(table["loss"], expected)


def test_several_values_have_names_of_their_own():
    study = optuna.create_study(directions=["minimize"] * 2)
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 3.0), n_trials=2)
    table = trials_table(study, ("loss", "parameters"))
    assert table["parameters"].tolist() == [3.0, 3.0]
    assert table["loss"].tolist() == table["x"].tolist()


def test_an_empty_study_has_the_columns():
    table = trials_table(optuna.create_study())
    assert list(table.columns) == ["number", "state", "setting", "loss", "blocks", "seconds"]
    assert table.empty


def test_what_matters_is_found():
    def loss(trial):
        trial.suggest_float("idle", 0, 1)
        trial.suggest_categorical("single", ["same"])
        kind = trial.suggest_categorical("kind", [None, "a", 3])
        return trial.suggest_float("x", 0, 1) + 0.2 * (kind == "a")

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(loss, n_trials=60)
    table = importance_table(study).set_index("parameter")["importance"]
    assert list(table.index) == ["x", "kind", "idle"]
    assert table["x"] > 0.6
    assert 0.02 < table["kind"] < 0.3
    assert table["idle"] < 0.05


def test_importance_is_the_adjusted_correlation_ratio():
    study = optuna.create_study()
    values = [("a", 1.0), ("a", 2.0), ("a", 4.0), ("b", 3.0), ("b", 5.0), ("b", 6.0)]
    for kind, value in [*values, ("c", 7.0), ("c", 8.0)]:
        trial = optuna.trial.create_trial(
            params={"kind": kind},
            distributions={"kind": optuna.distributions.CategoricalDistribution(["a", "b", "c"])},
            value=value,
        )
        study.add_trial(trial)
    within = sum(np.var(ranks) * len(ranks) for ranks in ([1, 2, 4], [3, 5, 6], [7, 8]))
    expected = 1 - within / (np.var(np.arange(8)) * 8) * 7 / 5
    assert importance_table(study)["importance"].tolist() == pytest.approx([expected])


@pytest.mark.parametrize(("count", "value"), [(3, None), (30, 1.0)])
def test_too_little_to_tell_is_told_by_no_lines(count, value):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(
        lambda trial: trial.suggest_float("x", 0, 1) if value is None else value, n_trials=count
    )
    assert list(importance_table(study).columns) == ["parameter", "importance"]
    assert importance_table(study).empty
