import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from workshop import SMALL, TRAIN_END, L, small_bench

from tsmemory.backbones import load_backbone
from tsmemory.trace.arms import ARMS, IMPORTANCE, run_arm, run_arms
from tsmemory.trace.config import FineTuningConfig, HeadConfig
from tsmemory.trace.errors import TraceError
from tsmemory.trace.examples import Examples
from tsmemory.trace.sites import lora_sites

ROWS = [name for name, arm in ARMS.items() if arm.sites != "given"]
TRAINED = [name for name in ROWS if ARMS[name].trains]


@pytest.fixture(scope="module")
def contexts(bench):
    return bench.windows.selection.take(slice(0, 6)).contexts(bench.series)


@pytest.fixture(scope="module")
def runs(bench):
    return {run.arm: run for run in run_arms(bench, ROWS, [0])}


@pytest.mark.parametrize("name", ROWS)
def test_quantiles_ascend_and_do_not_depend_on_the_batch(name, runs, contexts):
    model = runs[name].model
    found = model.predict(contexts, 8)
    assert found.dtype == np.float32
    assert found.shape == (6, 9, 8)
    assert (np.diff(found, axis=1) >= 0).all()
    alone = model.predict(contexts, 8, batch_size=1)
    np.testing.assert_allclose(alone, found, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.predict(contexts)[:, :, :4], model.predict(contexts, 4))


@pytest.mark.parametrize("name", TRAINED)
def test_no_row_is_worse_on_the_selection_part_than_its_start(name, runs, bench):
    run = runs[name]
    arm = ARMS[name]
    head = SMALL.head if arm.head == "configured" else HeadConfig(kind=arm.head, skip=False)
    selection = bench.examples(bench.windows.selection, head)
    watched = selection.fit_to(run.model).at_most(SMALL.training.selection_windows)
    start, *looks = run.history
    parts = watched.mean_losses(run.model)
    loss = float(parts.sum())
    assert (parts <= watched.mean_losses(bench.model(head)) + 1e-6).all()
    assert loss <= start["selection"] + 1e-6
    best = [line["selection"] for line in run.history if line["best"]][-1]
    assert loss == pytest.approx(best, abs=1e-5)
    assert run.kept == any(line["best"] for line in looks)


@pytest.mark.parametrize("name", TRAINED)
def test_something_was_learnt(name, runs):
    looks = [line["selection"] for line in runs[name].history]
    assert len(set(looks)) == len(looks) > 1


def test_the_frozen_row_is_the_backbone(runs, contexts, tiny_base):
    run = runs["frozen"]
    wanted = load_backbone(tiny_base).predict_quantiles(contexts, 8)
    np.testing.assert_allclose(run.model.predict(contexts), wanted, rtol=1e-4, atol=1e-5)
    assert (run.parameters, run.nbytes, run.kept, run.open_sites) == (0, 0, False, ())


def test_rows_with_lora_cost_about_the_same(runs, bench):
    sites = lora_sites(bench.base.read())
    budget = sum(site.parameters(2) + 1 for site in sites)
    given = {n: r.parameters - r.head_parameters for n, r in runs.items()}
    assert given["lora_all"] == given["lora_native"] == budget
    widest = max(site.parameters(1) for site in sites)
    for name in ("lora_qv", "random_k", "magnitude_k", "trace"):
        assert budget - widest < given[name] <= budget, name
    assert given["head"] == given["linear_probing"] == 0
    assert given["full"] > budget
    assert runs["lora_native"].head_parameters == 0


def test_half_of_the_sites_stay_open(runs, bench):
    names = {site.name for site in lora_sites(bench.base.read())}
    for name in ("random_k", "magnitude_k", "trace"):
        assert len(runs[name].open_sites) == len(names) // 2
        assert set(runs[name].open_sites) < names
    assert all(name.endswith((".q", ".v")) for name in runs["lora_qv"].open_sites)


def test_the_importance_of_every_round(runs, bench):
    table = runs["trace"].importance
    sites = lora_sites(bench.base.read())
    assert tuple(table.columns) == IMPORTANCE
    assert list(table["round"].unique()) == [1, 2]
    assert list(table["step"].unique()) == [3, 5]
    last = table[table["round"] == 2]
    assert len(last) == len(sites)
    assert tuple(last.loc[last["open"], "site"]) == runs["trace"].open_sites
    assert last.loc[last["open"], "score"].min() >= last.loc[~last["open"], "score"].max()
    assert (table["score"] > 0).any()
    assert runs["random_k"].importance["score"].isna().all()
    assert runs["lora_all"].importance.empty
    assert runs["trace"].scoring_seconds > 0


def test_the_same_seed_gives_the_same_model(bench, contexts, runs):
    before = torch.get_rng_state()
    again = run_arm(bench, "trace", 0)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(
        again.model.predict(contexts), runs["trace"].model.predict(contexts)
    )
    other = run_arm(bench, "trace", 1)
    assert other.history != again.history


def test_training_that_harms_is_undone(tiny_base, contexts):
    wild = replace(SMALL.training, head_rate=10.0, lora_rate=10.0, gate_rate=10.0)
    bench = small_bench(tiny_base, replace(SMALL, training=wild))
    run = run_arm(bench, "trace", 0)
    assert not run.kept
    start = bench.model(SMALL.head).requires_grad_(False)
    np.testing.assert_array_equal(run.model.predict(contexts), start.predict(contexts))
    assert run.parameters > run.head_parameters


def test_without_steps_the_start_is_kept(tiny_base):
    still = replace(SMALL, training=replace(SMALL.training, steps=0))
    run = run_arm(small_bench(tiny_base, still), "trace", 0)
    assert [line["step"] for line in run.history] == [0]
    assert not run.kept


def test_states_are_kept_once_the_sites_are_settled(runs):
    for name in ("trace", "random_k", "magnitude_k"):
        best = [line["step"] for line in runs[name].history if line["best"]]
        assert all(step == 0 or step >= SMALL.selection.last_round for step in best)


def test_nothing_after_validation_and_nothing_of_the_scoring_part_changes_a_head(tiny_base):
    bench = small_bench(tiny_base)
    values = [bench.series.row_values(row, 420).copy() for row in (0, 1)]
    border = int(bench.windows.selection.start.min())
    changed = [np.where(np.arange(420) < TRAIN_END, row, row + 9) for row in values]
    for row, old in zip(changed, values, strict=True):
        row[border:] = old[border:]
    other = small_bench(tiny_base, values=[row.astype(np.float32) for row in changed])
    same, now = (b.start(SMALL.head).state for b in (bench, other))
    assert all(torch.equal(same[name], now[name]) for name in same)


def test_a_head_of_one_point_answers_at_every_level(tiny_base, contexts):
    point = replace(SMALL, head=HeadConfig(kind="pooling", width=2, levels="point", loss="squared"))
    found = run_arm(small_bench(tiny_base, point), "head", 0).model.predict(contexts)
    assert found.shape == (6, 9, 8)
    np.testing.assert_array_equal(found, np.repeat(found[:, 4:5], 9, axis=1))


def test_longer_horizons_are_rolled_out(runs, contexts):
    long = runs["trace"].model.predict(contexts, 20)
    assert long.shape == (6, 9, 20)
    np.testing.assert_array_equal(long[:, :, :8], runs["trace"].model.predict(contexts))


def test_a_backbone_shorter_than_the_horizon_keeps_its_own_head(tiny_base):
    bench = small_bench(tiny_base)
    bench.windows = replace(
        bench.windows,
        **{n: replace(getattr(bench.windows, n), horizon=12) for n in ("train", "selection")},
    )
    bench.horizons = (4, 12)
    run = run_arm(bench, "lora_native", 0)
    assert run.model.horizon == 8
    assert run.model.predict(np.zeros((2, L), np.float32), 12).shape == (2, 9, 12)


def test_unknown_rows_and_misfits_are_named(bench, tiny_base):
    with pytest.raises(TraceError, match="no row 'lora'; known: frozen, linear_probing"):
        run_arm(bench, "lora", 0)
    other = small_bench(tiny_base)
    other.levels = (0.1, 0.5, 0.9)
    with pytest.raises(TraceError, match=r"backbone\.quantile_levels"):
        run_arm(other, "frozen", 0)


def test_one_round_of_adalora_fits_its_schedule(tiny_base):
    one = replace(SMALL.selection, rounds=1, warmup_steps=1)
    config = replace(SMALL, selection=one, training=FineTuningConfig(steps=4, check_every=2))
    run = run_arm(small_bench(tiny_base, config), "adalora", 0)
    assert run.parameters > run.head_parameters


def test_a_better_spread_does_not_make_up_for_a_worse_median(tiny_base, monkeypatch):
    bench = small_bench(tiny_base)
    bench.start(SMALL.head)
    looks = itertools.chain([(1.0, 1.0)], itertools.repeat((1.1, 0.1)))
    monkeypatch.setattr(Examples, "mean_losses", lambda *_: torch.tensor(next(looks)))
    assert not run_arm(bench, "lora_all", 0).kept
    looks = itertools.chain([(1.0, 1.0)], itertools.repeat((1.0, 0.9)))
    assert run_arm(bench, "lora_all", 0).kept
