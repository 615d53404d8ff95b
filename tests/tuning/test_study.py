"""Studies on disk: counts, seeds, workers, kills."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from studies import DEFAULT, Toy, plan_of, work

from tsmemory.tuning.errors import TuningError
from tsmemory.tuning.study import Worker, finished, open_study
from tsmemory.tuning.workers import OrderlyStop, run_study

PATIENCE = 60.0


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "studies.journal"


@pytest.fixture
def toy(tmp_path):
    return Toy(tmp_path / "log")


def params_of(study):
    return [trial.params for trial in finished(study)]


def states(study):
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


def test_a_study_has_as_many_trials_as_asked_and_the_default_first(journal, toy):
    study = run_study(journal, plan_of(), toy)
    assert len(finished(study)) == 12
    first = finished(study)[0]
    assert (first.params, first.user_attrs["setting"]) == (DEFAULT, "default")
    assert study.best_value < finished(study)[0].value
    assert all(trial.user_attrs["seconds"] >= 0 for trial in finished(study))


def test_finished_studies_are_read_not_run(journal, toy):
    before = params_of(run_study(journal, plan_of(), toy))
    assert params_of(run_study(journal, plan_of(), toy)) == before
    assert len(toy.lines("end")) == 12


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_study_that_was_prolonged_is_the_same_as_one_made_at_once(tmp_path, sampler):
    toy = Toy(tmp_path / "log")
    run_study(tmp_path / "a" / "j", plan_of(7, sampler=sampler), toy)
    prolonged = run_study(tmp_path / "a" / "j", plan_of(20, sampler=sampler), toy)
    at_once = run_study(tmp_path / "b" / "j", plan_of(20, sampler=sampler), toy)
    assert params_of(prolonged) == params_of(at_once)


def test_no_two_trials_propose_the_same(journal, toy):
    study = run_study(journal, plan_of(sampler="random", settings={}), toy)
    assert len({params["x"] for params in params_of(study)}) == 12


def test_tpe_begins_as_random_search_does(tmp_path, toy):
    one, two = (
        run_study(tmp_path / sampler, plan_of(12, sampler=sampler), toy)
        for sampler in ("tpe", "random")
    )
    assert params_of(one)[:8] == params_of(two)[:8]
    assert params_of(one)[8:] != params_of(two)[8:]


def test_another_seed_is_another_search(tmp_path, toy):
    one, two = (
        run_study(tmp_path / f"{seed}", plan_of(3, seed=seed, settings={}), toy) for seed in (0, 1)
    )
    assert params_of(one) != params_of(two)


def test_another_fingerprint_is_another_study(journal, toy):
    run_study(journal, plan_of(5), toy)
    other = plan_of(3)
    other = type(other)(**{**vars(other), "fingerprint": "4567"})
    assert len(finished(run_study(journal, other, toy))) == 3
    storage = open_study(journal, other)._storage
    assert len(optuna.get_all_study_summaries(storage)) == 2


def test_trials_that_fall_behind_are_given_up_but_settings_never(journal, toy):
    study = run_study(journal, plan_of(30, prune=True), toy)
    pruned = [trial for trial in finished(study) if trial.state.name == "PRUNED"]
    assert len(finished(study)) == 30
    assert 5 < len(pruned) < 30
    assert finished(study)[0].state.name == "COMPLETE"
    best = min(trial.value for trial in finished(study) if trial.state.name == "COMPLETE")
    assert best < min(trial.value for trial in pruned)


def test_nsga_minimises_several_values(journal):
    def both(trial):
        x = trial.suggest_float("x", 0, 1)
        return [x, 1 - x]

    study = run_study(journal, plan_of(9, sampler="nsgaii", objectives=2, settings={}), both)
    assert all(len(trial.values) == 2 for trial in finished(study))


def test_no_trial_begins_after_the_time(journal, toy, monkeypatch):
    clock = iter([0.0, 10.0, 59.0, 61.0])
    monkeypatch.setattr("tsmemory.tuning.study.time.monotonic", lambda: next(clock))
    study = run_study(journal, plan_of(timeout_minutes=1), toy)
    assert len(finished(study)) == 2


def test_an_error_ends_the_study_and_does_not_count(journal, toy):
    def broken(trial):
        if trial.number == 2:
            raise TuningError("no")
        return toy(trial)

    with pytest.raises(TuningError):
        run_study(journal, plan_of(5), broken)
    study = run_study(journal, plan_of(5), toy)
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL", *["COMPLETE"] * 3]


def test_a_value_that_is_not_finite_is_refused(journal):
    with pytest.raises(TuningError, match="trial 0 of the study toy has the value nan"):
        run_study(journal, plan_of(2, settings={}), lambda _: float("nan"))


def test_what_a_dead_worker_had_is_tried_again_once(journal, toy):
    worker = Worker(journal, plan_of(4))
    with worker:
        trial = worker.claim()
        trial.suggest_float("x", 0, 1)  # and now its process is gone
    study = run_study(journal, plan_of(4), toy)
    assert sorted(states(study)) == ["COMPLETE"] * 4 + ["FAIL"]
    again = [t for t in finished(study) if t.user_attrs.get("retry_of") == trial.number]
    assert [(t.params, t.user_attrs["setting"]) for t in again] == [(DEFAULT, "default")]


def test_parameters_queued_before_a_kill_are_not_queued_twice(journal, toy, monkeypatch):
    with Worker(journal, plan_of(3)) as worker:
        worker.claim()
    with Worker(journal, plan_of(3)) as worker, monkeypatch.context() as patch:
        patch.setattr(worker.study, "tell", lambda *_, **__: (_ for _ in ()).throw(OSError))
        with pytest.raises(OSError):  # noqa: PT011
            worker.claim()
    study = run_study(journal, plan_of(3), toy)
    assert sum(params == DEFAULT for params in params_of(study)) == 1
    assert len(finished(study)) == 3


def test_what_a_live_worker_has_is_left_to_it(journal, toy):
    with Worker(journal, plan_of(3)) as worker:
        trial = worker.claim()
        assert len(finished(run_study(journal, plan_of(3), toy))) == 2
        worker.study.tell(trial, 1.0)
    assert len(finished(worker.study)) == 3


@pytest.mark.parametrize("kept", [0.4, 0.9])
def test_a_journal_that_was_cut_in_a_line_goes_on(journal, toy, kept):
    run_study(journal, plan_of(6), toy)
    text = journal.read_bytes()
    lines = text.splitlines(keepends=True)
    whole = b"".join(lines[: int(kept * len(lines))])
    journal.write_bytes(whole + lines[int(kept * len(lines))][:9])
    assert len(finished(run_study(journal, plan_of(6), toy))) == 6
    assert journal.read_bytes().startswith(whole)


def test_two_processes_share_a_study_without_lost_or_double_trials(tmp_path, journal):
    toy = Toy(tmp_path / "log", 0.03)
    study = run_study(journal, plan_of(24), toy, workers=2)
    ended = toy.lines("end")
    assert len(finished(study)) == len(ended) == 24
    assert sorted(int(number) for number, _ in ended) == list(range(24))
    assert len({process for _, process in ended}) == 2
    assert str(os.getpid()) not in {process for _, process in ended}
    assert sum(params == DEFAULT for params in params_of(study)) == 1


def test_two_runs_at_once_share_a_study(tmp_path, journal):
    context = multiprocessing.get_context("spawn")
    runs = [context.Process(target=work, args=(str(tmp_path), 20, 0.01)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(PATIENCE)
    assert [run.exitcode for run in runs] == [0, 0]
    assert len(finished(open_study(journal, plan_of(20)))) == 20
    assert len(Toy(tmp_path / "log").lines("begin")) == 20


def test_killed_runs_end_with_the_same_number_of_trials(tmp_path, journal):
    for _ in range(3):
        begin_and_kill(tmp_path, signal.SIGKILL)
    toy = Toy(tmp_path / "log")
    killed = len(toy.lines("begin")) - len(toy.lines("end"))
    assert killed >= 1
    study = run_study(journal, plan_of(20), toy)
    assert len(finished(study)) == 20
    assert states(study).count("FAIL") == len(states(study)) - 20
    assert "RUNNING" not in states(study)
    assert sum(params == DEFAULT for params in params_of(study)) == 1


def test_an_interrupt_stops_after_the_trial(tmp_path, journal):
    returned = begin_and_kill(tmp_path, signal.SIGINT)
    assert returned != 0
    study = open_study(journal, plan_of(20))
    assert 0 < len(finished(study)) < 20
    assert set(states(study)) == {"COMPLETE"}


def begin_and_kill(folder, number):
    """Run the study in a process of its own and end it in the middle of a trial."""
    toy = Toy(folder / "log")
    before = len(toy.lines("begin"))
    code = f"from studies import work; work({str(folder)!r}, 20, 0.1)"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    )
    began = time.monotonic()
    while len(toy.lines("begin")) <= before + 1 and time.monotonic() - began < PATIENCE:
        time.sleep(0.02)
    process.send_signal(number)
    return process.wait(PATIENCE)


def test_a_second_interrupt_stops_at_once():
    before = signal.getsignal(signal.SIGINT)
    with OrderlyStop() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_workers_leave_nothing_behind(journal, toy):
    run_study(journal, plan_of(3), toy)
    with Worker(journal, plan_of(3)):
        pass
    assert list(journal.with_name("studies.journal.workers").iterdir()) == []
