"""Pretraining from the command line on: a backbone comes of it, kills do not matter."""

import shutil

import numpy as np
import pandas as pd
import plotly.io as pio
import pytest

from tsmemory.backbones import load_backbone
from tsmemory.runs.runner import FailedRunError

STEPS = [
    "collect_check_windows",
    "pretrain_backbone",
    "score_zero_shot",
    "export_backbone",
    "plot_pretraining",
]
FOLDER = "data/06_models/pretraining"


class Killed(BaseException):
    pass


def weights(project, name="backbone"):
    return (project.folder / FOLDER / name / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def made(repository, tmp_path_factory):
    """A project after one run of pretraining."""
    from projects import Project

    project = Project.make(repository, tmp_path_factory.mktemp("pretrained"))
    assert project.run(pipelines=["pretraining"]) == STEPS
    return project


@pytest.fixture
def again(made, tmp_path):
    return made.copy(tmp_path / "again")


def test_it_makes_a_backbone_with_its_card(made):
    folder = made.folder / FOLDER
    backbone = load_backbone(folder / "backbone")
    assert backbone.name == "tsmemory-bolt"
    assert (backbone.context_length, backbone.native_horizon) == (64, 16)
    assert backbone.pretraining_data.datasets == frozenset()
    contexts = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
    halved = backbone.predict_quantiles(contexts, 24)
    assert np.isfinite(halved).all()
    exact = load_backbone(folder / "weights").predict_quantiles(contexts, 24)
    np.testing.assert_allclose(halved, exact, atol=0.02)
    assert len(weights(made)) < 0.6 * len(weights(made, "weights"))
    card = (folder / "backbone" / "README.md").read_text()
    assert "| `tmy_weather` | 64 → 16 | 64 | this model |" in card


def test_it_leaves_curve_scores_and_figure(made):
    folder = made.folder / FOLDER
    curve = pd.read_csv(folder / "loss_curve.csv")
    assert curve["step"].tolist() == [5, 10, 15, 20]
    assert {"held_out_64", "held_out_32", "tmy_weather_mae"} <= set(curve)
    assert np.isfinite(curve.to_numpy()).all()
    scores = pd.read_csv(folder / "zero_shot_scores.csv")
    assert scores["method"].tolist() == ["pretrained", "seasonal_naive"]
    # What is scored is what ships: the last point of the curve but for the rounding of weights.
    assert scores["mae"][0] == pytest.approx(curve["tmy_weather_mae"].iloc[-1], rel=1e-2)
    figure = pio.read_json(made.folder / "data/08_reporting/pretraining/loss_plot.json")
    assert "tmy_weather" in {trace.name for trace in figure.data}


def test_nothing_is_repeated(again):
    assert again.run(pipelines=["pretraining"]) == []
    assert again.run({"pretraining.name": "other"}, pipelines=["pretraining"]) == STEPS
    assert load_backbone(again.folder / FOLDER / "backbone").name == "other"


def test_a_killed_run_ends_with_the_same_weights(made, fresh, monkeypatch):
    from tsmemory.pretraining.training import Trainer

    learn, begun = Trainer._learn, []

    def until(self, batch):
        begun.append(self.step)
        if len(begun) == 14:
            raise Killed
        return learn(self, batch)

    monkeypatch.setattr(Trainer, "_learn", until)
    with pytest.raises(Killed):
        fresh.run(pipelines=["pretraining"])
    assert "pretrain_backbone" in fresh.run(pipelines=["pretraining"])
    assert begun == [*range(14), *range(10, 20)]
    assert weights(fresh) == weights(made)
    assert weights(fresh, "weights") == weights(made, "weights")


def test_recipes_keep_their_checkpoints_apart(again):
    before = weights(again)
    again.run({"pretraining.training.seed": 1}, pipelines=["pretraining"])
    assert weights(again) != before
    checkpoints = again.folder / FOLDER / "checkpoints"
    assert len(list(checkpoints.iterdir())) == 2
    again.run(pipelines=["pretraining"])
    assert weights(again) == before


def test_prolonged_runs_are_whole_runs(again, fresh):
    longer = {"pretraining.training.steps": 30}
    again.run(longer, pipelines=["pretraining"])
    fresh.run(longer, pipelines=["pretraining"])
    assert weights(again) == weights(fresh)
    with pytest.raises(FailedRunError, match="has come to step 30, and 20 are asked for"):
        again.run({"resume": False}, pipelines=["pretraining"])


def test_other_data_change_the_checks_and_no_weight(again):
    before = weights(again)
    raw = again.folder / "data/01_raw"
    table = pd.read_parquet(raw / "tmy_weather.parquet")
    own = table[table["item_id"] == "miami"][["timestamp", "temperature"]]
    own.to_csv(raw / "miami.csv", index=False)
    steps = again.run({"ingestion.path": "data/01_raw/miami.csv"}, pipelines=["pretraining"])
    assert "pretrain_backbone" in steps
    assert weights(again) == before
    scores = pd.read_csv(again.folder / FOLDER / "zero_shot_scores.csv")
    assert set(scores["check"]) == {"miami"}


def test_the_backbone_serves_the_main_way(again):
    shutil.rmtree(again.folder / FOLDER / "checkpoints")
    name = str(again.folder / FOLDER / "backbone")
    again.run({"backbone.name": name})
    card = again.report("backbone_card.json")
    assert card["name"] == "tsmemory-bolt"
    assert "frozen" in set(again.report("leaderboard.csv")["method"])
