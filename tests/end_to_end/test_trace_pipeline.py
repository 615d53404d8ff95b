"""The pipeline ``trace``: on its own, beside the main way, and its backbone under a memory."""

import numpy as np
import pytest

from tsmemory.pipelines.trace import jobs
from tsmemory.pipelines.trace.params import ROWS

OWN = ["score_trace", "plot_importance", "tabulate_trace", "write_trace"]
TABLES = {"tabulate_results", "plot_results", "write_report"}


@pytest.fixture(scope="module")
def adapted(base, tmp_path_factory):
    """The base project after its backbone was adapted."""
    project = base.copy(tmp_path_factory.mktemp("adapted"))
    assert sorted(project.run(pipelines=["trace"])) == sorted(OWN)
    return project


@pytest.fixture(scope="module")
def joined(adapted, tmp_path_factory):
    """The same after one more run of the main way, which finds the rows."""
    project = adapted.copy(tmp_path_factory.mktemp("joined"))
    assert set(project.run()) == TABLES
    return project


def test_every_row_is_scored_on_the_same_windows(adapted):
    table = adapted.report("trace.csv")
    assert list(table["row"].drop_duplicates()) == ["frozen", *ROWS]
    assert (table.groupby("row")["horizon"].apply(list).map(tuple) == (8, 16)).all()
    assert np.isfinite(table[["mse", "mae", "crps", "coverage_80"]]).all(axis=None)
    trained = table[table["row"] != "frozen"]
    assert (trained["seeds"] == 2).all()
    assert (trained[["parameters", "seconds", "megabytes", "peak_megabytes"]] > 0).all(axis=None)
    assert (table[["latency_ms_1", "latency_ms_8"]] > 0).all(axis=None)
    board = adapted.report("leaderboard.csv")
    lines = board[(board["method"] == "frozen") & (board["metric"] == "mse")]
    frozen = table.loc[table["row"] == "frozen", "mse"].tolist()
    assert frozen == pytest.approx(lines["value"].tolist())


def test_all_that_is_trained_is_a_small_part_of_what_is_told(adapted):
    summary = adapted.report("trace_summary.csv").set_index("row")
    assert summary.loc["trace", "sites"] == summary.loc["random_k", "sites"]
    assert summary.loc["trace", "sites"] < summary.loc["lora_all", "sites"]
    assert summary.loc["frozen", "parameters"] == 0
    runs = adapted.report("trace_runs.csv")
    assert len(runs) == 2 * (1 + 2 * len(ROWS))
    skill = adapted.report("trace_skill.csv")
    assert set(skill["reference"]) == {"frozen", "linear_probing", "lora_all", "random_k"}


def test_importance_is_told_by_seed_round_and_module(adapted):
    table = adapted.report("trace_importance.csv")
    assert set(table["row"]) == {"trace"}
    assert set(table["seed"]) == {0, 1}
    last = table[table["round"] == table["round"].max()]
    sites = adapted.report("trace_summary.csv").set_index("row")["sites"]
    assert (last.groupby("seed")["open"].sum() == sites["trace"]).all()
    page = (adapted.folder / "data/08_reporting/test/trace.html").read_text(encoding="utf-8")
    assert "Importance of the encoder" in page


def test_what_is_current_is_reused_and_intervals_need_no_training(adapted, tmp_path):
    project = adapted.copy(tmp_path)
    assert project.run(pipelines=["trace"]) == []
    changed = project.run({"evaluation.bootstrap.level": 0.9}, pipelines=["trace"])
    assert set(changed) == {"tabulate_trace", "write_trace"}


def test_the_main_table_has_the_rows_once_they_are_there(base, adapted, joined):
    before = set(base.report("leaderboard.csv")["method"])
    after = joined.report("leaderboard.csv")
    assert set(after["method"]) == before | {"lora", "trace"}
    table = adapted.report("trace.csv")
    for ours, theirs in (("lora", "lora_all"), ("trace", "trace")):
        lines = after[(after["method"] == ours) & (after["metric"] == "crps")]
        expected = table.loc[table["row"] == theirs, "crps"].tolist()
        assert lines["value"].tolist() == pytest.approx(expected)
        assert (lines["seeds"] == 2).all()


def test_rows_of_other_windows_do_not_come_in(joined, tmp_path, caplog):
    project = joined.copy(tmp_path)
    project.run({"windowing.strides.test": 97})
    assert not {"lora", "trace"} & set(project.report("leaderboard.csv")["method"])
    assert "kedro run --pipelines trace" in caplog.text


def test_the_adapted_backbone_serves_a_memory(joined, tmp_path):
    """Both alone and together are in one table."""
    project = joined.copy(tmp_path)
    folder = project.folder / "data/06_models/test/trace_backbone"
    together = project.serving("test_trace")
    together.run({"domain": "test_trace", "backbone.name": str(folder)})
    alone = together.report("leaderboard.csv")
    assert set(project.run()) == TABLES
    board = project.report("leaderboard.csv")
    assert {"frozen", "tsmemory", "trace", "trace_tsmemory"} <= set(board["method"])
    lines = board[(board["method"] == "trace_tsmemory") & (board["metric"] == "mse")]
    own = alone[(alone["method"] == "tsmemory") & (alone["metric"] == "mse")]
    assert lines["value"].tolist() == pytest.approx(own["value"].tolist())


def test_it_runs_alone(fresh):
    steps = fresh.run({"trace.rows": [], "trace.seeds": [3]}, pipelines=["trace"])
    assert set(steps) > set(OWN)
    assert set(fresh.report("trace.csv")["row"]) == {"frozen", "trace"}


def test_a_killed_run_goes_on_at_the_row_it_was_at(adapted, tmp_path, monkeypatch):
    project = adapted.copy(tmp_path)
    changed = {"trace.rows": ["lora_qv"], "trace.seeds": [5]}
    done, whole = [], jobs.RowJobs.run

    def until(last):
        def run(self, job):
            if job.row == last:
                raise KeyboardInterrupt
            done.append(job.row)
            return whole(self, job)

        return run

    monkeypatch.setattr(jobs.RowJobs, "run", until("trace"))
    with pytest.raises(KeyboardInterrupt):
        project.run(changed, pipelines=["trace"])
    monkeypatch.setattr(jobs.RowJobs, "run", until(None))
    project.run(changed, pipelines=["trace"])
    assert done == ["frozen", "lora_qv", "trace"]
