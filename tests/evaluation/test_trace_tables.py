import numpy as np
import pytest

from domains import H
from tsmemory.evaluation.methods import frozen
from tsmemory.evaluation.scores import score_methods
from tsmemory.evaluation.trace_scores import (
    TraceRun,
    TraceScores,
    collect_runs,
    frozen_run,
    metrics_of,
    pack_run,
    unpack_run,
)
from tsmemory.evaluation.trace_tables import tabulate_runs, tabulate_trace
from tsmemory.metrics.seed_interval import seed_interval

HORIZONS = (4, H)
BOOTSTRAP = {"samples": 100, "level": 0.9}
PARAMETERS = {"linear_probing": 1000, "lora_all": 90, "random_k": 50, "trace": 50}


def scored(split, name, by):
    return score_methods(
        split,
        {name: [lambda part: frozen(part) * np.float32(1 - by)]},
        horizons=HORIZONS,
        seasonal_error=np.ones(2),
        stride=1,
        batch_size=100,
    )


def made(split, row, seed, by):
    scores = scored(split, row, by)
    run = TraceRun(
        row=row,
        seed=seed,
        note=f"what {row} is",
        kept=seed != 1,
        parameters=PARAMETERS[row],
        head_parameters=20,
        sites=4,
        nbytes=2_000_000,
        seconds=1.5 + seed,
        peak_bytes=(seed + 1) * 10**9,
        latency_ms={"1": 2.0} if seed == 0 else {},
        latency_ratio={"1": 0.9} if seed == 0 else {},
        metrics=metrics_of(scores, row),
    )
    return scores, run


@pytest.fixture(scope="module")
def runs(halves):
    split = halves[1]
    reference = scored(split, "frozen", 0.0)
    return [
        (reference, frozen_run(reference, {"1": 2.2})),
        made(split, "linear_probing", 0, 0.05),
        *(made(split, "random_k", seed, 0.01 + 0.01 * seed) for seed in range(3)),
        *(made(split, "trace", seed, 0.06 + 0.01 * seed) for seed in range(3)),
    ]


@pytest.fixture(scope="module")
def trace(runs):
    return TraceScores.join(runs)


@pytest.fixture(scope="module")
def tables(trace):
    return tabulate_trace(trace, rng=np.random.default_rng(0), **BOOTSTRAP)


def test_rows_are_means_over_seeds(trace, runs):
    assert trace.scores.seeds == {"frozen": 1, "linear_probing": 1, "random_k": 3, "trace": 3}
    for number in range(2):
        values = [s.methods["trace"].metrics(number)["mse"] for s, r in runs if r.row == "trace"]
        mean = trace.scores.methods["trace"].metrics(number)["mse"]
        assert mean == pytest.approx(np.mean(values))


def test_runs_of_other_windows_are_refused(runs, halves):
    other = made(halves[0], "trace", 0, 0.1)
    with pytest.raises(ValueError, match="'trace' was scored on other windows"):
        TraceScores.join([runs[0], other])
    with pytest.raises(ValueError, match="no row"):
        TraceScores.join([])


def test_a_run_survives_as_arrays(runs, tmp_path):
    scores, run = runs[1]
    arrays = pack_run(scores, run, {"importance": '[{"a": 1}]'}, {"model.safetensors": b"\x00\xff"})
    np.savez(tmp_path / "run.npz", **arrays)
    with np.load(tmp_path / "run.npz", allow_pickle=False) as file:
        kept = {name: file[name] for name in file.files}
    found, about = unpack_run(kept)
    assert about == run
    assert found.methods[run.row].metrics(1) == scores.methods[run.row].metrics(1)
    np.testing.assert_array_equal(found.below[run.row], scores.below[run.row])
    _, tables, files = collect_runs([kept])
    assert tables["importance"].to_dict("records") == [{"a": 1}]
    assert files == {"model.safetensors": b"\x00\xff"}


def test_packed_runs_are_put_together(runs, trace):
    shards = [pack_run(*pair, {"importance": f'[{{"n": {n}}}]'}, {}) for n, pair in enumerate(runs)]
    found, tables, files = collect_runs(iter(shards))
    assert found.runs == trace.runs
    assert found.scores.seeds == trace.scores.seeds
    np.testing.assert_array_equal(
        found.scores.methods["trace"].pinball, trace.scores.methods["trace"].pinball
    )
    assert tables["importance"]["n"].tolist() == list(range(len(runs)))
    assert files == {}


def test_they_survive_on_disk(trace, tmp_path):
    trace.save_pretrained(tmp_path / "scores")
    read = TraceScores.from_pretrained(tmp_path / "scores")
    assert read.runs == trace.runs
    np.testing.assert_array_equal(
        read.scores.methods["trace"].pinball, trace.scores.methods["trace"].pinball
    )
    assert trace.summary()["windows"] == len(trace.scores.row)


def test_a_line_for_each_row_and_horizon_with_its_interval_over_seeds(tables, trace):
    table = tables[0]
    assert list(zip(table["row"], table["horizon"], strict=True)) == [
        (row, horizon) for row in trace.scores.methods for horizon in HORIZONS
    ]
    line = table.set_index(["row", "horizon"]).loc[("trace", H)]
    values = [run.value(H, "mse") for run in trace.of_row("trace")]
    mean, low, high = seed_interval(values, 0.9)
    assert (line["mse"], line["mse_low"], line["mse_high"]) == pytest.approx((mean, low, high))
    single = table.set_index(["row", "horizon"]).loc[("linear_probing", 4)]
    assert np.isnan(single["mse_low"])
    assert line[["seeds", "kept", "parameters", "peak_megabytes"]].tolist() == [3, 2, 50, 3000.0]
    assert line["seconds"] == pytest.approx(2.5)
    assert (line["latency_ms_1"], line["latency_ratio_1"]) == (2.0, 0.9)


def test_skill_is_against_every_reference_that_is_there(tables, trace):
    table, _, skill = tables
    assert set(skill["reference"]) == {"frozen", "linear_probing", "random_k"}
    assert not (skill["row"] == skill["reference"]).any()
    errors = table.set_index(["row", "horizon"])["mse"]
    for line in skill[skill["metric"] == "mse"].itertuples():
        ratio = errors[line.row, line.horizon] / errors[line.reference, line.horizon]
        assert line.skill == pytest.approx(1 - ratio)
    own = table.set_index(["row", "horizon"]).loc[("trace", 4)]
    assert own["skill"] == pytest.approx(1 - errors["trace", 4] / errors["frozen", 4])
    assert np.isnan(table.set_index(["row", "horizon"]).loc[("frozen", 4), "skill"])


def test_the_summary_holds_the_bars_of_the_method(tables, trace):
    summary = tables[1].set_index("row")
    line = summary.loc["trace"]
    means = [np.mean([run.value(h, "mse") for h in HORIZONS]) for run in trace.of_row("trace")]
    others = [np.mean([r.value(h, "mse") for h in HORIZONS]) for r in trace.of_row("random_k")]
    assert line["mse"] == pytest.approx(np.mean(means))
    gains = [1 - own / other for own, other in zip(means, others, strict=True)]
    found = (line["gain_over_random_k"], line["random_k_low"], line["random_k_high"])
    assert found == pytest.approx(seed_interval(gains, 0.9))
    (flat,) = trace.of_row("linear_probing")
    flat_mean = np.mean([flat.value(h, "mse") for h in HORIZONS])
    assert line["gain_over_linear_probing"] == pytest.approx(
        np.mean([1 - own / flat_mean for own in means])
    )
    assert line["fewer_parameters"] == pytest.approx(0.95)
    assert np.isnan(summary.loc["random_k", "gain_over_random_k"])


def test_without_the_rows_to_compare_with_the_gains_are_missing(runs):
    only = TraceScores.join([runs[0], runs[-1]])
    summary = tabulate_trace(only, rng=np.random.default_rng(0), **BOOTSTRAP)[1]
    columns = ["gain_over_random_k", "gain_over_linear_probing", "fewer_parameters"]
    assert summary[columns].isna().all(axis=None)


def test_every_run_has_its_lines(trace):
    lines = tabulate_runs(trace)
    assert len(lines) == len(trace.runs) * len(HORIZONS)
    kept = lines[(lines["row"] == "trace") & (lines["horizon"] == 4)]["kept"].tolist()
    assert kept == [run.kept for run in trace.of_row("trace")]


def test_seeds_that_the_other_row_lacks_are_not_compared(runs, trace):
    fewer = [pair for pair in runs if (pair[1].row, pair[1].seed) != ("random_k", 2)]
    summary = tabulate_trace(TraceScores.join(fewer), rng=np.random.default_rng(0), **BOOTSTRAP)[
        1
    ].set_index("row")
    own, other = trace.of_row("trace"), trace.of_row("random_k")
    gains = [
        1
        - np.mean([a.value(h, "mse") for h in HORIZONS])
        / np.mean([b.value(h, "mse") for h in HORIZONS])
        for a, b in zip(own[:2], other[:2], strict=True)
    ]
    assert summary.loc["trace", "gain_over_random_k"] == pytest.approx(np.mean(gains))
