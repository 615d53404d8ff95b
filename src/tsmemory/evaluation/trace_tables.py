"""Tables of the rows of TRACE: errors, skill with intervals, seeds, sizes and time."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tsmemory.evaluation.ablation import VALUES
from tsmemory.evaluation.leaderboard import REFERENCE, SKILL_METRICS, Origins
from tsmemory.evaluation.trace_scores import TraceRun, TraceScores
from tsmemory.metrics.seed_interval import seed_interval

# What rows are compared with, where they are there; a row is not compared with itself.
REFERENCES = (REFERENCE, "linear_probing", "lora_all", "random_k")
_SKILL = "mse"  # of the table's skill columns: the published tables are about it


def tabulate_trace(
    trace: TraceScores, *, samples: int, level: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """One line for each row and horizon, one for each row, and all skills.

    Two kinds of intervals tell two kinds of chance apart: those of skill come from a moving-block
    bootstrap over forecast origins, of means over seeds; those of errors and gains are Student's
    over training seeds, on the same windows.

    Args:
        trace: The scores.
        samples: Bootstrap samples.
        level: Probability of the intervals.
        rng: Draws the bootstrap.

    Returns:
        Table ``row, horizon, mse, mae, crps, coverage_80`` (means over seeds), ``mse_low, mse_high,
        skill, low, high`` (MSE skill against the frozen backbone) and what
        :func:`summarise_rows` tells; the summary; and table ``row, horizon, reference, metric,
        skill, low, high``.
    """
    skill = pd.DataFrame(
        _skill_lines(trace, samples, level, rng),
        columns=["row", "horizon", "reference", "metric", "skill", "low", "high"],
    )
    own = skill[(skill["reference"] == REFERENCE) & (skill["metric"] == _SKILL)]
    known = {(line["row"], line["horizon"]): line for line in own.to_dict("records")}
    lines = []
    for row in trace.scores.methods:
        runs = trace.of_row(row)
        for horizon in trace.scores.horizons:
            line: dict[str, Any] = {"row": row, "horizon": horizon}
            for metric in VALUES:
                line[metric] = float(np.mean([run.value(horizon, metric) for run in runs]))
            _, low, high = seed_interval([run.value(horizon, "mse") for run in runs], level)
            line |= {"mse_low": low, "mse_high": high}
            found = known.get((row, horizon), {})
            line |= {name: found.get(name, math.nan) for name in ("skill", "low", "high")}
            lines.append(line | _facts(runs))
    return pd.DataFrame(lines), summarise_rows(trace, level), skill


def summarise_rows(trace: TraceScores, level: float) -> pd.DataFrame:
    """One line for each row: means over horizons and seeds, sizes, time.

    Args:
        trace: The scores.
        level: Probability of the intervals over seeds.

    Returns:
        Table ``row, note, seeds, kept``; ``mse, mae, crps`` with their intervals over seeds; gains
        in MSE over linear probing and random K, ``1 - MSE / MSE of the reference`` seed by seed,
        with intervals; ``fewer_parameters``, the share of linear probing's trained parameters that
        a row does without; and parameters, sites, megabytes, seconds, peak memory and latency.
    """
    return pd.DataFrame([_summary(trace, row, level) for row in trace.scores.methods])


def tabulate_runs(trace: TraceScores) -> pd.DataFrame:
    """Every row, seed and horizon on its own line.

    Args:
        trace: The scores.

    Returns:
        Table ``row, seed, horizon, mse, mae, crps, coverage_80, kept, parameters, seconds``.
    """
    return pd.DataFrame(
        [
            {
                "row": run.row,
                "seed": run.seed,
                "horizon": horizon,
                **{metric: run.value(horizon, metric) for metric in VALUES},
                "kept": run.kept,
                "parameters": run.parameters,
                "seconds": run.seconds,
            }
            for run in trace.runs
            for horizon in trace.scores.horizons
        ]
    )


def _summary(trace: TraceScores, row: str, level: float) -> dict[str, Any]:
    runs, horizons = trace.of_row(row), trace.scores.horizons
    line: dict[str, Any] = {"row": row}
    for metric in SKILL_METRICS:
        values = [_over_horizons(run, horizons, metric) for run in runs]
        mean, low, high = seed_interval(values, level)
        line |= {metric: mean, f"{metric}_low": low, f"{metric}_high": high}
    for reference in ("linear_probing", "random_k"):
        gains = [] if row == reference else _gains(runs, trace.of_row(reference), horizons)
        ends = seed_interval(gains, level) if gains else (math.nan,) * 3
        names = (f"gain_over_{reference}", f"{reference}_low", f"{reference}_high")
        line |= dict(zip(names, ends, strict=True))
    flat = trace.of_row("linear_probing")
    line["fewer_parameters"] = (
        1 - _mean([run.parameters for run in runs]) / flat[0].parameters if flat else math.nan
    )
    return line | _facts(runs)


def _gains(
    runs: Sequence[TraceRun], others: Sequence[TraceRun], horizons: Sequence[int]
) -> list[float]:
    """Gain in MSE over another row, seed by seed; a row of one seed stands for all of them."""
    by_seed = {run.seed: run for run in others}
    if not by_seed:
        return []
    pairs = [(run, by_seed.get(run.seed, others[0] if len(others) == 1 else None)) for run in runs]
    return [
        1 - _over_horizons(run, horizons, "mse") / _over_horizons(other, horizons, "mse")
        for run, other in pairs
        if other is not None
    ]


def _over_horizons(run: TraceRun, horizons: Sequence[int], metric: str) -> float:
    return _mean([run.value(horizon, metric) for horizon in horizons])


def _facts(runs: Sequence[TraceRun]) -> dict[str, Any]:
    """Sizes and time of a row, means over its seeds; latency is the first seed's."""
    first = runs[0]
    facts: dict[str, Any] = {
        "seeds": len(runs),
        "kept": sum(run.kept for run in runs),
        "parameters": round(_mean([run.parameters for run in runs])),
        "head_parameters": round(_mean([run.head_parameters for run in runs])),
        "sites": _mean([run.sites for run in runs]),
        "megabytes": _mean([run.nbytes for run in runs]) / 1e6,
        "seconds": _mean([run.seconds for run in runs]),
        "peak_megabytes": max(run.peak_bytes for run in runs) / 1e6,
    }
    for batch, value in first.latency_ms.items():
        facts[f"latency_ms_{batch}"] = value
        facts[f"latency_ratio_{batch}"] = first.latency_ratio[batch]
    return facts | {"note": first.note}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _skill_lines(
    trace: TraceScores, samples: int, level: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Skill of each row against each reference that is there, in every metric."""
    scores, lines = trace.scores, []
    references = [name for name in REFERENCES if name in scores.methods]
    for number, horizon in enumerate(scores.horizons):
        origins = Origins.draw(scores, number, samples, rng)
        for reference in references:
            for row in scores.methods:
                if row in (reference, REFERENCE):
                    continue
                for metric in SKILL_METRICS:
                    found = origins.skill(scores, row, reference, metric, level)
                    line = {"row": row, "horizon": horizon, "reference": reference}
                    line |= {"metric": metric}
                    lines.append(line | dict(zip(("skill", "low", "high"), found, strict=True)))
    return lines
