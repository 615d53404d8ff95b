"""The pipeline ``benchmark`` on the artefacts of the main way, with tiny adapters."""

import json
import shutil

import numpy as np
import pytest

from tsmemory.pipelines.benchmark import nodes
from tsmemory.pipelines.benchmark.main_way import run_row
from tsmemory.pipelines.benchmark.params import ROWS
from tsmemory.runs.errors import StaleArtefactError

TINY = {
    "distillation.paper_adapter.width": 16,
    "distillation.paper_adapter.heads": 2,
    "distillation.paper_adapter.feedforward": 32,
}
STEPS = [
    *("score_ablations", "tabulate_ablations", "measure_transfer"),
    *("describe_benchmark", "write_benchmark"),
]


@pytest.fixture(scope="module")
def benchmarked(base, tmp_path_factory):
    """The base project after its benchmark."""
    project = base.copy(tmp_path_factory.mktemp("benchmarked"))
    # The sizes of an adapter that is not used count among the parameters of the main way.
    project.run(TINY)
    assert sorted(project.run(TINY, pipelines=["benchmark"])) == sorted(STEPS)
    return project


def test_every_row_is_measured_on_the_same_windows(benchmarked):
    table = benchmarked.report("ablation.csv")
    assert list(table["row"].drop_duplicates()) == ["frozen", *ROWS]
    both = table[~table["row"].isin(["paper"])]
    assert (both.groupby("row")["horizon"].apply(list).map(tuple) == (8, 16)).all()
    paper = table[table["row"] == "paper"]
    assert paper["horizon"].tolist() == [8]
    assert paper["note"].tolist() == [
        "paper, reduced: other sizes, at most 1 of 20 epochs, training stride 422; H = 8 only"
    ]
    assert np.isfinite(table[["mse", "mae", "crps", "coverage_80"]]).all(axis=None)
    trained = table[table["row"] != "frozen"]
    assert (trained["seeds"] == 1).all()
    assert trained["kept"].isin([0, 1]).all()
    assert (trained["parameters"] > 100).all()
    assert (trained["seconds"] > 0).all()


def test_the_frozen_row_is_that_of_the_leaderboard(benchmarked):
    table, board = benchmarked.report("ablation.csv"), benchmarked.report("leaderboard.csv")
    for metric in ("mse", "mae", "crps", "coverage_80"):
        lines = board[(board["method"] == "frozen") & (board["metric"] == metric)]
        assert table.loc[table["row"] == "frozen", metric].tolist() == pytest.approx(
            lines["value"].tolist()
        )


def test_skill_is_told_against_default_and_frozen(benchmarked):
    table = benchmarked.report("ablation.csv").set_index(["row", "horizon"])
    default, guardless = (table.loc[(name, 8)] for name in ("default", "no_guard"))
    assert np.isnan(default["skill_vs_default"])
    assert default["skill_vs_frozen"] == pytest.approx(
        1 - default["crps"] / table.loc[("frozen", 8), "crps"]
    )
    assert guardless["skill_vs_default"] == pytest.approx(1 - guardless["crps"] / default["crps"])
    skill = benchmarked.report("ablation_skill.csv")
    assert set(skill["metric"]) == {"mse", "mae", "crps"}
    assert set(skill["reference"]) == {"default", "frozen"}
    known = skill.dropna(subset="low")
    assert (known["low"] <= known["high"]).all()


def test_all_of_it_is_one_json_value(benchmarked):
    value = benchmarked.report("benchmark.json")
    assert set(value) == {"settings", "ablation", "ablation_skill", "transfer"}
    assert value["settings"]["ablation"]["epochs"] == 1
    assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_without_foreign_memories_it_says_what_to_give(benchmarked):
    (line,) = benchmarked.report("transfer.csv").to_dict("records")
    assert line["row"] == "not run"
    assert "benchmark.transfer.forecasters=" in line["note"]


def test_what_is_current_is_reused_and_intervals_need_no_training(benchmarked, tmp_path):
    project = benchmarked.copy(tmp_path)
    assert project.run(TINY, pipelines=["benchmark"]) == []
    changed = TINY | {"evaluation.bootstrap.samples": 150}
    steps = project.run(changed, pipelines=["benchmark"])
    assert "score_ablations" not in steps
    assert "tabulate_ablations" in steps
    with pytest.raises(StaleArtefactError, match="seed"):
        project.run(TINY | {"seed": 5}, pipelines=["benchmark"])


def test_a_memory_is_tried_where_it_comes_from(benchmarked, tmp_path):
    """On its own domain the exported forecaster is what the leaderboard has of its seed."""
    project = benchmarked.copy(tmp_path / "project")
    forecaster = project.folder / "data/06_models/test/forecaster"
    shutil.copytree(forecaster, tmp_path / "copy")
    given = TINY | {"benchmark.transfer.forecasters": [str(tmp_path / "copy")]}
    steps = project.run(given, pipelines=["benchmark"])
    assert sorted(steps) == ["describe_benchmark", "measure_transfer", "write_benchmark"]
    table = project.report("transfer.csv")
    assert table["row"].tolist() == ["frozen", "alone", "as_exported", "reguarded"] * 2
    assert (table["source"] == "test").all()
    losses = table.set_index(["row", "horizon"])["largest_loss"]
    assert losses["frozen"].tolist() == [0, 0]
    assert (table["within_1_percent"] == (table["largest_loss"] < 0.01)).all()
    # Both seeds may have been undone to the same start; then the mean of seeds is either's.
    board = project.report("leaderboard.csv")
    for metric in ("mse", "mae", "crps"):
        lines = board[(board["method"] == "tsmemory") & (board["metric"] == metric)]
        exported = table[table["row"] == "as_exported"]
        assert exported[metric].tolist() == pytest.approx(lines["value"].tolist(), rel=0.05)
    page = (project.folder / "data/08_reporting/test/benchmark.html").read_text(encoding="utf-8")
    assert "guarded anew" in page


def test_a_killed_run_goes_on_at_the_row_it_was_at(benchmarked, tmp_path, monkeypatch, caplog):
    project = benchmarked.copy(tmp_path)
    changed = TINY | {"benchmark.ablation.rows": ["no_gate", "no_guard"]}
    done = []

    def until(last):
        def run(name, *arguments, **options):
            if name == last:
                raise KeyboardInterrupt
            done.append(name)
            return run_row(name, *arguments, **options)

        return run

    monkeypatch.setattr(nodes, "run_row", until("no_guard"))
    with pytest.raises(KeyboardInterrupt):
        project.run(changed, pipelines=["benchmark"])
    assert done == ["default", "no_gate"]
    assert "Ablation: 3 rows, 1 seed(s) each, at most 1 epochs" in caplog.text
    assert "row default took 1 s; the 2 after it will take about" in caplog.text
    monkeypatch.setattr(nodes, "run_row", until(None))
    project.run(changed, pipelines=["benchmark"])
    assert done == ["default", "no_gate", "no_guard"]
    workspace = project.folder / "data/07_model_output/test/benchmark_workspace"
    assert not workspace.exists()
