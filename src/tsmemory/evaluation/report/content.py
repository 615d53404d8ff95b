"""The content of a report, in the order in which a forecaster reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from tsmemory.evaluation.cost_plot import draw_cost
from tsmemory.evaluation.neighbour_plot import draw_neighbours
from tsmemory.evaluation.plots import draw_calibration, draw_fans, draw_fusion, draw_skill
from tsmemory.evaluation.report.memory_tables import (
    cost_tables,
    fusion_tables,
    oracle_table,
    teacher_tables,
)
from tsmemory.evaluation.report.parts import Chart, Report, Section
from tsmemory.evaluation.report.run_tables import (
    backbone_table,
    data_tables,
    fingerprint_table,
    parameter_table,
)
from tsmemory.evaluation.report.score_tables import (
    calibration_tables,
    leaderboard_tables,
    skill_tables,
)
from tsmemory.evaluation.report.verdict import (
    choose_tiles,
    find_warnings,
    guard_sentence,
    headline,
)


@dataclass(frozen=True)
class Results:
    """What a report is made from.

    Attributes:
        leaderboard: Table ``method, horizon, metric, value, low, high, seeds``.
        skill: Table ``method, horizon, channel, metric, skill, low, high, dm_statistic, dm_p``.
        calibration: Table ``method, horizon, level, observed``.
        cost: Table ``method, horizon, batch, metric, value``.
        fans: Table ``kind, label, skill, step, method, level, value``.
        fusion: Fusions by seed; the first is shipped.
        oracle_gap: Table ``quantity, first_step, last_step, chosen, oracle, gap``.
        teacher: Single figures of the teacher.
        teacher_diagnosis: Table ``split, embargo, horizon, metric, value, queries``.
        neighbours: Table ``kind, label, confidence, skill, step, source, …, value``.
        run: The run's own card; see :func:`describe_run`.
    """

    leaderboard: pd.DataFrame
    skill: pd.DataFrame
    calibration: pd.DataFrame
    cost: pd.DataFrame
    fans: pd.DataFrame
    fusion: Mapping[str, Any]
    oracle_gap: pd.DataFrame
    teacher: Mapping[str, Any]
    teacher_diagnosis: pd.DataFrame
    neighbours: pd.DataFrame
    run: Mapping[str, Any]


def describe_run(
    *,
    domain: str,
    panel: Mapping[str, Any],
    windows: Mapping[str, Any],
    skipped: Sequence[Mapping[str, Any]],
    backbone: Mapping[str, Any],
    parameters: Mapping[str, Any],
    fingerprints: Mapping[str, Any],
) -> dict[str, Any]:
    """Say what a run was given, as far as it is known before the run has ended.

    Args:
        domain: Name of the dataset.
        panel: Summary of the panel.
        windows: Counts of windows.
        skipped: Lines ``item_id, channel, reason``.
        backbone: The backbone's card.
        parameters: Those that results depend on.
        fingerprints: Of data, code and libraries.

    Returns:
        All of it as one JSON-like value.
    """
    return {
        "domain": domain,
        "panel": dict(panel),
        "windows": dict(windows),
        "skipped": [dict(line) for line in skipped],
        "backbone": dict(backbone),
        "parameters": dict(parameters),
        "fingerprints": dict(fingerprints),
    }


def build_report(results: Results, made_at: datetime) -> Report:
    """Put together all that a report says.

    Args:
        results: The run's results.
        made_at: Now.

    Returns:
        The report.
    """
    run = results.run
    level = float(run["parameters"]["evaluation"]["bootstrap"]["level"])
    return Report(
        domain=str(run["domain"]),
        made_at=made_at.isoformat(timespec="minutes"),
        verdict=(
            headline(results.skill, level, str(run["backbone"]["name"])),
            guard_sentence(results.fusion),
        ),
        warnings=tuple(
            find_warnings(
                results.leaderboard,
                results.skill,
                results.fusion,
                run["backbone"].get("contamination"),
            )
        ),
        tiles=tuple(choose_tiles(results.leaderboard, results.skill, results.fusion, results.cost)),
        sections=(*_score_sections(results), *_memory_sections(results), *_run_sections(results)),
    )


def _score_sections(results: Results) -> list[Section]:
    """Leaderboard, skill, fans."""
    return [
        Section(
            "leaderboard",
            "Leaderboard",
            (
                _how_scored(results.run),
                "Values with their intervals and the Diebold-Mariano p-value against the frozen "
                "backbone; lower is better, ★ marks the best of each column. Rows that read “not "
                "run” are costly and come from pipelines of their own.",
            ),
            tuple(leaderboard_tables(results.leaderboard, results.skill)),
        ),
        Section(
            "skill",
            "Skill against the frozen backbone",
            ("Skill is the share of the frozen backbone's error that is gone: above 0 it helps.",),
            tuple(skill_tables(results.skill)),
            (
                Chart(
                    "skill",
                    "Skill of every method by horizon, and of tsmemory by channel at the longest "
                    "horizon, with intervals; the tables below hold the same.",
                    draw_skill(results.skill),
                ),
            ),
        ),
        Section(
            "forecasts",
            "Forecasts",
            (
                "Three test windows: where the memory gained most over the frozen backbone, the "
                "median, and where it lost most.",
            ),
            charts=(
                Chart(
                    "fans",
                    "Truth, medians and 10 to 90 % bands of the frozen backbone and of tsmemory on "
                    "the best, the median and the worst window; forecast_fans.parquet holds them.",
                    draw_fans(results.fans),
                ),
            ),
        ),
    ]


def _memory_sections(results: Results) -> list[Section]:
    """Fusion, calibration, teacher, cost."""
    return [
        Section(
            "fusion",
            "Fusion and guard",
            (
                "What the forecast is mixed from, chosen without the test split. Where the guard "
                "saw no gain, the backbone stands alone.",
            ),
            (*fusion_tables(results.fusion), oracle_table(results.oracle_gap)),
            (
                Chart(
                    "fusion",
                    "Weights of the memory's median and spread, and the factor on its spread, over "
                    "the horizon; the table below holds the same.",
                    draw_fusion(results.fusion),
                ),
            ),
        ),
        Section(
            "calibration",
            "Calibration",
            ("Of all targets, 10 % should lie at or below the quantile of level 0.1, and so on.",),
            tuple(calibration_tables(results.leaderboard, results.calibration)),
            (
                Chart(
                    "calibration",
                    "Observed against nominal share of targets below each quantile, by horizon: "
                    "above the diagonal quantiles are too high, below it they are too low.",
                    draw_calibration(results.calibration),
                ),
            ),
        ),
        Section(
            "teacher",
            "Teacher",
            (
                "The retrieval teacher on training queries under each embargo, and on validation, "
                "where nothing can leak. With embargo “self”, the published setting, neighbours "
                "may hold the query's own target, and the teacher then looks better than it is.",
            ),
            tuple(teacher_tables(results.teacher, results.teacher_diagnosis)),
            (
                Chart(
                    "neighbours",
                    "The most, the median and the least trusted of a sample of validation queries: "
                    "neighbours as the teacher aligns them, the stronger the heavier, what it "
                    "makes of them, the frozen backbone's median and the truth.",
                    draw_neighbours(results.neighbours),
                ),
            ),
        ),
        Section(
            "cost",
            "Cost",
            ("Taken in turn in one process on the machine of the run.",),
            tuple(cost_tables(results.cost)),
            (
                Chart(
                    "cost",
                    "Milliseconds for each window, with the median of the paired ratios, and what "
                    "has to be held at inference; the tables below hold the same.",
                    draw_cost(results.cost),
                ),
            ),
        ),
    ]


def _run_sections(results: Results) -> list[Section]:
    """Data, parameters and fingerprints."""
    run = results.run
    return [
        Section(
            "data",
            "Data",
            tuple(run["panel"]["warnings"]),
            tuple(data_tables(run["panel"], run["windows"], run["skipped"])),
        ),
        Section(
            "run",
            "Backbone, parameters, fingerprints",
            ("Time and memory of each step are in manifest.json.",),
            (
                backbone_table(run["backbone"]),
                fingerprint_table(run["fingerprints"]),
                parameter_table(run["parameters"]),
            ),
        ),
    ]


def _how_scored(run: Mapping[str, Any]) -> str:
    """Windows, stride and roll-out in a sentence."""
    windowing = run["parameters"]["windowing"]
    stride, native = windowing["strides"]["test"], run["backbone"].get("native_horizon")
    said = f"Test split: {run['windows']['splits']['test']['kept']:,} windows, stride {stride}"
    if stride != 1:
        said += " (benchmark numbers use 1)"
    if native is not None and native < max(windowing["horizons"]):
        rollout = run["parameters"]["backbone"]["rollout"]
        said += f"; beyond {native} steps the backbone is rolled out ({rollout})"
    return f"{said}."
