from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from mask_bench import STUDY, mask_bench

from tsmemory.trace.errors import TraceError
from tsmemory.tuning.masks import confirm as module
from tsmemory.tuning.masks.confirm import (
    COLUMNS,
    Retrained,
    chosen_sites,
    confirm,
    overrides,
    retrain,
)
from tsmemory.tuning.masks.later import Verdict, improvement, judge
from tsmemory.tuning.masks.problem import MaskProblem


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    bench = mask_bench(tmp_path_factory.mktemp("confirm") / "base")
    return MaskProblem(bench, replace(STUDY, seeds=(0, 1)), 0)


@pytest.fixture
def said(problem, monkeypatch):
    """Let the later part say what is asked for: a loss at every origin, by number of sites."""

    def say(losses):
        def pretend(problem, mask):
            curve = np.asarray(losses[sum(mask)], dtype=float)
            verdict = Verdict(float(curve.mean()), curve)
            runs = (SimpleNamespace(kept=True), SimpleNamespace(kept=False))
            return Retrained(mask, runs, 1.0, verdict)

        monkeypatch.setattr(module, "retrain", pretend)
        front = [problem.mask(problem.names[:count]) for count in losses if count]
        return confirm(problem, front)

    return say


def test_masks_are_trained_anew_and_one_is_chosen(problem):
    seeds = problem.seeds()
    table = confirm(problem, [seeds["dsic"], seeds["all_on"]])
    assert tuple(table.columns) == COLUMNS
    assert list(table["mask"]) == ["all_off", "dsic", "all_on"]
    assert table["parameters"].is_monotonic_increasing
    assert table["chosen"].sum() == 1
    assert table["kept"].between(0, 2).all()
    np.testing.assert_allclose(table["gain"], 1 - table["loss"] / table["loss"][0])
    assert table.loc[table["loss"].idxmin(), "p_value"] == 1.0
    for line in table.to_dict("records"):
        mask = tuple(bit == "1" for bit in line["bits"])
        assert (line["supernet_loss"], line["parameters"]) == problem.score(mask)
    (names,) = (
        problem.open_names(tuple(b == "1" for b in bits)) for bits in table[table["chosen"]]["bits"]
    )
    assert chosen_sites(problem, table) == names


def test_a_mask_is_trained_for_itself(problem):
    made = retrain(problem, problem.seeds()["dsic"])
    assert [run.seed for run in made.runs] == [0, 1]
    assert all(list(run.open_sites) == problem.open_names(made.mask) for run in made.runs)
    again = retrain(problem, made.mask).verdict
    np.testing.assert_array_equal(made.verdict.by_origin, again.by_origin)
    early = problem.bench.examples(problem.bench.windows.scoring, problem.bench.config.head)
    watched = early.at_most(STUDY.windows)
    losses = [float(watched.mean_losses(run.model).sum()) for run in made.runs]
    assert made.retrained_loss == pytest.approx(np.mean(losses), abs=1e-5)


def test_the_smallest_mask_as_good_as_the_best_is_chosen(said):
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.normal(size=60)
    table = said({0: 1 + noise, 1: 0.5 + noise, 3: 0.499 + 3 * noise[::-1], 6: 0.8 + noise})
    assert list(table["sites"]) == [0, 1, 3, 6]
    assert list(table["chosen"]) == [False, True, False, False]
    assert list(table["kept"]) == [1] * 4


def test_no_lora_is_left_where_it_helps_by_chance_alone(said, problem, caplog):
    rng = np.random.default_rng(0)
    table = said({count: 1 - count / 1e4 + rng.normal(size=60) for count in (0, 2, 6)})
    assert list(table["chosen"]) == [True, False, False]
    assert chosen_sites(problem, table) == []
    assert "none is used" in caplog.text


def test_the_settings_that_go_with_the_sites(problem):
    found = overrides(problem, problem.names[:2])
    assert found == {
        "trace": {
            "sites": list(problem.names[:2]),
            "training": {"lora_rate": STUDY.lora_rate, "gate_rate": STUDY.gate_rate},
        }
    }


def test_a_table_of_another_backbone_is_refused(said, problem):
    table = said({0: np.ones(60), 2: np.zeros(60)})
    with pytest.raises(TraceError, match="has 2 sites and the backbone 6"):
        chosen_sites(problem, table.assign(bits="10"))


def test_a_verdict_is_the_mean_over_models_and_windows(problem):
    head = problem.bench.config.head
    model = problem.bench.model(head)
    one = judge(problem.later, [model])
    two = judge(problem.later, [model, model])
    assert one.loss == pytest.approx(float(problem.later.mean_losses(model).sum()))
    assert two.loss == pytest.approx(one.loss)
    times = problem.later.windows.calendar(problem.bench.series)
    assert len(one.by_origin) == len(np.unique(times))
    losses, known = (part.detach().numpy() for part in problem.later.losses(model))
    first = times == times.min()
    assert one.by_origin[0] == pytest.approx(losses[first].sum() / known[first].sum(), rel=1e-5)


def test_improvements_need_evidence(problem):
    count = len(np.unique(problem.later.windows.calendar(problem.bench.series)))
    worse, better = (Verdict(level, np.full(count, level)) for level in (1.0, 0.5))
    assert improvement(problem.later, better, worse, 0) == 0.0
    assert improvement(problem.later, worse, better, 0) == 1.0
    few = problem.later.take(slice(0, 3))
    short = [Verdict(level, np.full(3, level)) for level in (0.5, 1.0)]
    assert improvement(few, *short, 0) == 1.0
