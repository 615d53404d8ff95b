"""The pipeline ``tuning``: on its own, prolonged, killed, and what the main way makes of it."""

import json

import numpy as np
import pytest

from tsmemory.runs.errors import ParameterError
from tsmemory.tuning import gate_study

OWN = {
    *("search_gates", "search_masks", "score_tuned", "tabulate_overtuning"),
    *("plot_gates", "plot_masks", "write_tuning"),
}


@pytest.fixture(scope="module")
def tuned(base, tmp_path_factory):
    """The base project after it was tuned."""
    project = base.copy(tmp_path_factory.mktemp("tuned"))
    assert set(project.run(pipelines=["tuning"])) == OWN
    return project


def table(project, name):
    import pandas as pd

    return pd.read_csv(project.artefact(name))


def taken(project, name):
    return json.loads(project.artefact(name).read_text(encoding="utf-8"))


def test_trials_are_counted_and_the_default_comes_first(tuned):
    trials = table(tuned, "gate_trials")
    assert trials.groupby("study").size().to_dict() == {"random": 6, "tpe": 6}
    firsts = trials[trials["number"] == 0]
    assert firsts["setting"].tolist() == ["default"] * 2
    assert firsts["loss"].nunique() == 1
    masks = table(tuned, "mask_trials")
    assert len(masks) == 12
    assert {"all_on", "all_off", "qv", "dsic", "random_k"} <= set(masks["mask"].dropna())


def test_what_is_taken_is_never_worse_than_the_default_on_validation(tuned):
    found = taken(tuned, "tuned_gates")
    settings = found["settings"]
    assert settings["tuned"]["loss"] <= settings["default"]["loss"]
    assert found["taken"] == bool(found["overrides"])
    assert found["study"] in found["study_name"]
    promotions = table(tuned, "gate_promotions")
    assert (promotions[promotions["trial"] == 0]["skill"] == 0).all()


def test_validation_stands_beside_test(tuned):
    found = tuned.report("overtuning.csv")
    assert set(found["setting"]) == {"default", "tuned", "random_search"}
    assert set(found[found["split"] == "test"]["horizon"]) == {"8", "16", "all"}
    assert np.isfinite(found[["value", "gain"]]).all(axis=None)
    page = (tuned.folder / "data/08_reporting/test/tuning.html").read_text(encoding="utf-8")
    assert "optuna-dashboard" in page
    assert tuned.report("tuning.json")["verdict"]


def test_the_default_is_scored_as_the_main_way_would(base, tuned, tmp_path):
    project = base.copy(tmp_path)
    project.run({"distillation.seeds": 0})
    board = project.report("leaderboard.csv")
    lines = board[(board["method"] == "tsmemory") & (board["metric"] == "crps")]
    found = tuned.report("overtuning.csv")
    own = found[(found["setting"] == "default") & found["horizon"].isin(["8", "16"])]
    assert own["value"].tolist() == pytest.approx(lines["value"].tolist())


def test_what_is_current_is_reused_and_more_trials_prolong_the_study(tuned, tmp_path):
    project = tuned.copy(tmp_path)
    assert project.run(pipelines=["tuning"]) == []
    before = table(project, "gate_trials")
    steps = project.run({"tuning.gates.trials": 8}, pipelines=["tuning"])
    assert "search_masks" not in steps
    after = table(project, "gate_trials")
    assert after.groupby("study").size().to_dict() == {"random": 8, "tpe": 8}
    both = before.merge(after, on=["study", "number"])
    assert len(both) == 12
    assert both["loss_x"].tolist() == pytest.approx(both["loss_y"].tolist())
    assert both["seconds_x"].tolist() == both["seconds_y"].tolist()


def test_a_killed_study_goes_on_where_it_was(base, tmp_path, monkeypatch):
    project = base.copy(tmp_path)
    whole, done = gate_study.GateObjective.__call__, []

    def interrupted(self, trial):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(trial.number)
        return whole(self, trial)

    changed = {"tuning.gates.random_search": False, "tuning.masks.trials": 0}
    monkeypatch.setattr(gate_study.GateObjective, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        project.run(changed, pipelines=["tuning"])
    monkeypatch.setattr(gate_study.GateObjective, "__call__", whole)
    project.run(changed, pipelines=["tuning"])
    trials = table(project, "gate_trials")
    assert len(trials) == 6
    assert trials["number"].tolist()[:3] == [0, 1, 2]
    assert taken(project, "tuned_mask")["study"] is None


def test_the_main_way_takes_what_was_tuned(tuned, tmp_path):
    project = tuned.copy(tmp_path)
    file = project.artefact("tuned_gates")
    found = json.loads(file.read_text(encoding="utf-8"))
    found["overrides"] = {"teacher": {"k": 7}, "distillation": {"fusion": {"shrinkage": 0.25}}}
    file.write_text(json.dumps(found), encoding="utf-8")
    steps = project.run({"distillation.use_tuned": True})
    assert {"search_neighbours", "distil_adapter", "score_methods"} <= set(steps)
    assert "forecast_training_windows" not in steps
    manifest = project.report("manifest.json")
    assert manifest["tuned_by"] == {"distillation": found["study"]}
    assert manifest["parameters"]["teacher"]["k"] == 7
    assert project.run({"distillation.use_tuned": True}) == []


def test_a_default_that_stays_changes_nothing(tuned, tmp_path):
    project = tuned.copy(tmp_path)
    file = project.artefact("tuned_gates")
    found = json.loads(file.read_text(encoding="utf-8")) | {"overrides": {}}
    file.write_text(json.dumps(found), encoding="utf-8")
    assert project.run({"distillation.use_tuned": True}) == []


def test_trace_takes_the_mask(tuned, tmp_path):
    project = tuned.copy(tmp_path)
    project.run({"trace.use_tuned": True, "trace.rows": [], "trace.seeds": 0}, pipelines=["trace"])
    assert set(project.report("trace.csv")["row"]) == {"frozen", "trace", "tuned_mask"}
    study = taken(tuned, "tuned_mask")["study"]
    assert project.report("manifest.json")["tuned_by"] == {"trace": study}


def test_use_without_a_study_is_refused(grown):
    with pytest.raises(ParameterError, match="nothing has been tuned for this domain yet"):
        grown.run({"distillation.use_tuned": True})


def test_what_is_tuned_is_not_tuned_again(tuned, tmp_path):
    project = tuned.copy(tmp_path)
    with pytest.raises(ParameterError, match="a study begins with what is configured"):
        project.run(
            {"distillation.use_tuned": True, "tuning.gates.trials": 7}, pipelines=["tuning"]
        )
